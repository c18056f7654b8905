"""Keys: one table, remapped by id, told the same way by footer, help and palette."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.command import CommandPalette
from textual.widgets import Input

from edge_phi.errors import InvalidCall
from edge_phi.tui.keys import KEYS, keymap
from edge_phi.tui.screens.help import HelpScreen
from edge_phi.tui.settings import Settings, read_settings
from edge_phi.tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from conftest import Stage


def test_ids_are_unique_and_no_key_means_two_things_where_both_are_live() -> None:
    assert len({key.id for key in KEYS}) == len(KEYS)
    assert keymap({}, "defaults") == {}


async def test_a_remapped_key_works_and_footer_help_and_palette_say_so(stage: Stage) -> None:
    stage.say("42")
    settings = Settings(keymap=keymap({"accept": "ctrl+e", "suggest": "f11", "palette": "ctrl+l"}, "test"))
    async with stage.open("x = ", size=(120, 40), settings=settings):
        stage.editor.move_cursor((0, 4))
        await stage.press("f11")
        await stage.until(lambda: stage.editor.ghost is not None and stage.editor.ghost.complete)
        await stage.pilot.pause()
        footer = stage.drawn().splitlines()[-1]
        assert "^e Accept" in footer and "f11 Suggest" in footer
        await stage.press("ctrl+e")
        assert stage.lines()[0] == "x = 42"
        await stage.press("home", "ctrl+e", "tab")  # without a suggestion both are the text's, as they were
        assert stage.editor.document.text == "x = 42  "
        await stage.press("f1")
        await stage.until(lambda: isinstance(stage.app.screen, HelpScreen))
        await stage.pilot.pause()
        accept = next(line for line in stage.drawn().splitlines() if "Take all of the suggestion" in line)
        assert accept.split()[0] == "^e" and accept.split()[-1] == "accept"
        await stage.press("escape", "ctrl+l")
        await stage.until(lambda: isinstance(stage.app.screen, CommandPalette))


async def test_the_palette_lists_what_can_be_done_and_does_it(stage: Stage) -> None:
    stage.say("42")
    async with stage.open("x = ", size=(100, 40)):
        stage.editor.move_cursor((0, 4))
        await stage.press("ctrl+p")
        await stage.until(lambda: "Ask for a suggestion" in stage.drawn())
        assert "Take all of the suggestion" not in stage.drawn()  # there is none yet
        stage.app.screen.query_one(Input).value = "suggest"
        await stage.until(lambda: "Ask for a suggestion" in stage.drawn() and "Write the text" not in stage.drawn())
        await stage.press("enter")
        await stage.until(lambda: stage.lines()[0] == "x = 42")


async def test_help_lists_every_command(stage: Stage) -> None:
    async with stage.open("", size=(140, 160)):
        await stage.press("f1")
        await stage.until(lambda: isinstance(stage.app.screen, HelpScreen))
        await stage.pilot.pause()
        drawn = stage.drawn()
        assert [key.id for key in KEYS if f" {key.id} " not in drawn] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[keys", "not TOML"),
        ("\x00", "not TOML"),
        ("colour = 1", "'colour' is no setting"),
        ("them = 'dark'", "did you mean theme"),
        ("theme = 3", "write it in quotes"),
        ("keys = 3", "write [keys]"),
        ("[keys]\naccept = 3", "write keys in quotes"),
        ("[keys]\nacept = 'f9'", "did you mean accept"),
        ("[keys]\naccept = 'hyper+x'", "no such key"),
        ("[keys]\naccept = 'f9,'", "no such key"),
        ("[keys]\nsave = 'f1'", "both 'save' and 'help'"),
        ("[keys]\nsave = 'left'", "both 'save' and 'cursor-left'"),
    ],
)
def test_a_bad_settings_file_is_told_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(InvalidCall) as raised:
        read_settings(path)
    assert words in str(raised.value) and str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_settings_say_what_they_set(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    assert read_settings(path) == Settings()
    path.write_text("theme = 'textual-light'\n[keys]\nsave = 'ctrl+e'\n")  # which the text has, and Home too
    found = read_settings(path)
    assert found.theme == "textual-light"
    assert (found.keymap["save"], found.keymap["cursor-line-end"]) == ("ctrl+e", "end")


@given(st.text())
def test_no_settings_file_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        read_settings(path)
    except InvalidCall as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        (40, "^s Save ^n Suggest f1 Help ^q Quit"),
        (60, "^s Save ^n Suggest f2 Race ^o Open f1 Help ^q Quit"),
        (80, "^s Save ^n Suggest f2 Race ^o Open ^t Write f9 Models f1 Help ^q Quit"),
    ],
)
async def test_the_bottom_line_shows_what_fits_and_always_help(stage: Stage, columns: int, keys: str) -> None:
    async with stage.open("x", size=(columns, 20)):
        await stage.pilot.pause()
        bottom = stage.drawn().splitlines()[-1]
        assert bottom.split() == keys.split() and len(bottom) == columns
        await stage.pilot.click(offset=(bottom.index("Help"), 19))
        await stage.until(lambda: isinstance(stage.app.screen, HelpScreen))
        await stage.pilot.pause()
        assert stage.drawn().splitlines()[-1].split() == ["esc", "Close", "f1", "Help", "^q", "Quit"]


async def test_under_a_question_the_bottom_line_shows_the_keys_of_the_question(stage: Stage) -> None:
    stage.say("suggested")
    async with stage.open("x = ", (120, 30)):
        await stage.ask(line=1, column=5)

        def shown() -> str:
            return stage.screen.query_one(KeyBar).render().plain

        await stage.until(lambda: "Accept" in shown())
        await stage.press("ctrl+o")
        await stage.until(lambda: "Accept" not in shown())
        assert "Close" in shown() and "Quit" not in shown() and "Save" not in shown()
        await stage.press("escape")
        await stage.until(lambda: "Accept" in shown() and "Quit" in shown())
