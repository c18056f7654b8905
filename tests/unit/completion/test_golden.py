"""Runs the cases of golden/: a buffer, a cursor and a model's text in, what is offered out."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scripted import TypingRuntime

from edge_phi.completion.cursor import Cursor, cursor_between
from edge_phi.completion.decode import DecodeSettings
from edge_phi.completion.session import Session
from edge_phi.tokenizer import Tokenizer, load_tokenizer

FOLDER = Path(__file__).parent / "golden"
NEWLINES = {"crlf": "\r\n", "cr": "\r"}


@dataclass(frozen=True)
class Case:
    """One case of a golden file."""

    name: str
    before: str
    after: str
    written: str  # by the model
    offered: str
    newline: str = "\n"
    max_tokens: int = 2000
    broken: bool = False


def read_cases(path: Path) -> Iterator[Case]:
    for number, part in enumerate(path.read_text(encoding="utf-8").split("\n### ")):
        header, _, body = part.removeprefix("### ").partition("\n")
        name, *options = (word.strip() for word in header.split("|"))
        where = f"{path.name}: {name}"
        buffer, found, rest = body.partition("--- the model types\n")
        written, also_found, offered = rest.partition("--- offered\n")
        assert found and also_found and buffer.count("▮") == 1, (
            f"{where}: case {number + 1} is not written as README.md says"
        )
        offered = offered.rstrip("\n") if offered.strip() else ""
        before, after = _text(buffer).split("▮")
        newline = next((NEWLINES[option] for option in options if option in NEWLINES), "\n")
        tokens = next((int(option.split()[1]) for option in options if option.startswith("tokens ")), Case.max_tokens)
        texts = (text.replace("\n", newline) for text in (before, after))
        yield Case(
            where, *texts, _text(written), _text(offered).replace("\n", newline), newline, tokens, "broken" in options
        )


def _text(marked: str) -> str:
    return marked.partition("␃")[0].replace("⇥", "\t")


CASES = [case for path in sorted(FOLDER.glob("*.txt")) for case in read_cases(path)]


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


def test_there_are_enough_cases_and_no_two_of_one_name() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_kind_of_place_has_cases() -> None:
    missing = []
    for kind, is_one in KINDS.items():
        cases = [case for case in CASES if is_one(case, cursor_between(*_with_feeds(case)))]
        if len(cases) < 2:
            missing.append(kind)
    assert not missing


def _with_feeds(case: Case) -> tuple[str, str]:
    return case.before.replace(case.newline, "\n"), case.after.replace(case.newline, "\n")


_CLASS_BODY = re.compile(r"^class [^\n]*:\n(?:(?:[ \t].*)?\n)*[ \t]+\Z", re.MULTILINE)

KINDS: dict[str, Callable[[Case, Cursor], bool]] = {
    "in the middle of a line": lambda case, at: bool(at.line.strip() and at.right),
    "after a colon": lambda case, at: case.before.rstrip().endswith(":") and not case.after.strip(),
    "inside a call": lambda case, at: at.open[-1:] == ("(",) and re.search(r"\w\([^()]*\Z", case.before) is not None,
    "in a docstring": lambda case, at: '"""' in at.open,
    "at a decorator": lambda case, at: re.search(r"^\s*@.*\Z", case.before, re.MULTILINE) is not None,
    "in a dictionary": lambda case, at: at.open[-1:] == ("{",),
    "before a suffix that the model repeats": lambda case, at: bool(at.right) and at.right in case.written,
    "tabs": lambda case, at: "\t" in case.before,
    "CRLF": lambda case, at: case.newline == "\r\n",
    "no newline at the end": lambda case, at: bool(case.before) and not (case.before + case.after).endswith("\n"),
    "not ASCII": lambda case, at: not case.before.isascii(),
    "a class body": lambda case, at: _CLASS_BODY.search(case.before) is not None,
    "nested brackets": lambda case, at: len([frame for frame in at.open if frame in "([{"]) > 1,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Case, tokenizer: Tokenizer) -> None:
    steps: list[str] = []
    typed = case.before.replace(case.newline, "\n") + case.written
    session = Session(TypingRuntime(tokenizer, typed), tokenizer, model="typing", load_ms=0)
    offered = session.complete(
        case.before,
        case.after,
        settings=DecodeSettings(max_tokens=case.max_tokens),
        on_step=lambda step: steps.append(step.text),
    ).text
    result = case.before + offered + case.after
    assert offered == case.offered, f"{case.name}\n{shown(case, offered)}\nexpected\n{shown(case, case.offered)}"
    assert "".join(steps) == offered
    assert case.broken or parses(result), f"{case.name}: does not parse\n{shown(case, offered)}"
    assert case.newline == "\n" or "\n" not in result.replace(case.newline, ""), f"{case.name}: mixes line endings"


def shown(case: Case, offered: str) -> str:
    """The buffer with what is offered at the cursor."""
    text = f"{case.before}«{offered}»{case.after}"
    for sign, mark in (("\r\n", "␍␊\n"), ("\r", "␍\n"), ("\t", "⇥")):
        text = text.replace(sign, mark)
    return "\n".join("    | " + line for line in text.split("\n"))


def parses(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError:
        return False
    return True
