"""What a comparison says of each form of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ..measure.fidelity import Fidelity
from ..measure.figures import Figures, NotMeasured, Report
from ..measure.timing import percentile


@dataclass(frozen=True)
class FirstLine:
    """From asking for a suggestion to its first whole line, over the cursors that got one.

    Percentiles are of the cursors of one round, and of them the medians over the rounds.
    """

    p50_ms: float
    p95_ms: float
    cursors: int
    suggested: int  # cursors at which the model suggested something


@dataclass(frozen=True)
class Passes:
    """pass@1 of a benchmark, and where it differs from full precision's."""

    benchmark: str
    problems: int
    solved: int
    pass_at_1: float
    low: float  # of the 95 % confidence interval
    high: float
    gained: Sequence[str] | None  # problems that this form alone solves; None without a baseline
    lost: Sequence[str] | None  # problems that full precision alone solves
    p_value: float | None  # of the exact two-sided McNemar test that both are as likely
    left_out: Sequence[str]  # problems without a verdict


@dataclass(frozen=True)
class Form:
    """One form of a model in all its figures. What could not be measured is None."""

    figures: Figures
    first_line: FirstLine | None
    fidelity: Fidelity | None
    passes: Passes | None
    measured: str  # when the oldest of its figures was measured: UTC, as in "2026-11-21T19:40:03Z"
    busy: bool  # some of its times were taken while the machine had other things to do

    @property
    def name(self) -> str:
        """As `Artifact.name`."""
        return self.figures.name


@dataclass(frozen=True)
class HeldOut:
    """What fidelity was measured on."""

    source: str
    sha256: str  # of the tokens
    windows: int
    tokens: int  # in each window


@dataclass(frozen=True)
class Pick:
    """The form that a condition chooses."""

    condition: str
    form: str | None  # None where no form satisfies it
    why: str
    refused: tuple[NotMeasured, ...]  # the other forms, each with what it does not satisfy


@dataclass(frozen=True)
class Comparison:
    """All forms of a model side by side."""

    bench: Report
    forms: tuple[Form, ...]
    text: HeldOut | None  # None without a baseline
    failed: tuple[NotMeasured, ...]  # what could not be measured, of forms that have some figures too
    pick: Pick | None = None

    @property
    def baseline(self) -> Form | None:
        """Full precision."""
        return next((form for form in self.forms if form.name == self.bench.baseline), None)


def first_line_of(rounds: Sequence[Sequence[float | None]]) -> FirstLine | None:
    """What the rounds' times say together, each round with a time a cursor; None where nothing was ever suggested."""
    timed = [[one for one in times if one is not None] for times in rounds]
    if not timed or not all(timed):
        return None
    return FirstLine(
        p50_ms=median(percentile(times, 50) for times in timed),
        p95_ms=median(percentile(times, 95) for times in timed),
        cursors=len(rounds[0]),
        suggested=min(map(len, timed)),
    )
