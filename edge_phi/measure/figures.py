"""What is said of each form of a model: medians over rounds, and how it stands to the baseline.

Every figure is worked out within a round; what is reported is its median over the rounds, which one disturbed round
does not move. A ratio is that of two reported figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ..store import Artifact
from .machine import Machine, engine_version
from .timing import Latency, summarize
from .worker import Measurement


@dataclass(frozen=True)
class Ratios:
    """This form's figure divided by the baseline's, under the figure's name.

    None where either is unknown or the baseline's is 0.
    """

    ttft_ms: float | None
    decode_tokens_per_s: float | None
    peak_rss_bytes: float | None
    file_bytes: float | None


@dataclass(frozen=True)
class Agreement:
    """How far the greedy tokens after one prompt are the baseline's.

    After the first difference the two continue different texts, so what matches there is chance and counts for nothing.
    """

    prompt: str
    compared_tokens: int  # up to the baseline's end-of-text
    agreeing_fraction: float  # tokens before the first difference / compared tokens
    first_difference: int | None  # index of the first token that differs, None if none does


@dataclass(frozen=True)
class Figures:
    """One form of a model, measured."""

    name: str  # as `Artifact.name`
    engine: str
    engine_version: str
    quant: str
    threads: int
    load_ms: float
    ttft_ms: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    itl_p50_ms: float
    itl_p95_ms: float
    base_rss_bytes: int | None  # of the peak, what the interpreter alone takes
    peak_rss_bytes: int | None  # the highest of all rounds
    file_bytes: int
    rounds: tuple[Latency, ...]
    ratios: Ratios | None = None
    agreement: tuple[Agreement, ...] | None = None


@dataclass(frozen=True)
class NotMeasured:
    """A form that has no figures, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Prompt:
    """What was continued."""

    name: str  # as in `prompts.PROMPTS`
    tokens: int


@dataclass(frozen=True)
class Report:
    """All forms of a model side by side."""

    model: str
    baseline: str | None  # name of the form that ratios and agreement refer to
    rounds: int
    new_tokens: int  # decoded after each prompt
    prompts: tuple[Prompt, ...]
    machine: Machine
    artifacts: tuple[Figures, ...]
    skipped: tuple[NotMeasured, ...]  # not made, or without its engine
    failed: tuple[NotMeasured, ...]

    @property
    def ttft_prompt(self) -> Prompt:
        """The longest prompt: the one TTFT and prefill speed are of."""
        return max(self.prompts, key=lambda prompt: prompt.tokens)


def figures_of(artifact: Artifact, measurements: Sequence[Measurement]) -> Figures:
    """The medians of all rounds of one form."""
    rounds = tuple(summarize(measurement.timings) for measurement in measurements)

    def middle(figure: Callable[[Latency], float]) -> float:
        return median(figure(latency) for latency in rounds)

    peaks = [measurement.peak_rss_bytes for measurement in measurements]
    bases = [measurement.base_rss_bytes for measurement in measurements]
    return Figures(
        name=artifact.name,
        engine=measurements[0].engine,
        engine_version=engine_version(measurements[0].engine),
        quant=artifact.quant,
        threads=measurements[0].threads,
        load_ms=median(measurement.load_ms for measurement in measurements),
        ttft_ms=middle(lambda latency: latency.ttft_ms),
        prefill_tokens_per_s=middle(lambda latency: latency.prefill_tokens_per_s),
        decode_tokens_per_s=middle(lambda latency: latency.decode_tokens_per_s),
        itl_p50_ms=middle(lambda latency: latency.itl_p50_ms),
        itl_p95_ms=middle(lambda latency: latency.itl_p95_ms),
        base_rss_bytes=max((base for base in bases if base is not None), default=None),
        peak_rss_bytes=max((peak for peak in peaks if peak is not None), default=None),
        file_bytes=artifact.file_bytes,
        rounds=rounds,
    )


def against(figures: Figures, baseline: Figures) -> Figures:
    """`figures` with their ratios to the baseline's."""
    return replace(
        figures,
        ratios=Ratios(
            ttft_ms=_ratio(figures.ttft_ms, baseline.ttft_ms),
            decode_tokens_per_s=_ratio(figures.decode_tokens_per_s, baseline.decode_tokens_per_s),
            peak_rss_bytes=_ratio(figures.peak_rss_bytes, baseline.peak_rss_bytes),
            file_bytes=_ratio(figures.file_bytes, baseline.file_bytes),
        ),
    )


def agreement(prompt: str, tokens: Sequence[int], baseline: Sequence[int], end_of_text: int) -> Agreement:
    """Compare the tokens decoded after one prompt with the baseline's, up to where the baseline ends its text."""
    compared = baseline.index(end_of_text) + 1 if end_of_text in baseline else len(baseline)
    pairs = zip(tokens[:compared], baseline[:compared], strict=True)
    difference = next((step for step, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
    agreeing = compared if difference is None else difference
    return Agreement(prompt, compared, agreeing / compared, difference)


def agreeing_share(agreements: Sequence[Agreement]) -> float:
    """Tokens before the first difference / compared tokens, over all prompts."""
    agreeing = sum(one.agreeing_fraction * one.compared_tokens for one in agreements)
    return agreeing / sum(one.compared_tokens for one in agreements)


def _ratio(figure: float | None, baseline: float | None) -> float | None:
    return figure / baseline if figure is not None and baseline else None
