"""From verdicts to a score: what counts, what is left out, and how sure the number is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from .pass_at_k import Estimate, bootstrap, pass_at_k, upper_bound_of_none
from .sandbox import Outcome
from .similar import Similar

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Score:
    """pass@k over a set of problems."""

    problems: int
    solved: int  # problems with a sample that passed
    pass_at_k: Mapping[int, Estimate]  # for each k that every problem has samples for

    @property
    def bound(self) -> float | None:
        """Where none or all were solved, how far from that the truth may be; see `upper_bound_of_none`."""
        return upper_bound_of_none(self.problems) if self.problems and self.solved in (0, self.problems) else None


@dataclass(frozen=True)
class Result:
    """One run of one benchmark."""

    settings: Mapping[str, Any]
    score: Score
    similar: Score | None  # of the problems that the training data came near to, where that is known
    other: Score | None  # of all others
    tau: float | None
    outcomes: Mapping[str, int]  # samples; an infrastructure error is no fail
    errors: Sequence[str]  # problems without a verdict for one of their samples, left out of the score
    missing: Sequence[str]  # problems without a sample, left out of the score
    tokens: int
    empty: int  # samples in which the model wrote nothing but white space
    too_long: int  # prompts that did not fit the model's context
    unfinished: int  # samples that used up their tokens
    dropped: int  # damaged lines, left out
    generation_s: float
    checking_s: float

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @property
    def sound(self) -> bool:
        """Every problem was judged."""
        return not (self.errors or self.missing)


def score(verdicts: Mapping[str, Sequence[Outcome]], ks: Iterable[int], *, seed: int = 0) -> Score:
    """pass@k of problems, each with the outcomes of its samples.

    An empty score, without estimates, where there are no problems, or no k for which all have samples enough.
    """
    counts = [(len(outcomes), sum(outcome == "pass" for outcome in outcomes)) for outcomes in verdicts.values()]
    fewest = min((samples for samples, _ in counts), default=0)
    estimates = {
        k: bootstrap([pass_at_k(samples, passed, k) for samples, passed in counts], seed=seed)
        for k in sorted(set(ks))
        if k <= fewest
    }
    return Score(len(counts), sum(passed > 0 for _, passed in counts), estimates)


def result(
    settings: Mapping[str, Any],
    task_ids: Sequence[str],
    samples: Sequence[Mapping[str, Any]],
    outcomes: Sequence[tuple[Outcome, float]],
    *,
    ks: Iterable[int],
    similar: Similar | None = None,
    dropped: int = 0,
) -> Result:
    """Put a run's samples and their outcomes together.

    Args:
        settings: what the run was made with.
        task_ids: the problems that were to be judged.
        samples: records with "task_id", "completion" and, of a model's, "finish", "tokens" and "seconds".
        outcomes: of each sample the outcome and the seconds it took to find.
        ks: the k of pass@k.
        similar: the problems that the model's training data came near to, if that is known.
        dropped: lines that could not be read.
    """
    by_task: dict[str, list[Outcome]] = defaultdict(list)
    for sample, (outcome, _) in zip(samples, outcomes, strict=True):
        by_task[sample["task_id"]].append(outcome)
    errors = [task_id for task_id in task_ids if "infrastructure_error" in by_task[task_id]]
    missing = [task_id for task_id in task_ids if not by_task[task_id]]
    judged = {task_id: by_task[task_id] for task_id in task_ids if task_id not in {*errors, *missing}}
    ks = tuple(ks)
    counts = Counter(outcome for outcome, _ in outcomes)
    finishes = Counter(sample.get("finish") for sample in samples)
    seen = similar.task_ids if similar else frozenset()
    return Result(
        settings=settings,
        score=score(judged, ks),
        similar=score({id_: found for id_, found in judged.items() if id_ in seen}, ks) if similar else None,
        other=score({id_: found for id_, found in judged.items() if id_ not in seen}, ks) if similar else None,
        tau=similar.tau if similar else None,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        errors=errors,
        missing=missing,
        tokens=sum(sample.get("tokens", 0) for sample in samples),
        empty=sum(not sample["completion"].strip() for sample in samples),
        too_long=finishes["prompt_too_long"],
        unfinished=finishes["length"],
        dropped=dropped,
        generation_s=sum(sample.get("seconds", 0.0) for sample in samples),
        checking_s=sum(seconds for _, seconds in outcomes),
    )
