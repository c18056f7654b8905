"""The report as one HTML page, with its figure inside."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .evaluation import Scores
    from .report import Document, Report

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr:nth-child(even) { background: #f4f4f4; }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; font-size: 13px; line-height: 1.35; }
summary { cursor: pointer; } svg { max-width: 100%; height: auto; }
"""
_MEASURES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
}


def written(report: Report) -> str:
    """The page."""
    ones, zeros = report.labelled["1"], report.labelled["0"]
    judged = sum(report.qualities)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Educational value</title><style>{_STYLE}</style></head><body>
<h1>Educational value</h1>
<p>Learnt from {ones + zeros} labelled texts, {ones} with 1 and {zeros} with 0; always saying the commoner label is
right for {report.majority:.1%}. Below, five-fold cross-validation in which no module or document is on both sides, the
mean of three ways of folding. <b>{escape(report.classifier)}</b> judged {judged:,} documents.</p>
{_table(report.scores)}
{_figure(report)}
<h2>Kept, from the best to the last</h2>
{"".join(map(_document, report.kept))}
<h2>Dropped, from the best to the worst</h2>
{"".join(map(_document, report.dropped))}
</body></html>
"""


def _table(scores: dict[str, Scores]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _MEASURES.values())
    rows = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{getattr(each, measure):.3f}</td>' for measure in _MEASURES)}</tr>"
        for name, each in scores.items()
    )
    return f"<table><tr><th>classifier</th>{head}</tr>{rows}</table>"


def _document(document: Document) -> str:
    title = f"<b>{document.quality:.3f}</b> {escape(document.id)}, {document.tokens:,} tokens"
    return f"<details><summary>{title}</summary><pre>{escape(document.excerpt)}</pre></details>"


def _figure(report: Report) -> str:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    calibration, qualities = figure.subplots(1, 2)
    calibration.plot([0, 1], [0, 1], color="#aaa", linestyle="--", linewidth=1)
    for name, scores in report.scores.items():
        if name not in ("length", "shuffled labels"):
            bins = scores.calibration
            calibration.plot(
                [each.predicted for each in bins], [each.observed for each in bins], "o-", label=name, ms=4
            )
    calibration.set(xlabel="probability given", ylabel="share with label 1", title="Calibration, on modules not seen")
    calibration.legend(frameon=False)
    edges = [number / 100 for number in range(100)]
    colors = ["#c9c9c9" if edge < report.threshold else "#2a7f62" for edge in edges]
    qualities.bar(edges, report.qualities, width=0.01, align="edge", color=colors)
    qualities.axvline(report.threshold, color="#222", linewidth=1)
    qualities.set(xlabel="quality", ylabel="documents", title="Judged documents: right of the line stayed")
    qualities.set_xlim(0, 1)
    for axes in (calibration, qualities):
        axes.spines[["top", "right"]].set_visible(False)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "quality"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    drawing = re.sub(r"<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    return drawing[drawing.index("<svg") :]
