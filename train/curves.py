"""The loss curve of a run as a PNG."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from edge_phi.atomic import write_bytes


def plot_loss(metrics: list[dict[str, Any]], path: Path, *, title: str) -> None:
    """Draw training and validation loss over tokens, stages shaded, and write it to `path`.

    Args:
        metrics: one mapping a step, as `StepMetrics`.
        path: the PNG.
        title: above the plot.
    """
    from matplotlib.figure import Figure

    tokens = [row["tokens"] / 1e6 for row in metrics]
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(tokens, [row["loss"] for row in metrics], color="#9db8d2", linewidth=0.8, label="batch")
    axes.plot(tokens, _smoothed([row["loss"] for row in metrics]), color="#1f5f99", linewidth=1.8, label="smoothed")
    held_out = [(row["tokens"] / 1e6, row["validation_loss"]) for row in metrics if row["validation_loss"] is not None]
    if held_out:
        axes.plot(*zip(*held_out, strict=True), "o-", color="#c4561a", markersize=3, label="held-out code")
    stages = list(dict.fromkeys(row["stage"] for row in metrics))
    for index, stage in enumerate(stages):
        inside = [x for x, row in zip(tokens, metrics, strict=True) if row["stage"] == stage]
        if index % 2:
            axes.axvspan(inside[0], inside[-1], color="#000000", alpha=0.05)
        axes.annotate(
            stage,
            ((inside[0] + inside[-1]) / 2, 0.97),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
        )
    axes.set(xlabel="tokens seen (millions)", ylabel="cross-entropy (nats per token)", title=title)
    axes.grid(alpha=0.25)
    axes.legend(loc="center right")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    write_bytes(path, image.getvalue())


def _smoothed(values: list[float], decay: float = 0.95) -> list[float]:
    """Exponential mean, corrected for its start (Adam's correction)."""
    mean, smoothed = 0.0, []
    for count, value in enumerate(values, 1):
        mean = decay * mean + (1 - decay) * value
        smoothed.append(mean / (1 - decay**count))
    return smoothed
