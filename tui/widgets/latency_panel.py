"""The figures of the quantized engine beside those of the full-precision baseline."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from ..characters import one_line
from ..comparison import EngineView, compare, percentiles, remarks, stages
from ..latency import Course, History, sparkline

_NAME_WIDTH = 9
_COLUMN_WIDTH = 8
_STAGE_WIDTH = 12
_STAGES_FROM = 26  # lines of the panel from which there is room for them


class LatencyPanel(Widget):
    """Figures down the side where the screen is wide, across the bottom where it is narrow."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "latency-panel--heading",
        "latency-panel--label",
        "latency-panel--gain",
        "latency-panel--loss",
        "latency-panel--remark",
        "latency-panel--spark",
    }

    quantized: reactive[EngineView] = reactive(EngineView("", ""))
    baseline: reactive[EngineView] = reactive(EngineView("", ""))
    upright: reactive[bool] = reactive(True)

    def __init__(self, model: str) -> None:
        self._model = one_line(model)
        self.history = History()
        super().__init__()

    def show_model(self, model: str) -> None:
        """Another model suggests from now on: what the one before took is not its own."""
        self._model, self.history = one_line(model), History()
        self.refresh()

    def add(self, course: Course) -> None:
        """A suggestion came."""
        self.history.courses.append(course)
        self.refresh()

    def render(self) -> Text:
        """A table of both engines' figures."""
        # Across the bottom, a border stands above the table and has room for two more things.
        self.border_title = Content(" - ".join([self._model, *remarks(self.quantized, self.baseline)]))
        lines = self._upright_lines() if self.upright else self._flat_lines()
        return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)

    def _upright_lines(self) -> list[Text]:
        label = self._style("label")
        views = (self.quantized, self.baseline)
        width = max(_COLUMN_WIDTH, (self.size.width - _NAME_WIDTH - _COLUMN_WIDTH) // 2)

        def row(name: str, cells: tuple[str, str], last: str = "", style: Style | None = None) -> Text:
            texts = [(f"{cell:>{width}}", style or Style()) for cell in cells]
            return Text.assemble(
                (f"{name:<{_NAME_WIDTH}}", label), *texts, (f"{last:>{_COLUMN_WIDTH}}", self._ratio_style(last))
            )

        lines = [
            Text(self._model, self._style("heading")),
            Text(),
            row("", (views[0].quant, views[1].quant), "ratio", self._style("heading")),
            row("engine", (views[0].engine, views[1].engine)),
            row("state", (views[0].state, views[1].state)),
            Text(),
        ]
        lines += [row(name, (ours, theirs), ratio) for name, ours, theirs, ratio in compare(*views)]
        lines += [Text(), *(Text(remark, self._style("remark")) for remark in remarks(*views))]
        return lines + self._session_lines() if self.size.height >= _STAGES_FROM else lines

    def _session_lines(self) -> list[Text]:
        """The suggestion from the key on, and all suggestions of the session."""
        label, heading = self._style("label"), self._style("heading")
        width = max(_COLUMN_WIDTH, (self.size.width - _STAGE_WIDTH) // 2)

        def row(name: str, *cells: str) -> Text:
            return Text.assemble((f"{name:<{_STAGE_WIDTH}}", label), *(f"{cell:>{width}}" for cell in cells))

        lines = [Text(), Text("from the last key", heading)]
        lines += [row(name, figure) for name, figure in stages(self.quantized)]
        count = len(self.history.courses)
        lines += [Text(), Text(f"this session: {count} suggestion{'' if count == 1 else 's'}", heading)]
        lines += [row("", "p50", "p95"), *(row(*cells) for cells in percentiles(self.history))]
        bars = sparkline(self.history.first_ms, self.size.width)
        return [*lines, Text(bars, self._style("spark"))] if bars else lines

    def _flat_lines(self) -> list[Text]:
        label = self._style("label")
        views = (self.quantized, self.baseline)
        figures = [figure for figure in compare(*views) if figure.label != "tokens" or self.size.width >= 72]

        def row(name: str, cells: list[tuple[str, Style]]) -> Text:
            texts = ((f"{cell:>{_COLUMN_WIDTH}}", style) for cell, style in cells)
            return Text.assemble((f"{name:<{_NAME_WIDTH}}", label), *texts)

        states = "  ".join(f"{view.engine} {view.quant}: {view.state}" for view in views)
        _, median, high = percentiles(self.history)[0]
        session = f"  from the key: p50 {median}, p95 {high} "
        if not self.history.courses or len(states) + len(session) > self.size.width - 2:
            session = ""
        bars = sparkline(self.history.first_ms, self.size.width - 2 - len(states) - len(session)) if session else ""
        return [
            Text.assemble((states, self._style("heading")), (session, label), (bars, self._style("spark"))),
            row("", [(figure.label, label) for figure in figures]),
            row(views[0].quant, [(figure.quantized, Style()) for figure in figures]),
            row(views[1].quant, [(figure.baseline, Style()) for figure in figures]),
            row("ratio", [(figure.ratio, self._ratio_style(figure.ratio)) for figure in figures]),
        ]

    def _ratio_style(self, ratio: str) -> Style:
        loses = ratio.endswith("x") and float(ratio[:-1]) < 1
        return self._style("loss" if loses else "gain")

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"latency-panel--{name}", partial=True)
