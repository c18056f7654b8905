"""What a bench knows of each form of a model, as it comes, and the order it is shown in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Row:
    """One form of a model. What is not measured is None."""

    form: str
    file_mb: float | None = None
    load_ms: float | None = None
    ttft_ms: float | None = None
    first_line_ms: float | None = None
    decode_tokens_per_s: float | None = None
    peak_mb: float | None = None
    kl: float | None = None  # mean KL divergence from full precision, nats
    top1: float | None = None  # share of tokens where both find the same the likeliest


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    field: str
    title: str
    digits: int
    better: str  # "more", "less", or "" where neither is


COLUMNS = (
    Column("form", "form", 0, ""),
    Column("decode_tokens_per_s", "tok/s", 0, "more"),
    Column("ttft_ms", "TTFT ms", 1, "less"),
    Column("first_line_ms", "line ms", 1, "less"),
    Column("kl", "KL nats", 5, "less"),
    Column("top1", "top-1 %", 1, "more"),
    Column("peak_mb", "RSS MB", 0, "less"),
    Column("file_mb", "file MB", 1, "less"),
    Column("load_ms", "load ms", 0, "less"),
)


@dataclass
class Bench:
    """Grows with every event that the measuring process tells."""

    rows: dict[str, Row] = field(default_factory=dict)
    baseline: str = ""
    doing: str = ""
    done: int = 0
    total: int = 0
    notes: list[str] = field(default_factory=list)
    failure: str = ""
    json: Any = None  # the whole comparison, once it is there
    html: str = ""

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in one event.

        Raises:
            KeyError, TypeError: it is not one that `bench_process` tells.
        """
        kind = event["kind"]
        if kind == "forms":
            for one in event["forms"]:
                self._update(one["form"], file_mb=one["file_bytes"] / 1e6)
        elif kind == "working":
            self.doing, self.done, self.total = str(event["what"]), int(event["done"]), int(event["total"])
        elif kind == "note":
            self.notes.append(str(event["line"]))
        elif kind == "figures":
            self._update(
                event["form"],
                load_ms=event["load_ms"],
                ttft_ms=event["ttft_ms"],
                decode_tokens_per_s=event["decode_tokens_per_s"],
                peak_mb=_mb(event["peak_rss_bytes"]),
            )
        elif kind == "fidelity":
            self._update(event["form"], kl=event["kl_mean"], top1=100 * event["top1"])
        elif kind == "failed":
            self.failure = str(event["line"])
        elif kind == "done":
            self.json, self.html = event["json"], str(event["html"])
            self._take_all(event["json"])

    def sorted_by(self, column: Column) -> list[Row]:
        """The rows with the best first; what is not measured comes last."""
        rows = list(self.rows.values())
        if not column.better:
            return rows if column.field == "form" else sorted(rows, key=lambda row: row.form)
        known = [row for row in rows if getattr(row, column.field) is not None]
        unknown = [row for row in rows if getattr(row, column.field) is None]
        return [*sorted(known, key=lambda row: getattr(row, column.field), reverse=column.better == "more"), *unknown]

    def _take_all(self, comparison: Mapping[str, Any]) -> None:
        self.baseline = str(comparison["baseline"] or "")
        for form in comparison["forms"]:
            fidelity, line = form["fidelity"], form["first_line"]
            self._update(
                form["name"],
                file_mb=_mb(form["file_bytes"]),
                load_ms=form["load_ms"],
                ttft_ms=form["ttft_ms"],
                first_line_ms=line["p50_ms"] if line else None,
                decode_tokens_per_s=form["decode_tokens_per_s"],
                peak_mb=_mb(form["peak_rss_bytes"]),
                kl=fidelity["kl_mean"] if fidelity else None,
                top1=100 * fidelity["top1"] if fidelity else None,
            )

    def _update(self, form: str, **changes: Any) -> None:
        self.rows[form] = replace(self.rows.get(form, Row(form)), **changes)


def cell(row: Row, column: Column) -> str:
    """A figure as text; a dash for what is not measured."""
    value = getattr(row, column.field)
    if value is None:
        return "–"
    return str(value) if isinstance(value, str) else f"{value:,.{column.digits}f}"


def _mb(count: float | None) -> float | None:
    return None if count is None else count / 1e6
