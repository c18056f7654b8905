"""Does the editor keep up? Keys, tokens and the first frame, in a real pseudo-terminal.

- Key to echo: from writing a key into the terminal to reading it back drawn, with both engines idle, with both at work
  all the time, and so in the middle of a file of 20,000 lines; there the Page Down key, too. The aim: a 95th
  percentile under 16 ms. Beside it, what Textual itself takes: an app of one empty TextArea, nothing else at work.
- Tokens per second of the engine that suggests: asked for in the running editor, and by a plain loop in a process of
  its own, on the same prompts. The aim: 0.9 of outside, or more.
- First paint: from starting the command to its first frame, beside a Textual app that shows one word. The aim: a
  ratio of 1.6, or less.

All take turns within every round. Each stage has a deadline; one that fails is named in the result and in the exit
status, and the others go on. tui.json and tui.md are written after every stage.

    python benchmarks/tui.py [--model NAME] [--rounds N] [--keys N] [--stages NAME,...] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import re
import select
import shlex
import struct
import subprocess
import sys
import sysconfig
import tempfile
import termios
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from revision import REPOSITORY, commit
from tui_children import AREA, EMPTY

from edge_phi import atomic
from edge_phi.measure.machine import busy_line, this_machine
from edge_phi.measure.prompts import PROMPTS
from edge_phi.measure.timing import percentile
from edge_phi.store import DEFAULT_MODEL, find_model

COLUMNS, LINES = 120, 40
LONG_FILE_LINES = 20_000
ECHO_P95_MS, TOKENS_SHARE, PAINT_RATIO = 16.0, 0.9, 1.6
STAGE_SECONDS = 60.0  # for one stage of one round; on a quiet machine the longest takes about 20
KEY_SECONDS = 5.0  # for one key
PAINTS = 3  # of each kind in each round
EMPTY_AREA = "an empty TextArea"
MARK = "§"  # a key whose sign is nowhere else on the screen
ESCAPES = re.compile(rb"\x1b\[[0-9;:?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-Z]|\x1b[=>]")


class Failed(Exception):
    """A stage came to no result."""


class Terminal:
    """A pseudo-terminal in which a command runs; to be left by its deadline, in seconds on the clock."""

    def __init__(self, command: list[str], environment: dict[str, str], deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.started_s = time.perf_counter()
        self._child = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self._read = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._master)

    def wait_for(self, found: Callable[[bytes], object], seconds: float = STAGE_SECONDS) -> float:
        """Seconds on the clock at which what was read since the last key satisfies `found`."""
        limit = min(time.perf_counter() + seconds, self._deadline_s)
        while (left := limit - time.perf_counter()) > 0:
            if select.select([self._master], [], [], left)[0]:
                try:
                    self._read += os.read(self._master, 65536)
                except OSError as error:  # nobody has the other end
                    raise Failed(f"the command ended; {self._shows()}") from error
                now = time.perf_counter()
                if found(ESCAPES.sub(b"", self._read)):
                    return now
        raise Failed(f"waited in vain; {self._shows()}")

    def wait_for_file(self, path: Path) -> None:
        """Until there is a file, reading what comes."""
        while not path.exists():
            if time.perf_counter() > self._deadline_s:
                raise Failed(f"not done by the deadline; {self._shows()}")
            if self._child.poll() is not None:
                self.drain(0.2, forget=False)
                raise Failed(f"the command ended with {self._child.returncode}; {self._shows()}")
            self.drain(0.1, forget=False)

    def drain(self, seconds: float, *, forget: bool = True) -> None:
        """Read what comes for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._master], [], [], left)[0]:
                try:
                    self._read += os.read(self._master, 65536)
                except OSError:  # it has ended: the next to wait for something says so
                    time.sleep(left)
        if forget:
            self._read = b""

    def press(self, keys: str) -> float:
        """Write keys; seconds on the clock."""
        self._read = b""
        now = time.perf_counter()
        os.write(self._master, keys.encode())
        return now

    def _shows(self) -> str:
        return f"the terminal's last words: {ESCAPES.sub(b'', self._read)[-400:]!r}"


class Bench:
    """What one round measures, stage by stage; all that was found so far."""

    def __init__(self, model: str, keys: int, folder: Path) -> None:
        self.echoes: dict[str, list[float]] = defaultdict(list)
        self.made: dict[str, Counter[str]] = defaultdict(Counter)
        self.made_s: Counter[str] = Counter()
        self.rates: dict[str, list[float]] = defaultdict(list)
        self.paints: dict[str, list[float]] = defaultdict(list)
        self._model, self._keys, self._folder = model, keys, folder
        self._homes = 0
        self._short, self._long = folder / "short.py", folder / "long.py"
        self._short.write_text("".join(PROMPTS.values()))
        body = "def function_{0}(value):\n    # a comment\n    return value + {0}\n\n"
        self._long.write_text("".join(body.format(number) for number in range(LONG_FILE_LINES // 4)))

    def area(self, deadline_s: float) -> None:
        """Keys in an app that is an empty TextArea."""
        with Terminal([sys.executable, "-c", AREA], self._environment(), deadline_s) as terminal:
            terminal.wait_for(lambda drawn: b"READY" in drawn)
            terminal.drain(1.5)
            for _ in range(self._keys):
                self.echoes[EMPTY_AREA].append(self._echo(terminal))

    def idle(self, deadline_s: float) -> None:
        """Keys while both engines are loaded and idle."""
        self._echo_stage("both engines idle", self._short, "idle", deadline_s)

    def busy(self, deadline_s: float) -> None:
        """Keys while both engines work."""
        self._echo_stage("both engines at work", self._short, "busy", deadline_s)

    def long(self, deadline_s: float) -> None:
        """The same in a long file, and whole pages of it."""
        self._echo_stage(f"{LONG_FILE_LINES} lines, both engines at work", self._long, "busy", deadline_s)

    def tokens(self, deadline_s: float) -> None:
        """Inside and outside, each first as often as the other."""
        order = ["inside", "outside"]
        for where in order if len(self.rates["inside"]) % 2 == 0 else reversed(order):
            result = self._folder / "rate.json"
            result.unlink(missing_ok=True)
            with self._child(deadline_s, where, str(result)) as terminal:
                terminal.wait_for_file(result)
            found = json.loads(result.read_text())
            self.rates[where].append(found["tokens"] / found["seconds"])

    def paint(self, deadline_s: float) -> None:
        """From starting the process to the first frame."""
        script = str(Path(sysconfig.get_path("scripts")) / "edge-phi")
        commands = {
            "editor": ([script, "open", "--model", self._model], b"scratch"),
            "empty": ([sys.executable, "-c", EMPTY], b"READY"),
        }
        for turn in range(PAINTS + 1):
            for what, (command, mark) in commands.items():
                with Terminal(command, self._environment(), deadline_s) as terminal:
                    seen_s = terminal.wait_for(lambda drawn, mark=mark: mark in drawn)
                    if turn:  # the first of them may have to write its bytecode
                        self.paints[what].append((seen_s - terminal.started_s) * 1e3)

    def _echo_stage(self, kind: str, file: Path, load: str, deadline_s: float) -> None:
        result = self._folder / "made.json"
        result.unlink(missing_ok=True)
        with self._child(deadline_s, "edit", str(result), str(file), load) as terminal:
            terminal.wait_for(lambda drawn: file.name.encode() in drawn)
            terminal.wait_for_file(result)
            terminal.drain(1.5)  # the first frames are drawn, and the text has the keys
            if file == self._long:
                terminal.press(f"\x07{LONG_FILE_LINES // 2}\r")  # to the line in the middle
                middle = f"{LONG_FILE_LINES // 2}:1".encode()
                terminal.wait_for(lambda drawn: middle in drawn, KEY_SECONDS)
                terminal.drain(0.3)
            for _ in range(self._keys):
                self.echoes[kind].append(self._echo(terminal))
            for _ in range(self._keys if file == self._long else 0):
                self.echoes[f"Page Down, {kind}"].append(self._page_down(terminal))
            found = json.loads(result.read_text())
            self.made[kind].update(found["tokens"])
            self.made_s[kind] += found["seconds"]

    def _echo(self, terminal: Terminal) -> float:
        terminal.drain(random.uniform(0.03, 0.12))
        pressed_s = terminal.press(MARK)
        echo_ms = (terminal.wait_for(lambda drawn: MARK.encode() in drawn, KEY_SECONDS) - pressed_s) * 1e3
        terminal.press("\x7f")
        return echo_ms

    def _page_down(self, terminal: Terminal) -> float:
        terminal.drain(random.uniform(0.03, 0.12))
        pressed_s = terminal.press("\x1b[6~")
        # Many lines: a blinking cursor draws one.
        found_s = terminal.wait_for(lambda drawn: drawn.count(b"function_") >= LINES // 8, KEY_SECONDS)
        return (found_s - pressed_s) * 1e3

    def _child(self, deadline_s: float, name: str, *arguments: str) -> Terminal:
        result, *others = arguments
        script = [sys.executable, str(Path(__file__).with_name("tui_children.py")), name, self._model, result, *others]
        return Terminal(script, self._environment(), deadline_s)

    def _environment(self) -> dict[str, str]:
        """A home in which nobody left unsaved text: an editor that was killed would be asked about it, and not type."""
        self._homes += 1
        home = self._folder / f"home-{self._homes}"
        (home / "edge-phi").mkdir(parents=True)
        (home / "edge-phi" / "tui.json").write_text('{"tour_seen": true}')
        homes = {"XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": self._folder / "cache"}
        homes["PYTHONPYCACHEPREFIX"] = self._folder / "bytecode"  # all has it, as what is installed has
        return {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            **{name: str(path) for name, path in homes.items()},
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }


STAGES = ("area", "idle", "busy", "long", "tokens", "paint")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=60, help="of each kind in each round")
    parser.add_argument("--stages", type=lambda names: names.split(","), default=STAGES, help=",".join(STAGES))
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results")
    arguments = parser.parse_args()
    if unknown := set(arguments.stages) - set(STAGES):
        parser.error(f"--stages {','.join(sorted(unknown))}: choose from {','.join(STAGES)}")
    machine = this_machine()
    if machine.busy:
        print(busy_line(machine), file=sys.stderr)
    found = find_model(arguments.model)
    engines = {"suggests": found.artifact(), "full precision": found.baseline()}
    frame = {
        "command": shlex.join(["python", "benchmarks/tui.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": asdict(machine),
        "model": arguments.model,
        "engines": {role: f"{one.name} in {one.engine}" for role, one in engines.items() if one is not None},
        "terminal": f"{COLUMNS}x{LINES}",
    }
    failures: list[dict[str, Any]] = []
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        bench = Bench(arguments.model, arguments.keys, Path(name))
        for round_ in range(1, arguments.rounds + 1):
            for stage in arguments.stages:
                began_s = time.perf_counter()
                try:
                    getattr(bench, stage)(began_s + STAGE_SECONDS)
                except Failed as error:
                    failures.append({"stage": stage, "round": round_, "why": str(error)})
                    print(f"{stage}: {error}", file=sys.stderr)
                seconds = time.perf_counter() - began_s
                print(f"round {round_} of {arguments.rounds}, {stage}: {seconds:.0f} s", file=sys.stderr)
                document = {**frame, "rounds": round_, **figures(bench), "failures": failures}
                atomic.write_bytes(arguments.out / "tui.json", (json.dumps(document, indent=2) + "\n").encode())
                atomic.write_bytes(arguments.out / "tui.md", as_markdown(document).encode())
    print(as_markdown(document))
    raise SystemExit(1 if failures else 0)


def figures(bench: Bench) -> dict[str, Any]:
    """What was found so far."""
    found: dict[str, Any] = {
        "echo_ms": {
            kind: {"keys": len(ms), "p50": percentile(ms, 50), "p95": percentile(ms, 95), "max": max(ms)}
            for kind, ms in bench.echoes.items()
            if ms
        },
        "tokens_per_s_meanwhile": {
            kind: {engine: count / bench.made_s[kind] for engine, count in made.items()}
            for kind, made in bench.made.items()
        },
        "tokens_per_s": {where: median(values) for where, values in bench.rates.items()},
        "first_paint_ms": {what: median(values) for what, values in bench.paints.items()},
    }
    with suppress(KeyError):
        found["tokens_share"] = found["tokens_per_s"]["inside"] / found["tokens_per_s"]["outside"]
    with suppress(KeyError):
        found["first_paint_ratio"] = found["first_paint_ms"]["editor"] / found["first_paint_ms"]["empty"]
    return found


def as_markdown(document: dict[str, Any]) -> str:
    lines = [f"# The editor at work: {document['model']}", ""]
    if document["echo_ms"]:
        lines += [
            "| key to echo | keys | p50 ms | p95 ms | max ms | aim: p95 | engines made meanwhile, tokens/s |",
            "|---|---:|---:|---:|---:|---|---|",
        ]
        for kind, one in document["echo_ms"].items():
            met = "" if kind == EMPTY_AREA else _verdict(f"under {ECHO_P95_MS:.0f} ms", one["p95"] < ECHO_P95_MS)
            made = document["tokens_per_s_meanwhile"].get(kind, {})
            rates = ", ".join(f"{engine} {rate:.0f}" for engine, rate in made.items())
            lines.append(
                f"| {kind} | {one['keys']} | {one['p50']:.1f} | {one['p95']:.1f} | {one['max']:.1f} | {met} | {rates} |"
            )
        lines.append("")
    lines += ["| | editor | alone | ratio | aim |", "|---|---:|---:|---:|---|"]
    if "tokens_share" in document:
        rates, share = document["tokens_per_s"], document["tokens_share"]
        lines.append(
            f"| tokens/s of the engine that suggests | {rates['inside']:.0f} | {rates['outside']:.0f} | {share:.2f} | "
            f"{_verdict(f'at least {TOKENS_SHARE}', share >= TOKENS_SHARE)} |"
        )
    if "first_paint_ratio" in document:
        paints, ratio = document["first_paint_ms"], document["first_paint_ratio"]
        lines.append(
            f"| first paint, ms; alone: an empty Textual app | {paints['editor']:.0f} | {paints['empty']:.0f} | "
            f"{ratio:.2f} | {_verdict(f'at most {PAINT_RATIO}', ratio <= PAINT_RATIO)} |"
        )
    lines += ["", *(f"Failed: {one['stage']} in round {one['round']}: {one['why']}" for one in document["failures"])]
    machine = document["machine"]
    engines = "; ".join(f"{role}: {engine}" for role, engine in document["engines"].items())
    return "\n".join(
        [
            *lines,
            f"{engines}. Rounds: {document['rounds']}. `{document['command']}` at {document['commit']}, "
            f"{document['terminal']} cells; {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
            f"{machine['python']}.",
            "",
        ]
    )


def _verdict(aim: str, met: bool) -> str:
    return f"{aim}: {'met' if met else 'missed'}"


if __name__ == "__main__":
    main()
