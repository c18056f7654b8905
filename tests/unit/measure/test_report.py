from __future__ import annotations

import getpass
import io
import json
import platform
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from edge_phi.measure.figures import Figures, NotMeasured, Prompt, Ratios, Report, agreement
from edge_phi.measure.machine import Machine, this_machine
from edge_phi.measure.page import to_html
from edge_phi.measure.report import print_report, to_json
from edge_phi.measure.timing import Latency

HOSTILE = '<script>alert("1")</script>&\x1b[31m:x:\u202e[b]\n'


def figures(name: str, decode: float, *, ratio: float = 1.0, peak: int | None = 80_000_000) -> Figures:
    latency = Latency(40.0, 8000.0, decode, 2.0, 3.0)
    ratios = Ratios(0.5, ratio, 0.25 if peak else None, 0.125)
    agreed = (agreement("module", (1, 2, 3, 4), (1, 2, 3, 5), 0),)
    return Figures(
        name, "onnx", "onnxruntime 1", "int4", 2, 12.0, 40.0, 8000.0, decode, 2.0, 3.0, 40_000_000, peak,
        6_000_000, (latency, latency), ratios, agreed,
    )  # fmt: skip


@pytest.fixture
def report() -> Report:
    machine = Machine("A CPU", 2, ("AVX2",), 8_000_000_000, "An OS, x86_64", "CPython 3", "0.1.0", {}, 0.9)
    return Report(
        "phi-1-nano", "torch:float32", 3, 64, (Prompt("function", 30), Prompt("module", 300)), machine,
        (figures("torch:float32", 100.0), figures("onnx:int4", 450.0, ratio=4.5)),
        (NotMeasured("gguf:q4_0", "install it"),), (NotMeasured("gguf:f16", "killed by SIGSEGV"),),
    )  # fmt: skip


def printed(report: Report) -> str:
    out = io.StringIO()
    print_report(report, Console(file=out, highlight=False, markup=False, emoji=False))
    return out.getvalue()


def test_the_table_has_a_line_a_form_and_says_what_it_means(report: Report) -> None:
    lines = printed(report).splitlines()
    row = next(line for line in lines if "onnx:int4" in line)
    assert re.sub(r"\s{2,}", " | ", row.strip()) == (
        "onnx:int4 | 12 | 40.0 0.50x | 8000 | 450 4.50x | 2.00, 3.00 | 80 0.25x | 6.00 0.12x | 75%"
    )
    text = "\n".join(lines)
    for words in (
        "prompts of 30, 300 tokens", "TTFT and prefill are of the longest",
        "ratio to torch:float32, the full-precision baseline", "A CPU, 2 cores",
        "40 MB are the Python interpreter", "skipped gguf:q4_0: install it", "failed gguf:f16: killed by SIGSEGV",
    ):  # fmt: skip
        assert words in text
    assert "\x1b" not in text


def test_a_busy_machine_is_said_to_be(report: Report) -> None:
    busy = replace(report, machine=replace(report.machine, load_average=1.1))
    assert "busy" not in printed(report)
    assert "busy with something else (load average 1.1 on 2 cores)" in printed(busy) and "busy" in to_html(busy)


def test_eighty_columns_hide_nothing(report: Report) -> None:
    out = io.StringIO()
    print_report(report, Console(file=out, width=80, force_terminal=True, no_color=True, markup=False, emoji=False))
    table = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).partition("phi-1-nano")[0]
    assert "…" not in table and max(map(len, table.splitlines())) <= 80
    assert {"torch:float32", "onnx:int4", "450", "4.50x", "2.00,", "3.00", "0.12x", "75%"} <= set(table.split())


def test_json_keeps_every_figure_under_its_name_and_unit(report: Report) -> None:
    found = json.loads(to_json(report))
    assert found["baseline"] == "torch:float32" and found["ttft_prompt"] == "module"
    int4 = found["artifacts"][1]
    assert (int4["decode_tokens_per_s"], int4["ratios"]["decode_tokens_per_s"]) == (450.0, 4.5)
    assert int4["agreement"][0] == {
        "prompt": "module", "compared_tokens": 4, "agreeing_fraction": 0.75, "first_difference": 3
    }  # fmt: skip
    assert found["skipped"] == [{"name": "gguf:q4_0", "reason": "install it"}]
    assert found["failed"][0]["name"] == "gguf:f16"


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


def test_the_page_needs_nothing_else_and_shows_every_form(report: Report) -> None:
    text = to_html(report)
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href", "style"} & {name for name, _ in page.attributes}
    assert "url(" not in text and "@import" not in text and "http" not in text
    assert "prefers-color-scheme: dark" in text
    assert page.tags.count("svg") == 4 and page.words.count("onnx:int4") == 5
    bars = {value for name, value in page.attributes if name == "width"}
    assert {"69.3", "312.0"} <= bars  # decode speed: 100 of 450 tokens/s, and all of it


def test_what_comes_from_outside_is_text_everywhere(report: Report) -> None:
    hostile = Report(
        HOSTILE, HOSTILE, 3, 64, report.prompts, report.machine,
        (figures(HOSTILE, 100.0, peak=None),), (NotMeasured(HOSTILE, HOSTILE),), (),
    )  # fmt: skip
    page = Page(to_html(hostile))
    assert "script" not in page.tags and '<script>alert("1")</script>&' in page.words
    for text in (page.words, printed(hostile)):
        assert not {"\x1b", "\u202e"} & set(text)
        assert ":x:" in text and "[b]" in text  # neither emoji nor markup
    assert json.loads(to_json(hostile))["model"] == HOSTILE


def test_the_machine_is_described_without_naming_it() -> None:
    machine = this_machine()
    assert machine.cores >= 1 and machine.cpu and machine.engines["onnxruntime"]
    words = repr(machine)
    for private in (platform.node(), getpass.getuser(), str(Path.home())):
        assert not re.search(rf"\b{re.escape(private)}\b", words)
