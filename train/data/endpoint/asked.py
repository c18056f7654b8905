"""Questions and their answers as record shards, in the order of the plan: what the steps that check answers read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from .. import tokens
from ..records import Record, write_records
from ..steps import Say, check_place
from .ask import Asked, ask_all
from .budget import Caps
from .cache import Journal
from .request import Endpoint, Request

ASKED_FOLDER = ".asked"
_SHARD = 1000  # answers


@dataclass(frozen=True)
class Question:
    """A request, and what its answer is to be filed under."""

    request: Request
    path: str
    about: Mapping[str, str]


# Gives what two answers that say the same have in common, None for an answer that says nothing.
Essence = Callable[[str, Question], "bytes | None"]


def journal_of(out: Path) -> Path:
    """Where the answers that `out` is made from are kept; removing `out` does not remove them."""
    return out.with_name(out.name + ".answers.jsonl")


def ask_shards(
    out: Path,
    questions: Callable[[], Iterator[Question]],
    endpoint: Endpoint,
    *,
    step: str,
    source: str,
    license: str,
    caps: Caps,
    essence: Essence,
    say: Say,
) -> Path:
    """Ask all questions and write what came of each to shards.

    The columns added are those of `about`, and `prompt`, `model`, `truncated`, `refused` (why there is nothing to keep,
    null where there is something) and `duplicate` (an earlier answer has the same essence).

    Returns:
        The folder of the shards, within `out`.

    Raises:
        InvalidCall: `out` holds something else than that step's shards, or another process is at it.
        EdgePhiError: see `ask_all`.
    """
    check_place(out, step)  # before anything is paid for
    with Journal(journal_of(out)) as journal:
        before = len(journal)
        asked = ask_all(endpoint, (question.request for question in questions()), journal, caps=caps, say=say)
        say(summary(journal, before, asked, caps))
        return _write(out / ASKED_FOLDER, questions(), journal, asked, endpoint.model, source, license, essence)


def summary(journal: Journal, before: int, asked: Asked, caps: Caps) -> str:
    """One line: what was asked, what was there, what it took."""
    spent = journal.spent
    line = f"{asked.answered:,} answers, {before:,} were there; {spent.prompt:,} + {spent.completion:,} tokens in all"
    if caps.prompt_price or caps.completion_price:
        line += f", at a price of {caps.cost(spent):.4f}"
    if journal.lost:
        line += f"; {journal.lost:,} requests that may have been charged for got no usable answer"
    if journal.damaged:
        line += f"; {journal.damaged:,} damaged lines in {journal.path}"
    if asked.spent_out:
        line += "; the budget is spent"
    return line


def _write(
    folder: Path,
    questions: Iterator[Question],
    journal: Journal,
    asked: Asked,
    model: str,
    source: str,
    license_: str,
    essence: Essence,
) -> Path:
    seen: set[bytes] = set()

    def records(some: Iterable[Question]) -> Iterator[Record]:
        for question in some:
            key = question.request.key(model)
            answer = journal.get(key)
            refused = asked.why_not(key) if answer is None else answer.defect
            text = "" if answer is None or refused else answer.text
            said = essence(text, question) if text else None
            yield Record(
                f"{source}/{key[:32]}",
                source,
                question.path,
                license_,
                text,
                tokens.count([text])[0],
                {
                    **question.about,
                    "prompt": question.request.messages[-1][1],
                    "model": model,
                    "truncated": answer is not None and answer.truncated,
                    "refused": refused,
                    "duplicate": said in seen,
                },
            )
            if said is not None:
                seen.add(said)

    folder.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    while chunk := list(islice(questions, _SHARD)):
        shard = folder / f"{len(written):05}.parquet"
        columns = {
            **dict.fromkeys(chunk[0].about, pa.string()),
            "prompt": pa.string(),
            "model": pa.string(),
            "truncated": pa.bool_(),
            "refused": pa.string(),
            "duplicate": pa.bool_(),
        }
        write_records(shard, records(chunk), columns, seen=lambda _: None)
        written.add(shard)
    for stale in set(folder.glob("[0-9]*.parquet")) - written:
        stale.unlink()
    return folder
