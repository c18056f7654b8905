"""Sections of textbooks, asked for by topic, audience and form, and kept where there is something to learn from.

The paper gets its diversity from constraints on topic and audience ("Textbooks Are All You Need", section 2.2).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from edge_phi.errors import InvalidCall

from .. import tokens
from ..records import Record
from ..steps import Counts, Say, Step, run_step
from .asked import Question, ask_shards
from .budget import Caps
from .code_blocks import blocks, parses
from .plan import draw
from .request import Endpoint, Request
from .subjects import AUDIENCES, FORMS, TOPICS

STEP = "textbooks"
SOURCE = "textbooks_asked"
COLUMNS = {
    "topic": pa.string(),
    "audience": pa.string(),
    "form": pa.string(),
    "prompt": pa.string(),
    "model": pa.string(),
    "truncated": pa.bool_(),
    "code_blocks": pa.int32(),  # of Python that parses
    "broken_blocks": pa.int32(),  # of Python that does not
}
_SYSTEM = "You write textbooks about programming in Python: precise, calm, and correct to the last line of code."
_PROMPT = """\
Write one section of a textbook.

Topic: {topic}
Reader: {audience}
Form: {form}

Explain the idea in your own plain words before you show it. Include at least one complete Python program that runs as
it stands with the standard library alone; put every program between ```python and ```. Say what each program prints,
and check by hand that it does. Begin with the section's title, address the reader where it helps, and stop when the
section is complete."""
_LEAST_WORDS = 60
_GRAM = 5  # words
_LEAST_NEW = 0.6  # share of runs of five words that come once; prose and code together are above 0.9


def ask_textbooks(
    out: Path,
    endpoint: Endpoint,
    *,
    count: int = 1000,
    seed: int = 0,
    temperature: float = 0.8,
    max_tokens: int = 1500,
    license: str = "unknown",
    caps: Caps = Caps(),  # noqa: B008
    workers: int = 1,
    say: Say,
) -> Counts:
    """Ask for `count` sections and write those that are worth it to shards in `out`.

    The answers are kept in `out`.answers.jsonl: what is in there is not asked for again.

    Args:
        out: a folder; its shards have the columns `COLUMNS` beside the record's.
        endpoint: whom to ask.
        count: of questions; a larger one later asks what is new.
        seed: the same asks the same.
        temperature: of sampling.
        max_tokens: of a section; where one is stopped by it, its last paragraph goes.
        license: what the endpoint's terms allow.
        caps: on what is spent.
        workers: processes that check.
        say: told one line now and then.

    Raises:
        InvalidCall: a number that cannot be, or `out` holds something else.
        EdgePhiError: the endpoint stays away or refuses; the disk is full.
    """
    if count < 1 or max_tokens < 1 or not 0 <= temperature <= 2:
        raise InvalidCall("--count and --max-tokens take a number of at least 1, --temperature one from 0 to 2")

    def questions() -> Iterator[Question]:
        for number in range(count):
            (topic, audience, form), sample = draw(number, (TOPICS, AUDIENCES, FORMS), seed=seed)
            prompt = _PROMPT.format(topic=topic, audience=audience, form=form)
            request = Request((("system", _SYSTEM), ("user", prompt)), temperature, max_tokens, sample)
            yield Question(request, f"{_slug(topic)}/{number}.md", {"topic": topic, "audience": audience, "form": form})

    asked = ask_shards(
        out, questions, endpoint, step=STEP, source=SOURCE, license=license, caps=caps, essence=_essence, say=say
    )
    settings = {"least_words": _LEAST_WORDS, "gram": _GRAM, "least_new": _LEAST_NEW, "version": 1}
    return run_step(Step(STEP, settings, _worth_keeping, COLUMNS), asked, out, workers=workers, say=say)


def _worth_keeping(records: Iterator[Record], dropped: Counter[str]) -> Iterator[Record]:
    for record in records:
        text = _whole_paragraphs(record.text) if record.added["truncated"] else record.text.strip() + "\n"
        python = [block for block in blocks(text) if block.is_python]
        parsing = sum(map(parses, python))
        reason = record.added["refused"] or _unfit(text, len(python), parsing, record.added["duplicate"])
        if reason:
            dropped[reason] += 1
            continue
        added = {name: record.added[name] for name in COLUMNS if name in record.added}
        added |= {"code_blocks": parsing, "broken_blocks": len(python) - parsing}
        yield replace(record, text=text, tokens=tokens.count([text])[0], added=added)


def _unfit(text: str, python: int, parsing: int, duplicate: bool) -> str | None:
    if len(text.split()) < _LEAST_WORDS:
        return "nearly empty"
    if is_looping(text):
        return "says the same again and again"
    if not python:
        return "no Python code block"
    if not parsing:
        return "no code block parses"
    return "duplicate" if duplicate else None


def is_looping(text: str) -> bool:
    """Whether more than two fifths of the runs of five words came before."""
    words = text.split()
    runs = [tuple(words[start : start + _GRAM]) for start in range(len(words) - _GRAM + 1)]
    return len(set(runs)) < _LEAST_NEW * len(runs)


def _whole_paragraphs(text: str) -> str:
    """Up to the last empty line outside a block of code: what comes after it was cut off."""
    end, fence = 0, ""
    at = 0
    for line in text.splitlines(keepends=True):
        marker = re.match(r"\s{0,3}(`{3,}|~{3,})", line)
        if marker and (not fence or marker[1].startswith(fence)):
            fence = "" if fence else marker[1]
        if not fence and not line.strip():
            end = at
        at += len(line)
    return text[:end].strip() + "\n"


def _essence(text: str, _: Question) -> bytes | None:
    words = re.findall(r"\w+", text.lower())
    return hashlib.sha256(" ".join(words).encode()).digest()[:16] if words else None


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))
