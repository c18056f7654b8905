"""What each step of the pipeline kept: a table for the terminal, a picture for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .steps import Counts

_REASONS = 4  # a step, most frequent first
_SOURCES = 7  # with a colour of their own


@dataclass(frozen=True)
class Stage:
    """What was there after a step.

    Attributes:
        name: of the step.
        documents: records.
        tokens: as the bundled tokenizer counts them.
        dropped: documents that the step dropped, by reason.
        sources: tokens by source.
    """

    name: str
    documents: int
    tokens: int
    dropped: Mapping[str, int]
    sources: Mapping[str, int]


def stage(name: str, counts: Counts) -> Stage:
    """A step's counts as a stage of the funnel."""
    sources = {source: int(value["tokens"]) for source, value in counts.sources.items()}
    return Stage(name, counts.records_out, counts.tokens_out, dict(counts.dropped), sources)


def table(stages: Sequence[Stage]) -> list[str]:
    """Lines of text: documents and tokens after each step, with the reasons for what it dropped below it."""
    lines = [f"{'after':<16}{'documents':>12}{'tokens':>16}{'dropped':>12}"]
    for each in stages:
        lines.append(f"{each.name:<16}{each.documents:>12,}{each.tokens:>16,}{sum(each.dropped.values()):>12,}")
        ordered = Counter(each.dropped).most_common()
        lines += [f"{'':<44}{number:>12,}  {reason}" for reason, number in ordered[:_REASONS]]
        if len(ordered) > _REASONS:
            rest = sum(number for _, number in ordered[_REASONS:])
            lines.append(f"{'':<44}{rest:>12,}  for {len(ordered) - _REASONS} other reasons")
    return lines


def plot(stages: Sequence[Stage], path: Path) -> None:
    """Draw tokens after each step as stacked bars, one colour a source; the small sources share one."""
    from matplotlib.figure import Figure

    from edge_phi.atomic import atomic_path

    largest = Counter[str]()
    for each in stages:
        largest |= Counter(each.sources)
    named = [source for source, _ in largest.most_common(_SOURCES)]
    figure = Figure(figsize=(10, 0.7 * len(stages) + 1.6), layout="constrained")
    axes = figure.add_subplot()
    left = [0.0] * len(stages)
    for source in [*named, "others"]:
        widths = [
            (each.sources.get(source, 0) if source in named else each.tokens - _of(each, named)) / 1e6
            for each in stages
        ]
        if any(widths):
            axes.barh(range(len(stages)), widths, left=left, label=source, height=0.7)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    for row, each in enumerate(stages):
        axes.annotate(
            f" {each.documents:,} documents", (left[row], row), va="center", fontsize="small", annotation_clip=False
        )
    axes.set_yticks(range(len(stages)), [each.name for each in stages])
    axes.invert_yaxis()
    axes.set_xlim(0, max(left) * 1.2)
    axes.set_xlabel("million tokens after the step")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize="small", frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=130, format=path.suffix[1:])


def _of(each: Stage, sources: Sequence[str]) -> int:
    return sum(each.sources.get(source, 0) for source in sources)
