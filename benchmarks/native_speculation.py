"""What does lookup speculation in the native engine give over plain decoding in llama.cpp? On the editing traces.

Each trace of benchmarks/traces is cut where it begins to type and where it looks at what is suggested; what stands
before is the prompt, as far as 1,024 tokens hold it. From there the same text is written three times: by the native
engine with speculation, by it token by token, and by llama.cpp token by token. Seconds from the first token to the
last, and tokens that were written, not those only drafted. Three kinds of text:

- typed: what the trace types, so that whoever types would accept all of it. After each call its next token is made the
  most probable one; the work is the same.
- suggested: what the model writes until a suggestion would end (`edge_phi.completion.shape`).
- continued: what it writes without such an end, which of a model with random weights is all that can be had.

The native engine must write the same with speculation and without, or the run ends with an error. llama.cpp, whose last
bits are others, is given the native engine's token where it would choose another one; how often is in the table.
Writes NAME.json and NAME.md.

    python benchmarks/native_speculation.py [--model MODEL] [--texts KIND ...] [--traces N] [--places N] [--rounds N]
                                            [--threads N] [--name NAME] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from keystroke_traces import Trace, edited, read_traces
from native import until_still
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.completion.curve import measure_curve
from edge_phi.completion.decode import DecodeSettings, decode
from edge_phi.completion.prefix import common_prefix
from edge_phi.completion.shape import shape
from edge_phi.completion.speculate import Speculation
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError
from edge_phi.measure.machine import busy_line, engine_version, this_machine
from edge_phi.runtimes import Runtime, open_tokenizer
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.runtimes.native import NativeRuntime
from edge_phi.store import find_model
from edge_phi.tokenizer import Tokenizer

KINDS = ("typed", "suggested", "continued")
PROMPT, STEP = 1024, 256  # tokens of it that are read, at most; by how many its beginning moves
TOKENS = 48  # written at a place, at most
FEWEST = 4  # tokens worth timing


@dataclass(frozen=True)
class Place:
    """Where something is completed."""

    trace: str
    before: str
    after: str  # what stands there before anything is typed
    typed: str


@dataclass(frozen=True)
class Written:
    """One text written by one system."""

    tokens: list[int]
    seconds: float  # after the first of them
    calls: int  # forward passes after the first token
    others: int  # tokens for which the engine would have chosen another


@dataclass(frozen=True)
class Row:
    """One kind of text; rates are tokens after the first of all places, a second."""

    text: str
    places: int
    tokens: int
    tokens_per_pass: float  # with speculation
    native_speculating: float
    native: float
    llama_cpp: float
    ratio: float  # native with speculation to llama.cpp
    median_ratio: float  # of the places
    plain_ratio: float  # native without speculation to llama.cpp
    llama_cpp_agrees: float | None  # share of the tokens that llama.cpp would have chosen too, where the model chose


class Dictated:
    """A runtime that computes as it does, but whose most probable token is the next of `text`, if that is given."""

    def __init__(self, runtime: Runtime, start: int, text: Sequence[int] | None) -> None:
        self.info = runtime.info
        self.calls, self.others = 0, 0
        self._runtime, self._start, self._text = runtime, start, text

    @property
    def length(self) -> int:
        return self._runtime.length

    def extend(
        self, tokens: Sequence[int], *, all_logits: bool = False, cancel: threading.Event | None = None
    ) -> npt.NDArray[np.float32]:
        logits = self._runtime.extend(tokens, all_logits=all_logits, cancel=cancel)
        self.calls += 1
        if self._text is not None:
            first = self._runtime.length - len(logits) + 1 - self._start
            for row, token in zip(logits, self._text[first : first + len(logits)], strict=False):
                chosen = int(row.argmax())
                self.others += chosen != token
                row[token] = row[chosen] + 100
        return logits

    def rewind(self, length: int) -> None:
        self._runtime.rewind(length)

    def close(self) -> None:
        self._runtime.close()


def places_of(trace: Trace) -> list[Place]:
    """Where a trace begins to type, and where it looks; each with what is typed there until it goes elsewhere."""
    text, cursor = trace.text, trace.cursor
    places: list[Place] = []
    here: list[tuple[str, str]] = []  # text before the cursor and after it, since the last jump

    def leave() -> None:
        places.extend(
            Place(trace.name, before, after, text[len(before) : len(text) - len(after)])
            for before, after in dict.fromkeys(here)
            if before.strip() and text.startswith(before) and text.endswith(after)
        )
        here.clear()

    for event in trace.events:
        if "move" in event:
            leave()
        elif "look" in event or ("type" in event and not here):
            here.append((text[:cursor], text[cursor:]))
        text, cursor = edited(text, cursor, event)
    leave()
    return places


class Writer:
    """Writes from one prompt after the other with one engine."""

    def __init__(self, runtime: Runtime, tokenizer: Tokenizer, speculation: dict[str, Speculation] | None) -> None:
        self._runtime, self._tokenizer, self._speculation = runtime, tokenizer, speculation

    def write(self, kind: str, place: Place, prompt: list[int], text: list[int] | None) -> Written:
        """Write `text`, or what the model chooses; the prompt's tokens but the last have been read."""
        self._runtime.rewind(len(prompt) - 1)
        dictated = Dictated(self._runtime, len(prompt), text)
        speculation = self._speculation and self._speculation[kind]
        if speculation:
            speculation.begin(prompt)
        stops = (shape(place.before, place.after),) if kind == "suggested" else ()
        until_still()
        settings = DecodeSettings(max_tokens=TOKENS if text is None else len(text))
        steps = list(
            decode(dictated, prompt[-1:], self._tokenizer, settings, stops=stops, speculation=speculation)
        )  # fmt: skip
        seconds = (steps[-1].time_ns - steps[0].time_ns) / 1e9
        return Written([step.token for step in steps], seconds, dictated.calls - 1, dictated.others)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default="phi-1-nano", help="with a form gguf:q4_0, or a Q4_0 file")
    arguments.add_argument("--texts", nargs="+", choices=KINDS, default=["typed", "suggested"])
    arguments.add_argument("--traces", type=int, help="only so many of them")
    arguments.add_argument("--places", type=int, help="only so many of each trace, from its start")
    arguments.add_argument("--rounds", type=int, default=1, help="over all places (default: %(default)s)")
    arguments.add_argument("--threads", type=int, default=usable_cores())
    arguments.add_argument("--name", default="native_speculation", help="of the files (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    model = find_model(given.model)
    artifact = model.artifacts[0] if given.model.endswith(".gguf") else model.artifact("gguf:q4_0")
    tokenizer = open_tokenizer(artifact)
    places = [place for trace in read_traces()[: given.traces] for place in places_of(trace)[: given.places]]
    native, llama_cpp = NativeRuntime(artifact, threads=given.threads), LlamaCppRuntime(artifact, threads=given.threads)
    most = min(PROMPT, native.info.context_length - TOKENS)
    curve = measure_curve(native)
    writers = {
        "native_speculating": Writer(native, tokenizer, {kind: Speculation(curve) for kind in given.texts}),
        "native": Writer(native, tokenizer, None),
        "llama_cpp": Writer(llama_cpp, tokenizer, None),
    }
    written: dict[str, list[dict[str, Written]]] = defaultdict(list)
    prompt: list[int] = []
    for number in range(given.rounds * len(places)):
        place = places[number % len(places)]
        print(f"{number + 1}/{given.rounds * len(places)} {place.trace}", file=sys.stderr)
        before, tokens = prompt, tokenizer.encode(place.before)
        prompt = tokens[-(-max(0, len(tokens) - most) // STEP) * STEP :]
        common = common_prefix(before, prompt[:-1])
        for runtime in (native, llama_cpp):
            runtime.rewind(common)
            runtime.extend(prompt[common:])
        typed = tokenizer.encode(place.typed)[:TOKENS]
        for kind in given.texts:
            if kind == "typed" and len(typed) < FEWEST:
                continue
            took = write_in_turn(writers, kind, place, prompt, typed, number)
            if len(took["native"].tokens) >= FEWEST:
                written[kind].append(took)
    rows = [row_of(kind, written[kind]) for kind in given.texts if written[kind]]
    for runtime in (native, llama_cpp):
        runtime.close()
    document: dict[str, Any] = {
        "command": command_line(),
        "commit": commit(),
        "machine": asdict(machine),
        "llama_cpp": engine_version("llama_cpp"),
        "model": {"name": model.name, "bytes": artifact.file_bytes},
        "threads": given.threads,
        "append_curve_ms": curve.ms,
        "rows": [asdict(row) for row in rows],
    }
    text = markdown(rows, document) + (f"\n{busy_line(machine)}\n" if machine.busy else "")
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / f"{given.name}.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / f"{given.name}.md", text.encode())
    print(text, end="")


def write_in_turn(
    writers: dict[str, Writer], kind: str, place: Place, prompt: list[int], typed: list[int], number: int
) -> dict[str, Written]:
    """The same text by every system.

    Raises:
        EdgePhiError: speculation has changed what the native engine writes.
    """
    text = typed if kind == "typed" else None
    took = {"native": writers["native"].write(kind, place, prompt, text)}
    others = [name for name in writers if name != "native"]
    for turn in range(len(others)):
        name = others[(number + turn) % len(others)]
        given = took["native"].tokens if name == "llama_cpp" else text
        took[name] = writers[name].write(kind, place, prompt, given)
        if took[name].tokens != took["native"].tokens:
            raise EdgePhiError(f"{place.trace}: {name} writes another text than the native engine by itself")
    return took


def row_of(kind: str, written: list[dict[str, Written]]) -> Row:
    def tokens(name: str) -> int:
        return sum(len(took[name].tokens) - 1 for took in written)

    def rate(name: str) -> float:
        return tokens(name) / sum(took[name].seconds for took in written)

    others = sum(took["llama_cpp"].others for took in written)
    rates = {name: rate(name) for name in written[0]}
    return Row(
        text=kind,
        places=len(written),
        tokens=tokens("native"),
        tokens_per_pass=tokens("native") / sum(took["native_speculating"].calls for took in written),
        **rates,
        ratio=rates["native_speculating"] / rates["llama_cpp"],
        median_ratio=median(took["llama_cpp"].seconds / took["native_speculating"].seconds for took in written),
        plain_ratio=rates["native"] / rates["llama_cpp"],
        llama_cpp_agrees=None if kind == "typed" else 1 - others / (tokens("llama_cpp") + len(written)),
    )


def markdown(rows: list[Row], document: dict[str, Any]) -> str:
    header = ["text", "places", "tokens", "a pass", "native, speculating", "native", "llama.cpp", "ratio",
              "median place", "without speculation", "llama.cpp would write the same"]  # fmt: skip
    lines = [f"| {' | '.join(header)} |", f"| --- |{' ---: |' * (len(header) - 1)}"]
    lines += [
        f"| {r.text} | {r.places} | {r.tokens} | {r.tokens_per_pass:.2f} | {r.native_speculating:.1f} | {r.native:.1f} "
        f"| {r.llama_cpp:.1f} | **{r.ratio:.2f}** | {r.median_ratio:.2f} | {r.plain_ratio:.2f} "
        f"| {'-' if r.llama_cpp_agrees is None else format(r.llama_cpp_agrees, '.1%')} |"
        for r in rows
    ]
    curve = ", ".join(f"{ms:.2f}" for ms in document["append_curve_ms"])
    notes = (
        f"`{document['command']}`: {document['model']['name']}, {document['model']['bytes'] / 1e6:.0f} MB, "
        f"{document['threads']} threads. Tokens a second, and ratios to llama.cpp's. Milliseconds that the native "
        f"engine takes for 1, 2, 3, ... tokens: {curve}."
    )
    return "\n".join([*lines, "", notes, ""])


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"native_speculation.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
