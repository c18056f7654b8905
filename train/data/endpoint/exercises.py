"""Exercises asked for by drawn names, and kept if their solution passes its tests in the sandbox.

The paper gets the diversity of CodeExercises from constraints on function names ("Textbooks Are All You Need", section
2.3); nobody ran what came. Here an exercise stays if its solution passes the tests that came with it, keeps what its
docstring's examples promise, and the tests tell it from a function that returns a constant or an argument.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.evaluate.sandbox import Examination, Limits, Sandbox, Verdict

from .. import tokens
from ..records import Record
from ..steps import Counts, Say, Step, run_step
from .asked import Question, ask_shards
from .budget import Caps
from .extract import Exercise, Unfit, essence, extract, mutants
from .plan import draw
from .request import Endpoint, Request
from .subjects import CONSTRAINTS, NOUNS, THEMES, VERBS

STEP = "ask-exercises"
SOURCE = "exercises_asked"
COLUMNS = {
    "prompt": pa.string(),  # imports, signature and docstring; `text` is this and the solution
    "solution": pa.string(),
    "tests": pa.string(),
    "asked": pa.string(),  # the name that was drawn
    "theme": pa.string(),
    "constraint": pa.string(),
    "model": pa.string(),
}
_SYSTEM = "You write small exercises in Python that are correct and that run."
_PROMPT = """\
Write one exercise: a Python function named {name}. Let its story be about {theme}. Constraint: {constraint}.

Answer with one block of code and nothing else:

```python
def {name}(...):
    \"\"\"What it does, for which input, and what it returns: enough to write it from this alone.\"\"\"
    ...the solution, with the standard library only


assert {name}(...) == ...
```

After the function write at least four assert statements that call it with different arguments and compare with the
values it must return, an unusual case among them. Work each of those values out by hand."""
_LIMITS = Limits(seconds=20.0, cpu_seconds=2, memory_bytes=512 << 20)
_MUTANTS = 16
_TRIES = 3  # where the sandbox fails, not the program


def ask_exercises(
    out: Path,
    endpoint: Endpoint,
    *,
    count: int = 1000,
    seed: int = 0,
    temperature: float = 0.8,
    max_tokens: int = 800,
    license: str = "unknown",
    caps: Caps = Caps(),  # noqa: B008
    workers: int = 1,
    say: Say,
) -> Counts:
    """Ask for `count` exercises and write those that hold to shards in `out`.

    The answers are kept in `out`.answers.jsonl: what is in there is not asked for again.

    Args:
        out: a folder; its shards have the columns `COLUMNS` beside the record's.
        endpoint: whom to ask.
        count: of questions; a larger one later asks what is new.
        seed: the same asks the same.
        temperature: of sampling.
        max_tokens: of an exercise.
        license: what the endpoint's terms allow.
        caps: on what is spent.
        workers: processes that run exercises.
        say: told one line now and then.

    Raises:
        InvalidCall: a number that cannot be, or `out` holds something else.
        EdgePhiError: the endpoint stays away or refuses; this machine cannot hold untrusted programs; the disk is full.
    """
    if count < 1 or max_tokens < 1 or not 0 <= temperature <= 2:
        raise InvalidCall("--count and --max-tokens take a number of at least 1, --temperature one from 0 to 2")
    with Sandbox():  # before anything is paid for
        pass

    def questions() -> Iterator[Question]:
        for number in range(count):
            (verb, noun, theme, constraint), sample = draw(number, (VERBS, NOUNS, THEMES, CONSTRAINTS), seed=seed)
            name = f"{verb}_{noun}"
            prompt = _PROMPT.format(name=name, theme=theme, constraint=constraint)
            request = Request((("system", _SYSTEM), ("user", prompt)), temperature, max_tokens, sample)
            yield Question(request, f"{name}/{number}.py", {"asked": name, "theme": theme, "constraint": constraint})

    asked = ask_shards(
        out, questions, endpoint, step=STEP, source=SOURCE, license=license, caps=caps, essence=_essence, say=say
    )
    settings = {"cpu_seconds": _LIMITS.cpu_seconds, "memory_bytes": _LIMITS.memory_bytes, "version": 1}
    return run_step(Step(STEP, settings, _those_that_hold, COLUMNS), asked, out, workers=workers, say=say)


def check(exercise: Exercise, sandbox: Sandbox) -> str:
    """Why not to keep an exercise, "" if it holds.

    Raises:
        EdgePhiError: the sandbox fails.
    """
    verdict = _run(exercise, exercise.text, exercise.tests, sandbox)
    if verdict.outcome != "pass":
        return "runs too long" if verdict.outcome == "timeout" else "fails its tests"
    if exercise.examples and not _run(exercise, exercise.text, exercise.examples, sandbox).passed:
        return "its docstring's examples are wrong"
    for mutant in mutants(exercise, _MUTANTS):
        if _run(exercise, mutant, exercise.tests, sandbox).passed:
            return "trivial: returning a constant or an argument passes its tests"
    return ""


def _those_that_hold(records: Iterator[Record], dropped: Counter[str]) -> Iterator[Record]:
    with Sandbox() as sandbox:
        for record in records:
            try:
                exercise = _exercise_of(record)
            except Unfit as unfit:
                dropped[str(unfit)] += 1
                continue
            reason = check(exercise, sandbox)
            if reason:
                dropped[reason] += 1
                continue
            added = {name: record.added[name] for name in COLUMNS if name in record.added}
            added |= {"prompt": exercise.prompt, "solution": exercise.solution, "tests": exercise.tests}
            text = exercise.text
            yield replace(record, text=text, tokens=tokens.count([text])[0], added=added)


def _exercise_of(record: Record) -> Exercise:
    """The exercise in an answer.

    Raises:
        Unfit: there is none, or there was the same one before.
    """
    if record.added["refused"]:
        raise Unfit(record.added["refused"])
    try:
        exercise = extract(record.text, record.added["asked"])
    except Unfit:
        if record.added["truncated"]:
            raise Unfit("cut off by the limit on its tokens") from None
        raise
    if record.added["duplicate"]:
        raise Unfit("duplicate")
    return exercise


def _run(exercise: Exercise, solution: str, tests: str, sandbox: Sandbox) -> Verdict:
    for _ in range(_TRIES):
        verdict = sandbox.check(Examination(solution, tests, names=exercise.names), _LIMITS)
        if verdict.outcome != "infrastructure_error":
            return verdict
    raise EdgePhiError(f"the sandbox fails ({verdict.detail}): see edge-phi doctor; the answers are kept")


def _essence(answer: str, question: Question) -> bytes | None:
    said = essence(answer, question.about["asked"])
    return None if said is None else hashlib.sha256(said.encode("utf-8", "replace")).digest()[:16]
