from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from edge_phi.compare.forms import Comparison, FirstLine, Form, HeldOut, Passes
from edge_phi.compare.page import to_html
from edge_phi.compare.pick import Condition, pick
from edge_phi.compare.report import print_comparison, to_json
from edge_phi.measure.fidelity import Fidelity
from edge_phi.measure.figures import Figures, NotMeasured, Prompt, Ratios, Report
from edge_phi.measure.machine import Machine
from edge_phi.measure.timing import Latency

HOSTILE = '<script>alert("1")</script>&\x1b[31m:x:\u202e[b]\n'


def form(name: str, wait: float, kl: float, *, lost: tuple[str, ...] = (), day: str = "21") -> Form:
    latency = Latency(40.0, 8000.0, 100.0, 2.0, 3.0)
    figures = Figures(
        name, "onnx", "onnxruntime 1", "int4", 2, 12.0, 40.0, 8000.0, 100.0, 2.0, 3.0, 40_000_000, 80_000_000,
        6_000_000, (latency, latency), Ratios(0.5, 1.5, 0.25, 0.125),
    )  # fmt: skip
    passes = Passes("humaneval", 20, 5, 0.25, 0.1, 0.45, ("HumanEval/3",), lost, 0.625, ())
    measured = f"2026-11-{day}T12:00:00Z"
    return Form(
        figures,
        FirstLine(wait, 2 * wait, 21, 16),
        Fidelity(70.5, 69.0, kl, 5 * kl, 0.945, 6132),
        passes,
        measured,
        False,
    )


@pytest.fixture
def comparison() -> Comparison:
    machine = Machine("A CPU", 2, ("AVX2",), 8_000_000_000, "An OS, x86_64", "CPython 3", "0.1.0", {}, 0.1)
    forms = (form("torch:float32", 200.0, 0.0), form("onnx:int4", 50.0, 0.0123, lost=("HumanEval/1", "HumanEval/2")))
    bench = Report(
        "phi-1-nano", "torch:float32", 3, 64, (Prompt("function", 30), Prompt("module", 300)), machine,
        tuple(one.figures for one in forms), (NotMeasured("gguf:q4_0", "install it"),), (),
    )  # fmt: skip
    text = HeldOut("modules of the standard library", "00", 12, 512)
    failed = (NotMeasured("gguf:f16", "fidelity: killed by SIGSEGV"),)
    return Comparison(bench, forms, text, failed, pick(Condition("first_line_ms<300 and kl<0.02"), forms))


def printed(comparison: Comparison, width: int | None = None) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=width is not None,
        no_color=True,
        highlight=False,
        markup=False,
        emoji=False,
    )
    print_comparison(comparison, console)
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def test_the_table_has_every_figure_of_a_form(comparison: Comparison) -> None:
    lines = printed(comparison).splitlines()
    row = next(line for line in lines if line.startswith("onnx:int4"))
    assert re.sub(r"\s{2,}", " | ", row.strip()) == (
        "onnx:int4 | 6.00 0.12x | 12 | 40.0 0.50x | 50.0 0.25x, 100 | 100 1.50x | 80 0.25x | 70.5 | 0.0123 | 0.0615 | "
        "94.5% | 25.0% [10.0%, 45.0%] | 1, 2 | 0.62"
    )
    text = "\n".join(lines)
    for words in (
        "ratio to torch:float32, the full-precision baseline", "at 21 cursors", "of which 16 got one",
        "6132 tokens in 12 windows of 512, from modules of the standard library", "humaneval, 20 problems, greedy",
        "A CPU, 2 cores", "skipped gguf:q4_0: install it", "failed gguf:f16: fidelity: killed by SIGSEGV",
        "pick onnx:int4: of 2 forms that satisfy it, its first line is there the soonest: 50.0 ms",
    ):  # fmt: skip
        assert words in text, words
    assert "Measured between" not in text


def test_figures_of_several_days_are_said_to_be(comparison: Comparison) -> None:
    older = replace(comparison, forms=(comparison.forms[0], form("onnx:int4", 50.0, 0.0123, day="03")))
    assert "Measured between 2026-11-03 and 2026-11-21" in printed(older)


def test_times_of_a_busy_machine_are_said_to_be(comparison: Comparison) -> None:
    now = replace(comparison.bench.machine, load_average=9.0)
    one = replace(comparison, bench=replace(comparison.bench, machine=now))
    assert "busy" not in printed(one)  # what was timed was timed before
    one = replace(comparison, forms=(comparison.forms[0], replace(comparison.forms[1], busy=True)))
    assert "busy with something else while onnx:int4 were timed" in printed(one)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_narrow_terminals_hide_nothing(comparison: Comparison, width: int) -> None:
    table = printed(comparison, width).partition("phi-1-nano; marked")[0]
    assert "…" not in table and max(map(len, table.splitlines())) <= width
    assert {"torch:float32", "onnx:int4", "0.25x,", "70.5", "0.0123", "0.0615", "94.5%", "25.0%", "0.62"} <= set(
        table.split()
    )


def test_without_a_benchmark_there_is_no_column_of_it(comparison: Comparison) -> None:
    plain = replace(comparison, forms=tuple(replace(one, passes=None) for one in comparison.forms))
    assert "pass@1" not in printed(plain) and "McNemar" not in printed(plain) and "pass@1" not in to_html(plain)


def test_json_keeps_every_figure_under_its_name_and_unit(comparison: Comparison) -> None:
    found = json.loads(to_json(comparison))
    assert found["baseline"] == "torch:float32" and "artifacts" not in found
    int4 = found["forms"][1]
    assert (int4["name"], int4["file_bytes"], int4["first_line"]["p95_ms"]) == ("onnx:int4", 6_000_000, 100.0)
    assert int4["fidelity"]["kl_mean"] == 0.0123 and int4["passes"]["lost"] == ["HumanEval/1", "HumanEval/2"]
    assert found["failed"] == [{"name": "gguf:f16", "reason": "fidelity: killed by SIGSEGV"}]
    assert found["pick"]["form"] == "onnx:int4" and found["text"]["tokens"] == 512


class Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_needs_nothing_else_and_shows_every_plot(comparison: Comparison) -> None:
    text = to_html(comparison)
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href", "style"} & {name for name, _ in page.attributes}
    assert "url(" not in text and "@import" not in text and "http" not in text
    assert "prefers-color-scheme: dark" in text
    assert page.tags.count("svg") == 11
    # KL 0.0123 on an axis from 1e-6 to 0.1: 4.09 of 5 powers of ten up.
    heights = {round(258 - 230 * 4.0899 / 5)}
    assert heights <= {round(float(value)) for name, value in page.attributes if name == "cy"}
    assert "pick onnx:int4" in page.words and page.words.count("pick onnx:int4") == 1


def test_what_comes_from_outside_is_text_everywhere(comparison: Comparison) -> None:
    figures = replace(comparison.forms[1].figures, name=HOSTILE)
    hostile = replace(
        comparison,
        bench=replace(comparison.bench, model=HOSTILE, baseline=HOSTILE, artifacts=(figures,)),
        forms=(replace(comparison.forms[1], figures=figures),),
        text=HeldOut(HOSTILE, "00", 12, 512),
        failed=(NotMeasured(HOSTILE, HOSTILE),),
    )
    page = Page(to_html(hostile))
    assert "script" not in page.tags and '<script>alert("1")</script>&' in page.words
    for text in (page.words, printed(hostile)):
        assert not {"\x1b", "\u202e"} & set(text)
        assert ":x:" in text and "[b]" in text  # neither emoji nor markup
    assert json.loads(to_json(hostile))["model"] == HOSTILE
