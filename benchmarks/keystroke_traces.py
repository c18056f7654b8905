"""Make the editing traces that `keystrokes.py` replays: this project's own files as they were written and changed.

A trace is one file's change in the history: the old text, and then what a person does to make the new one of it. They
jump to each place that changed, delete what is gone and type what is new, with typing errors they take back, pauses
before statements, and now and then a look at what is suggested. Of a new file the first part is there already.
Times are drawn from a generator with a seed.

    python benchmarks/keystroke_traces.py [--out FOLDER] [--count N] [--seed N]

Traces that are in the folder stay: those that are to be made anew are deleted first. A trace is one in which somebody
is asked for a suggestion again and again: not of edits with much to the right of the cursor.

A trace is JSON lines. The first says where it is from and has the text and the cursor to begin with, in characters;
each other one is an event, `ms` after the one before it: {"type": TEXT}, {"delete": CHARACTERS} before the cursor,
{"move": CURSOR}, or {"look": true}, where a suggestion is taken as far as it is what would be typed next.
"""

from __future__ import annotations

import argparse
import difflib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from revision import REPOSITORY

from edge_phi import atomic

FOLDER = REPOSITORY / "benchmarks/traces"

_LONGEST_FILE = 6000  # characters: a trace is kept in the repository
_TYPED = (90, 150)  # characters of a trace, at least and at most
_FEWEST_ASKED = 40  # keys of a trace
_MOST_RIGHT = 8  # characters right of the cursor from which on nobody is asked, for all systems
KEY_MS, _SPREAD = 130, 0.45  # median within a word, and standard deviation of the logarithm
_WORD_MS, _LINE_MS, _JUMP_MS = 170, 420, 900
_THINK_MS, _LOOK_MS = 1400, 700
_TYPO, _LOOK, _THINK = 0.02, 0.12, 0.25  # of characters; of words; of lines
_NEIGHBOURS = {"a": "s", "e": "r", "i": "o", "n": "m", "r": "t", "s": "d", "t": "y", "o": "p", "l": "k", "f": "g"}


@dataclass(frozen=True)
class Trace:
    """A person at work on one file."""

    name: str
    text: str
    cursor: int
    events: tuple[dict[str, object], ...]


def read_traces(folder: Path = FOLDER) -> list[Trace]:
    """All traces of a folder, by name."""
    traces = []
    for path in sorted(folder.glob("*.jsonl")):
        header, *events = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        traces.append(Trace(path.stem, header["text"], header["cursor"], tuple(events)))
    return traces


def edited(text: str, cursor: int, event: dict[str, object]) -> tuple[str, int]:
    """The text and the cursor after a key or a jump."""
    if "move" in event:
        return text, int(event["move"])  # type: ignore[call-overload]
    new, gone = str(event.get("type", "")), int(event.get("delete", 0))  # type: ignore[call-overload]
    return text[: cursor - gone] + new + text[cursor:], cursor - gone + len(new)


def asks(event: dict[str, object], before: str, after: str) -> bool:
    """Whether anybody is asked after `event`: not at a jump, nor with much to the right of the cursor."""
    return "move" not in event and len(after.split("\n", 1)[0].rstrip()) <= _MOST_RIGHT and bool(before.strip())


def count_asked(text: str, cursor: int, events: Sequence[dict[str, object]]) -> int:
    """After how many events somebody is asked, if no suggestion is taken."""
    asked = 0
    for event in events:
        text, cursor = edited(text, cursor, event)
        asked += "look" not in event and asks(event, text[:cursor], text[cursor:])
    return asked


def common_characters(first: str, second: str) -> int:
    """How many characters both begin with."""
    pairs = zip(first, second, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


class Hand:
    """Types, with the times that fingers take."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self.events: list[dict[str, object]] = []

    def add(self, median_ms: float, **event: object) -> None:
        """Do `event` after about `median_ms`."""
        self.events.append({"ms": round(median_ms * float(np.exp(self._random.normal(0, _SPREAD)))), **event})

    def type(self, text: str) -> None:
        """Type `text`; a line's indentation comes with its newline, as editors give it."""
        place = 0
        while place < len(text):
            key = text[place]
            word = place == 0 or (key.isalnum() and not text[place - 1].isalnum())
            if key == "\n":
                indent = len(text) - place - 1 - len(text[place + 1 :].lstrip(" "))
                self.add(_LINE_MS, type=text[place : place + 1 + indent])
                place += 1 + indent
                if self._random.random() < _THINK:
                    self.add(_THINK_MS, look=True)
                continue
            if word and self._random.random() < _LOOK:
                self.add(_LOOK_MS, look=True)
            if key in _NEIGHBOURS and self._random.random() < _TYPO:
                self.add(KEY_MS, type=_NEIGHBOURS[key])
                self.add(2 * KEY_MS, delete=1)
            self.add(_WORD_MS if word else KEY_MS, type=key)
            place += 1

    def delete(self, count: int) -> None:
        """Delete `count` characters before the cursor, many of them line by line as a selection would."""
        while count > 0:
            some = 1 if count <= 12 else min(count, 40)
            self.add(KEY_MS, delete=some)
            count -= some


def changed(old: str, new: str, random: np.random.Generator) -> tuple[list[dict[str, object]], int] | None:
    """What makes `new` of `old`, line by line from the top, as far as a trace goes; and how much of it is typed."""
    old_lines, new_lines = old.splitlines(keepends=True), new.splitlines(keepends=True)
    hand, typed, moved = Hand(random), 0, 0  # moved: how much longer the text has become
    starts = np.cumsum([0, *(len(line) for line in old_lines)])
    for kind, first, last, new_first, new_last in difflib.SequenceMatcher(None, old_lines, new_lines).get_opcodes():
        if kind == "equal":
            continue
        removed, added = "".join(old_lines[first:last]), "".join(new_lines[new_first:new_last])
        # Of lines that were changed, what is the same at both ends stays.
        head = common_characters(removed, added)
        tail = common_characters(removed[head:][::-1], added[head:][::-1])
        gone, come = removed[head : len(removed) - tail], added[head : len(added) - tail]
        if len(gone) > 200 or (typed and typed + len(come) > _TYPED[1]):
            break
        hand.add(_JUMP_MS, move=int(starts[first]) + head + len(gone) + moved)
        hand.delete(len(gone))
        hand.type(come[: _TYPED[1]])
        typed += len(come[: _TYPED[1]])
        moved += len(come) - len(gone)
        if typed >= _TYPED[0]:
            return hand.events, typed
        if len(come) > _TYPED[1]:
            break
    return (hand.events, typed) if typed >= _TYPED[0] else None


def history() -> Iterator[tuple[str, str]]:
    """Every change of a Python file: commit and path."""
    log = git("log", "--reverse", "--no-merges", "--no-renames", "--format=%H", "--name-only", "--", "*.py")
    commit = ""
    for line in log.splitlines():
        if line.endswith(".py"):
            yield commit, line
        elif line:
            commit = line


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def show(name: str) -> str:
    shown = subprocess.run(["git", "-C", str(REPOSITORY), "show", name], capture_output=True, text=True)
    return shown.stdout if shown.returncode == 0 else ""


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--out", type=Path, default=FOLDER)
    arguments.add_argument("--count", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    random = np.random.default_rng(given.seed)
    changes = list(history())
    random.shuffle(changes)
    given.out.mkdir(parents=True, exist_ok=True)
    missing = [path for number in range(given.count) if not (path := given.out / f"{number:02d}.jsonl").is_file()]
    paths = {
        json.loads(path.read_text(encoding="utf-8").partition("\n")[0])["path"] for path in given.out.glob("*.jsonl")
    }
    written = 0  # files typed from nothing
    for commit, path in changes:
        if not missing:
            break
        old, new = show(f"{commit}~1:{path}"), show(f"{commit}:{path}")
        if not 200 < len(new) <= _LONGEST_FILE or old == new:
            continue
        if path in paths or (not old and written >= given.count // 3):
            continue
        new_file = not old
        if new_file:
            cuts = [at + 1 for at, sign in enumerate(new[:-1]) if sign == "\n" and not new[at + 1].isspace()]
            old = new[: int(random.choice(cuts))] if cuts else ""
        made_of = changed(old, new, random)
        if made_of is None:
            continue
        events, typed = made_of
        if count_asked(old, 0, events) < _FEWEST_ASKED:
            continue
        header = {"commit": commit, "path": path, "text": old, "cursor": 0, "typed": typed}
        lines = [json.dumps(line, ensure_ascii=False) for line in (header, *events)]
        atomic.write_bytes(missing.pop(0), ("\n".join(lines) + "\n").encode())
        paths.add(path)
        written += new_file


if __name__ == "__main__":
    main()
