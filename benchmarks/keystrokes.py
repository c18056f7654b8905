"""How long after a key is a suggestion to be seen, and what does it cost? Editing traces replayed in real time.

The traces of benchmarks/traces (`keystroke_traces.py` makes them) are replayed one by one, each by every system in
turn: edge-phi's worker; llama-server driven as llama.vim drives it, where --llama-server says which; a plain client of
llama.cpp that asks anew after every pause. The same GGUF file, the same threads. Where the trace looks at what is
suggested, it is taken as far as it is what would be typed next, three characters or more, and those keys are left out.

Of every key after which something is asked: milliseconds until anything is to be seen, and until all of it, before the
next key comes; how many of those that were shown needed no model call at all, being known when the key came, and how
many none that was begun for the key, the rest of what an earlier key had begun included; and processor seconds (of the
process that has the model) for each accepted character. Writes keystrokes.json and keystrokes.md.

    python benchmarks/keystrokes.py [--model MODEL] [--llama-server PROGRAM] [--traces N] [--own-text] [--speed X]
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from keystroke_own_text import own_text_traces
from keystroke_systems import Call, EdgePhi, LlamaVim, Plain, Server, System
from keystroke_traces import FOLDER, Trace, asks, count_asked, edited, read_traces
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError
from edge_phi.measure.machine import busy_line, engine_version, this_machine
from edge_phi.runtimes import open_tokenizer
from edge_phi.store import find_model

_FEWEST_TAKEN = 3  # characters worth a key
_IDLE_S, _IDLE_CPU_S = 0.3, 0.03  # a system is idle that takes less of the processor in that time


@dataclass
class Seen:
    """What one system showed in all traces."""

    asked: int = 0
    known: int = 0  # suggestions that were known when the key came
    under_way: int = 0  # suggestions that an earlier key's call was making
    accepted: int = 0  # characters
    cpu_s: float = 0.0
    first_ms: dict[str, float] = field(default_factory=dict)  # by trace and event: until anything was to be seen
    whole_ms: dict[str, float] = field(default_factory=dict)


class Screen:
    """What is to be seen after the last key; told from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.place = 0
        self.begin("")

    def begin(self, name: str) -> int:
        """A key was pressed: what was to be seen belongs to the one before."""
        with self._lock:
            self.place += 1
            self.name, self.text, self.call = name, "", Call.OWN
            self.first_ms: float | None = None
            self.whole_ms: float | None = None
            self.pressed = time.perf_counter()
            return self.place

    def show(self, place: int, text: str, call: Call, whole: bool) -> None:
        """A system has something."""
        now = time.perf_counter()
        with self._lock:
            if place != self.place or not text:
                return
            self.text = text
            if self.first_ms is None:
                self.first_ms, self.call = (now - self.pressed) * 1e3, call
            if whole and self.whole_ms is None:
                self.whole_ms = (now - self.pressed) * 1e3

    def end(self, seen: Seen) -> None:
        """The next key comes: write down what there was."""
        with self._lock:
            if self.name:
                seen.asked += 1
                if self.first_ms is not None:
                    seen.first_ms[self.name] = self.first_ms
                    seen.known += self.call is Call.NONE
                    seen.under_way += self.call is Call.EARLIER
                if self.whole_ms is not None:
                    seen.whole_ms[self.name] = self.whole_ms


def replay(trace: Trace, system: System, screen: Screen, seen: Seen, speed: float) -> None:
    """One trace, in real time divided by `speed`."""
    text, cursor = trace.text, trace.cursor
    cpu, due = system.cpu_seconds(), time.perf_counter()
    events = list(trace.events)
    number = 0
    while number < len(events):
        event, at = events[number], number
        number += 1
        due += float(event["ms"]) / 1e3 / speed  # type: ignore[arg-type]
        time.sleep(max(0.0, due - time.perf_counter()))
        if "look" in event:
            keys = upcoming(events[number:])
            count = max(n for n in range(len(keys) + 1) if screen.text.startswith("".join(keys[:n])))
            taken = "".join(keys[:count])
            if len(taken) < _FEWEST_TAKEN:
                continue
            seen.accepted += len(taken)
            text, cursor = text[:cursor] + taken + text[cursor:], cursor + len(taken)
            number += count
        else:
            text, cursor = edited(text, cursor, event)
        screen.end(seen)
        before, after = text[:cursor], text[cursor:]
        asked = asks(event, before, after)
        place = screen.begin(f"{trace.name}:{at}" if asked else "")
        if asked:
            system.key(place, before, after)
        else:
            system.moved(before, after)
    time.sleep(1.0 / speed)
    screen.end(seen)
    screen.begin("")
    system.moved("", "")
    before_s = -1.0
    while (now_s := system.cpu_seconds()) - before_s > _IDLE_CPU_S:  # what goes on is its doing, too
        before_s = now_s
        time.sleep(_IDLE_S)
    seen.cpu_s += system.cpu_seconds() - cpu


def upcoming(events: Sequence[dict[str, object]]) -> list[str]:
    """What is typed next, key by key, before another look, a deletion or a jump."""
    keys: list[str] = []
    for event in events:
        if "type" not in event:
            break
        keys.append(str(event["type"]))
    return keys


def figures(seen: Seen, ours: Seen) -> dict[str, float | None]:
    """One system's row; each `_ratio` is ours to it, on the keys after which both showed something."""
    row: dict[str, float | None] = {
        "asked": seen.asked,
        "shown_share": len(seen.first_ms) / seen.asked,
        "known_share": seen.known / len(seen.first_ms) if seen.first_ms else None,
        "not_own_share": (seen.known + seen.under_way) / len(seen.first_ms) if seen.first_ms else None,
        "accepted": seen.accepted,
        "cpu_s": seen.cpu_s,
        "cpu_ms_per_key": 1e3 * seen.cpu_s / seen.asked,
        "cpu_ms_per_accepted": 1e3 * seen.cpu_s / seen.accepted if seen.accepted else None,
    }
    for kind in ("first", "whole"):
        times, own = getattr(seen, f"{kind}_ms"), getattr(ours, f"{kind}_ms")
        both = sorted(set(times) & set(own))
        for percent in (50, 95):
            row[f"{kind}_p{percent}_ms"] = float(np.percentile(list(times.values()), percent)) if times else None
            if both:
                theirs = float(np.percentile([times[key] for key in both], percent))
                row[f"{kind}_p{percent}_ratio"] = float(np.percentile([own[key] for key in both], percent)) / theirs
    cost, own_cost = row["cpu_ms_per_accepted"], ours.accepted and 1e3 * ours.cpu_s / ours.accepted
    row["cpu_ratio"] = own_cost / cost if cost and own_cost else None
    return row


def markdown(rows: dict[str, dict[str, float | None]], notes: list[str]) -> str:
    """The table, ours to each of the others in brackets."""

    def cell(row: dict[str, float | None], name: str, form: str) -> str:
        value = row.get(name)
        if value is None:
            return "-"
        ratio = row.get("cpu_ratio" if name == "cpu_ms_per_accepted" else name.replace("_ms", "") + "_ratio")
        return form.format(value) + ("" if ratio is None or ratio == 1 else f" ({ratio:.2f}x)")

    columns = [("keys", "asked", "{:.0f}"), ("with a suggestion", "shown_share", "{:.0%}"),
               ("first seen ms p50", "first_p50_ms", "{:.1f}"), ("p95", "first_p95_ms", "{:.0f}"),
               ("whole ms p50", "whole_p50_ms", "{:.1f}"), ("p95", "whole_p95_ms", "{:.0f}"),
               ("shown without any model call", "known_share", "{:.0%}"),
               ("without a call begun for the key", "not_own_share", "{:.0%}"),
               ("characters accepted", "accepted", "{:.0f}"),
               ("CPU ms per accepted", "cpu_ms_per_accepted", "{:.0f}"),
               ("CPU ms per key", "cpu_ms_per_key", "{:.1f}")]  # fmt: skip
    lines = [f"| | {' | '.join(title for title, _, _ in columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    lines += [
        f"| {name} | {' | '.join(cell(row, key, form) for _, key, form in columns)} |" for name, row in rows.items()
    ]
    return "\n".join([*lines, "", *notes, ""])


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--model", default="phi-1-nano", help="with a form gguf:q4_0, or a GGUF file")
    arguments.add_argument("--llama-server", type=Path, help="the program, of the same llama.cpp")
    arguments.add_argument("--folder", type=Path, default=FOLDER, help="of the traces, as keystroke_recorder.py writes")
    arguments.add_argument("--traces", type=int, help="only so many of them")
    arguments.add_argument("--events", type=int, help="only so many of each trace, from its start")
    arguments.add_argument(
        "--own-text", action="store_true", help="type what the model itself would write (random weights)"
    )
    arguments.add_argument("--speed", type=float, default=1.0, help="1 is real time; more only tries the script")
    arguments.add_argument("--threads", type=int, default=usable_cores())
    arguments.add_argument("--name", default="keystrokes", help="of the result files (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    model = find_model(given.model)
    artifact = model.artifacts[0] if given.model.endswith(".gguf") else model.artifact("gguf:q4_0")
    tokenizer = open_tokenizer(artifact)
    traces = [replace(trace, events=trace.events[: given.events]) for trace in read_traces(given.folder)]
    traces = [trace for trace in traces if count_asked(trace.text, trace.cursor, trace.events)][: given.traces]
    if given.own_text:
        traces = own_text_traces(traces, artifact, given.threads)
    screen, server = Screen(), None
    systems: list[System] = [EdgePhi(artifact, given.threads, screen.show)]
    try:
        if given.llama_server is not None:
            server = Server(given.llama_server, artifact, given.threads)
            systems.append(LlamaVim(server, tokenizer, screen.show))
        systems.append(Plain(artifact, given.threads, tokenizer, screen.show))
        seen = {system.name: Seen() for system in systems}
        for number, trace in enumerate(traces):
            print(f"{number + 1}/{len(traces)} {trace.name}", file=sys.stderr)
            for place in range(len(systems)):
                system = systems[(number + place) % len(systems)]
                replay(trace, system, screen, seen[system.name], given.speed)
    finally:
        for system in systems:
            system.close()
        if server is not None:
            server.close()
    rows = {name: figures(one, seen["edge-phi"]) for name, one in seen.items()}
    notes = [
        f"`{command_line()}`: {model.name}, {artifact.file_bytes / 1e6:.1f} MB, {given.threads} threads, {len(traces)} "
        f"traces in which anybody is asked, speed {given.speed:g}. In brackets edge-phi to it; of times, on the keys "
        "after which both had one.",
    ]
    if server is None:
        notes.append("llama-server was not given (--llama-server): it is left out.")
    if machine.busy:
        notes.append(busy_line(machine))
    document = {
        "command": command_line(),
        "commit": commit(),
        "machine": asdict(machine),
        "llama_cpp": engine_version("llama_cpp"),
        "threads": given.threads,
        "speed": given.speed,
        "rows": rows,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / f"{given.name}.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / f"{given.name}.md", markdown(rows, notes).encode())
    print(markdown(rows, notes), end="")


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"keystrokes.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
