"""Every key of the app: what it does, where, and how it is remapped by id from the settings file.

A place is a set of keys that are live together: those of a screen, those of a widget in it. Screens and widgets take
their BINDINGS from here, and so do the footer, the command palette and the help screen, so that none of them can say
what another denies.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding
from textual.keys import Keys
from textual.widgets import TextArea

from edge_phi.errors import InvalidCall

Place = Literal[
    "everywhere", "suggestion", "editor", "text", "finding", "question", "recovery", "prompt", "screen", "table",
    "race", "bench", "models", "tour",
]  # fmt: skip

# What the help screen calls the places, in its order.
PLACES: Mapping[Place, str] = {
    "suggestion": "While a suggestion is shown",
    "editor": "In the editor",
    "everywhere": "Everywhere",
    "text": "Moving and editing",
    "finding": "While finding a text or a line",
    "question": "In a question",
    "recovery": "When unsaved text was found",
    "prompt": "In a prompt",
    "screen": "In a screen over the editor",
    "table": "In a table",
    "tour": "In the tour",
    "race": "In the race",
    "bench": "In the bench",
    "models": "Among the models",
}

_TOGETHER: tuple[frozenset[Place], ...] = (
    frozenset({"everywhere", "editor", "text"}),
    frozenset({"everywhere", "editor", "suggestion"}),
    frozenset({"everywhere", "finding"}),
    frozenset({"everywhere", "question"}),
    frozenset({"everywhere", "recovery"}),
    frozenset({"everywhere", "prompt"}),
    frozenset({"everywhere", "tour"}),
    frozenset({"everywhere", "screen", "race"}),
    frozenset({"everywhere", "screen", "bench", "table"}),
    frozenset({"everywhere", "screen", "models", "table"}),
)


@dataclass(frozen=True)
class Key:
    """One thing that keys do.

    Keys of the place "suggestion" come before the text's own while there is a suggestion, so they may share them.
    """

    id: str  # what the settings file calls it
    place: Place
    keys: str  # as Textual names them, with commas between
    action: str  # of the widget or screen that binds it, or with a namespace: "screen.accept"
    label: str  # in the footer
    help: str  # a sentence for the help screen and the palette
    show: bool = False  # in the footer


_OWN = (
    Key("accept", "suggestion", "tab", "screen.accept", "Accept", "Take all of the suggestion.", show=True),
    Key(
        "accept-word", "suggestion", "ctrl+right", "screen.accept_word", "Word", "Take its next word; the rest stays.",
        show=True,
    ),
    Key("dismiss", "suggestion", "escape", "screen.dismiss_suggestion", "Dismiss", "Take it away.", show=True),
    Key(
        "accept-line", "suggestion", "shift+tab", "screen.accept_line", "Line", "Take its next line; the rest stays.",
        show=True,
    ),
    Key(
        "next-suggestion", "suggestion", "alt+right_square_bracket,alt+n", "screen.next_suggestion", "Next",
        "Show another suggestion for the same place.", show=True,
    ),
    Key(
        "previous-suggestion", "suggestion", "alt+left_square_bracket,alt+p", "screen.previous_suggestion", "Previous",
        "Show the suggestion before this one.",
    ),
    Key("save", "editor", "ctrl+s", "save", "Save", "Write the text to its file.", show=True),
    # Terminals send NUL for Ctrl+Space, which is also Ctrl+@; some keep it for themselves, hence Ctrl+N.
    Key(
        "suggest", "editor", "ctrl+n,ctrl+space,ctrl+@", "suggest", "Suggest",
        "Ask for a suggestion at the cursor now.", show=True,
    ),
    Key(
        "race", "editor", "f2", "app.race", "Race",
        "Let int4 and full precision write the same completion, side by side.", show=True,
    ),
    Key("open", "editor", "ctrl+o", "open", "Open", "Open a file beside those that are open.", show=True),
    Key(
        "write-function", "editor", "ctrl+t", "app.write_function", "Write",
        "Have a function written from one line that says what it does.", show=True,
    ),
    Key("models", "editor", "f9", "app.models", "Models", "See what is here, and change what suggests.", show=True),
    Key("bench", "editor", "f8", "app.bench", "Bench", "Measure every form of the model.", show=True),
    Key("save-as", "editor", "alt+s", "save_as", "Save as", "Write the text to another file."),
    Key("close-file", "editor", "ctrl+w", "close_file", "Close file", "Close it, asking first if it is not saved."),
    Key("next-file", "editor", "ctrl+pagedown,alt+right", "step_file(1)", "Next file", "Show the next open file."),
    Key(
        "previous-file", "editor", "ctrl+pageup,alt+left", "step_file(-1)", "Previous file",
        "Show the open file before this one.",
    ),
    Key("tree", "editor", "ctrl+b", "toggle_tree", "Files", "Show the project's files, or hide them.", show=True),
    Key("find", "editor", "ctrl+f", "find", "Find", "Find a text in this file.", show=True),
    Key("find-next", "editor", "f3", "find_again(1)", "Find next", "Go to the next place where it stands."),
    Key(
        "find-previous", "editor", "f4,shift+f3", "find_again(-1)", "Find previous",
        "Go to the place before where it stands.",
    ),
    Key("go-to-line", "editor", "ctrl+g", "go_to_line", "Go to line", "Go to a line, or to a line and column."),
    Key("run", "editor", "f5", "run_file", "Run", "Run this text in the sandbox.", show=True),
    Key(
        "doctests", "editor", "ctrl+r", "run_doctests", "Doctests",
        "Run the doctests of the function at the cursor in the sandbox.",
    ),
    Key("close-pane", "text", "escape", "screen.close_pane", "Close pane", "Close what stands below the text."),
    Key("find-close", "finding", "escape", "close", "Close", "Back to the text.", show=True),
    Key("find-down", "finding", "down,f3", "find_again(1)", "Next", "Go to the next place.", show=True),
    Key("find-up", "finding", "up,f4,shift+f3", "find_again(-1)", "Previous", "Go to the place before.", show=True),
    Key("recover", "recovery", "r", "answer('recover')", "Recover", "Open what was not saved, each text in a tab."),
    Key("forget", "recovery", "ctrl+d", "answer('discard')", "Discard", "Throw it away."),
    Key("later", "recovery", "escape", "answer('later')", "Later", "Leave it; it is offered at the next start."),
    Key("help", "everywhere", "f1", "app.help", "Help", "Show every key there is.", show=True),
    # Without the priority that Textual gives it: keys typed before it come first.
    Key("quit", "everywhere", "ctrl+q", "app.quit", "Quit", "Leave; what is not saved is asked about.", show=True),
    Key("palette", "everywhere", "ctrl+p", "app.command_palette", "Commands", "Find any command by its name."),
    Key("document-start", "text", "ctrl+home", "document_start", "Start of the text", "Go to the start of the text."),
    Key("document-end", "text", "ctrl+end", "document_end", "End of the text", "Go to the end of the text."),
    Key("save-and-quit", "question", "s", "answer('save')", "Save", "Save, then leave."),
    Key("discard", "question", "d", "answer('discard')", "Discard", "Leave without saving."),
    Key("stay", "question", "escape", "answer('stay')", "Keep editing", "Go back to the text."),
    Key("cancel", "prompt", "escape", "cancel", "Cancel", "Go back without an answer."),
    Key("theme", "editor", "alt+t", "app.next_theme", "Theme", "Dark, light, high contrast; all are in the palette."),
    Key("tour", "editor", "f10", "app.tour", "Tour", "Show the first things to do again."),
    Key("tour-end", "tour", "enter,escape,space", "close", "Begin", "Close the tour."),
    Key("close", "screen", "escape", "close", "Close", "Back to the editor.", show=True),
    Key("race-together", "race", "b", "race(True)", "Both at once", "Start both together.", show=True),
    Key("race-in-turn", "race", "t", "race(False)", "In turn", "Let each run alone, one after the other.", show=True),
    Key("bench-start", "bench", "enter", "start", "Measure", "Measure what is not measured yet.", show=True),
    Key("bench-fresh", "bench", "f", "start(True)", "Afresh", "Measure all again.", show=True),
    Key("bench-cancel", "bench", "c", "cancel", "Cancel", "Stop measuring; what is measured is kept.", show=True),
    Key("bench-sort", "bench", "s", "sort", "Sort", "Sort by the next column.", show=True),
    Key("bench-export", "bench", "e", "export", "Export", "Write the figures as HTML, JSON and SVG.", show=True),
    Key("use-model", "models", "enter", "use", "Use", "Let this form suggest from now on; the text stays.", show=True),
    Key("verify-model", "models", "v", "verify", "Verify", "Hash every file; hold it against its lineage.", show=True),
    Key("row-up", "table", "up,k", "cursor_up", "Up", "Go to the row above."),
    Key("row-down", "table", "down,j", "cursor_down", "Down", "Go to the row below."),
    Key("row-page-up", "table", "pageup", "page_up", "Page up", "Go up by a screen."),
    Key("row-page-down", "table", "pagedown", "page_down", "Page down", "Go down by a screen."),
    Key("row-first", "table", "home", "scroll_top", "First row", "Go to the first row."),
    Key("row-last", "table", "end", "scroll_bottom", "Last row", "Go to the last row."),
    Key("columns-left", "table", "left", "cursor_left", "Left", "Show the columns on the left."),
    Key("columns-right", "table", "right", "cursor_right", "Right", "Show the columns on the right."),
)  # fmt: skip


def _text_keys() -> Iterator[Key]:
    """Textual's own keys of a text, less those that mean something else here."""
    taken = {key for own in _OWN if own.place in ("editor", "everywhere", "text") for key in own.keys.split(",")}
    for binding in TextArea.BINDINGS:
        if isinstance(binding, Binding):
            left = [key for key in binding.key.split(",") if key not in taken]
            name = binding.action.replace("(True)", "-select").replace("_", "-")
            if left:
                yield Key(name, "text", ",".join(left), binding.action, binding.description, f"{binding.description}.")


KEYS: tuple[Key, ...] = (*_OWN, *_text_keys())


def bindings(*places: Place) -> list[Binding]:
    """What a screen or a widget binds at `places`, as Textual takes it; the user's keys come by `keymap`."""
    return [
        Binding(key.keys, key.action, key.label, show=key.show, tooltip=key.help, id=key.id)
        for place in places
        for key in KEYS
        if key.place == place
    ]


def keymap(wanted: Mapping[str, str], source: str) -> dict[str, str]:
    """What `App.set_keymap` takes so that `wanted` (id -> keys with commas between) holds.

    Args:
        wanted: the user's keys.
        source: the file they are from, for the message.

    Raises:
        InvalidCall: an unknown id, a key that no terminal has, or one that means two things at the same place.
    """
    known = {key.id: key for key in KEYS}
    now = {key.id: key.keys.split(",") for key in KEYS}
    for id_, keys in wanted.items():
        if id_ not in known:
            near = difflib.get_close_matches(id_, known, 1)
            hint = f"did you mean {near[0]}?" if near else "the help screen (F1) lists them"
            raise InvalidCall(f"{source}: [keys] has {id_!r}, which is no command: {hint}")
        now[id_] = [_checked(key.strip(), id_, source) for key in keys.split(",")]
    _yield_text_keys(now, wanted, known)
    _refuse_clashes(now, known, source)
    changed = {id_ for id_, keys in now.items() if keys != known[id_].keys.split(",")}
    # Textual takes a key away from all that share it with one that is remapped: those are told anew as well.
    touched = {key for id_ in changed for key in (*now[id_], *known[id_].keys.split(","))}
    return {id_: ",".join(keys) for id_, keys in now.items() if id_ in changed or touched & set(keys)}


def _yield_text_keys(now: dict[str, list[str]], wanted: Mapping[str, str], known: Mapping[str, Key]) -> None:
    """A text's key that the user gives to another command is no longer the text's, if that leaves it one."""
    given = {
        key for id_ in wanted if known[id_].place in ("editor", "everywhere", "text") for key in now[id_]
    }  # fmt: skip
    for id_, keys in now.items():
        if known[id_].place == "text" and id_ not in wanted and (left := [key for key in keys if key not in given]):
            now[id_] = left


def _refuse_clashes(now: Mapping[str, list[str]], known: Mapping[str, Key], source: str) -> None:
    for places in _TOGETHER:
        owner: dict[str, str] = {}
        for id_, keys in now.items():
            for key in keys if known[id_].place in places else ():
                other = owner.setdefault(key, id_)
                if other != id_:
                    raise InvalidCall(
                        f"{source}: [keys] {key!r} is for both {other!r} and {id_!r}: give one of them another key"
                    )


def _checked(key: str, id_: str, source: str) -> str:
    *modifiers, name = key.split("+") if key != "+" else [key]
    names = {one.value for one in Keys if one.value.isalnum()}
    if not set(modifiers) <= {"ctrl", "alt", "shift", "super"} or not (len(name) == 1 or name in names):
        raise InvalidCall(f"{source}: [keys] {id_} = {key!r}: no such key: write it as ctrl+r, alt+n, f5 or escape")
    return key
