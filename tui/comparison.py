"""The figures of two engines on the same prompt, side by side, as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .latency import Course, History, p50_p95
from .race import first_difference

if TYPE_CHECKING:
    from edge_phi.completion.suggestion import Suggestion

NOTHING = "–"


@dataclass(frozen=True)
class EngineView:
    """What is known of one engine: what it is, what it does now, and its figures for request `ticket`."""

    engine: str  # "onnx", "llama_cpp", "torch"
    quant: str  # "int4", "float32" ...
    state: str = "waiting"
    load_ms: float | None = None
    ticket: int | None = None
    suggestion: Suggestion | None = None
    course: Course | None = None  # of the suggestion, from the key


class Figure(NamedTuple):
    """One figure of both engines as text; a ratio above 1 speaks for the quantized one."""

    label: str
    quantized: str
    baseline: str
    ratio: str


def compare(quantized: EngineView, baseline: EngineView) -> list[Figure]:
    """All figures of both engines.

    A ratio is given only where both did the same work: the same prompt, and for TTFT the same number of tokens
    computed (prompt less cached), for the total also the same number generated.
    """
    ours, theirs = _Numbers.of(quantized), _Numbers.of(baseline)
    same_prompt = quantized.ticket is not None and quantized.ticket == baseline.ticket
    same_prefill = same_prompt and ours.computed == theirs.computed
    same_work = same_prefill and ours.tokens == theirs.tokens
    return [
        Figure("load", _ms(ours.load), _ms(theirs.load), _ratio(theirs.load, ours.load)),
        Figure("prompt", _count(ours.prompt), _count(theirs.prompt), ""),
        Figure("cached", _count(ours.cached), _count(theirs.cached), ""),
        Figure("TTFT", _ms(ours.ttft), _ms(theirs.ttft), _ratio(theirs.ttft, ours.ttft) if same_prefill else ""),
        Figure("total", _ms(ours.total), _ms(theirs.total), _ratio(theirs.total, ours.total) if same_work else ""),
        Figure("tokens", _count(ours.tokens), _count(theirs.tokens), ""),
        Figure("tok/s", _rate(ours.rate), _rate(theirs.rate), _ratio(ours.rate, theirs.rate) if same_prompt else ""),
    ]


def remarks(quantized: EngineView, baseline: EngineView) -> list[str]:
    """In words, how far both texts are the same, and why a ratio is missing; none before both have answered."""
    ours, theirs = quantized.suggestion, baseline.suggestion
    if ours is None or theirs is None or quantized.ticket != baseline.ticket:
        return []
    same_prefill = _Numbers.of(quantized).computed == _Numbers.of(baseline).computed
    return [_agreement(ours.text, theirs.text), *([] if same_prefill else ["caches differ: TTFT has no ratio"])]


def stages(view: EngineView) -> list[tuple[str, str]]:
    """What the suggestion took from the last key on, as (label, figure)."""
    course = view.course or Course(*[None] * 5)  # type: ignore[arg-type]
    return [
        ("pause", _ms(course.pause_ms)),
        ("queued", _ms(course.queued_ms)),
        ("prefill", _ms(course.prefill_ms)),
        ("first token", _ms(course.first_ms)),
        ("total", _ms(course.total_ms)),
    ]


def percentiles(history: History) -> list[tuple[str, str, str]]:
    """What this session's suggestions took from the last key on, as (label, median, 95th percentile)."""
    rows = []
    for label, values in (("first token", history.first_ms), ("total", history.total_ms)):
        found = p50_p95(values)
        rows.append((label, *((_ms(found[0]), _ms(found[1])) if found else (NOTHING, NOTHING))))
    return rows


def _agreement(ours: str, theirs: str) -> str:
    agreed = first_difference(ours, theirs)
    return "same text" if agreed is None else f"text differs after {agreed} of {len(ours)} characters"


class _Numbers(NamedTuple):
    load: float | None = None  # ms
    prompt: int | None = None
    cached: int | None = None
    ttft: float | None = None  # ms
    total: float | None = None  # ms
    tokens: int | None = None
    rate: float | None = None  # decoded tokens a second

    @property
    def computed(self) -> int:
        """Prompt tokens that the engine had to compute, those in its cache left out."""
        return (self.prompt or 0) - (self.cached or 0)

    @classmethod
    def of(cls, view: EngineView) -> _Numbers:
        if view.suggestion is None:
            return cls(load=view.load_ms)
        timing = view.suggestion.timing
        return cls(
            timing.load_ms,
            timing.prompt_tokens,
            timing.cached_tokens,
            timing.ttft_ms,
            timing.total_ms,
            view.suggestion.tokens,
            timing.decode_tokens_per_s,
        )


def _ms(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value / 1000:.1f} s" if value >= 10_000 else f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def _count(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _rate(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(above: float | None, below: float | None) -> str:
    return f"{above / below:.1f}x" if above and below else ""
