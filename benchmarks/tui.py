"""Does the editor keep up? Keys, tokens and the first frame, in a real pseudo-terminal.

- Key to echo: from writing a key into the terminal to reading it back drawn, with both engines idle, with both at work
  all the time, and so in a file of 20,000 lines; there the Page Down key, too. The aim: a 95th percentile under 16 ms.
- Tokens per second of the engine that suggests: asked for in the running editor, and by a plain loop in a process of
  its own, on the same prompts. The aim: 0.9 of outside, or more.
- First paint: from starting the command to its first frame, beside a Textual app that shows one word. The aim: a
  ratio of 1.6, or less.

All take turns within every round. Writes tui.json and tui.md.

    python benchmarks/tui.py [--model NAME] [--rounds N] [--keys N] [--out FOLDER]
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
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median

from revision import REPOSITORY, commit

from edge_phi import atomic
from edge_phi.measure.machine import busy_line, this_machine
from edge_phi.measure.prompts import PROMPTS
from edge_phi.measure.timing import percentile
from edge_phi.store import DEFAULT_MODEL

COLUMNS, LINES = 120, 40
LONG_FILE_LINES = 20_000
ECHO_P95_MS, TOKENS_SHARE, PAINT_RATIO = 16.0, 0.9, 1.6
PATIENCE_S = 60.0
MARK = "§"  # a key whose sign is nowhere else on the screen
ESCAPES = re.compile(rb"\x1b\[[0-9;:?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-Z]|\x1b[=>]")
PLACE = re.compile(rb"\d+:\d+")
EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("READY")
Empty().run()
"""


class Terminal:
    """A pseudo-terminal in which a command runs."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.started_s = time.perf_counter()
        self.child = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self._read = b""

    def wait_for(self, found: Callable[[bytes], object]) -> float:
        """Seconds on the clock at which what was read since the last key satisfies `found`."""
        limit = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < limit:
            if select.select([self._master], [], [], 0.5)[0]:
                try:
                    self._read += os.read(self._master, 65536)
                except OSError as error:  # nobody has the other end
                    raise SystemExit(f"the command ended: {ESCAPES.sub(b'', self._read)[-2000:].decode()}") from error
                now = time.perf_counter()
                if found(ESCAPES.sub(b"", self._read)):
                    return now
        drawn = ESCAPES.sub(b"", self._read)
        raise SystemExit(f"waited in vain; the terminal has {drawn[:400]!r} ... {drawn[-400:]!r}")

    def drain(self, seconds: float) -> None:
        """Read and forget what comes for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._master], [], [], left)[0]:
                with suppress(OSError):
                    os.read(self._master, 65536)
        self._read = b""

    def press(self, keys: str) -> float:
        """Write keys; seconds on the clock."""
        self._read = b""
        now = time.perf_counter()
        os.write(self._master, keys.encode())
        return now

    def close(self) -> None:
        """End it."""
        self.child.kill()
        self.child.wait()
        os.close(self._master)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=60, help="of each kind in each round")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        CHILDREN[arguments.child[0]](arguments.model, *arguments.child[1:])
        return
    machine = this_machine()
    if machine.busy:
        print(busy_line(machine), file=sys.stderr)
    echoes: dict[str, list[float]] = defaultdict(list)
    rates: dict[str, list[float]] = defaultdict(list)
    paints: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(arguments.model, arguments.keys, Path(name))
        for round_ in range(1, arguments.rounds + 1):
            print(f"round {round_} of {arguments.rounds}", file=sys.stderr)
            for kind, values in bench.echoes().items():
                echoes[kind] += values
            for where in ("inside", "outside"):
                rates[where].append(bench.tokens_per_s(where))
            for what in ("editor", "empty"):
                paints[what] += [bench.first_paint_ms(what) for _ in range(3)]
    document = {
        "command": shlex.join(["python", "benchmarks/tui.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": asdict(machine),
        "model": arguments.model,
        "terminal": f"{COLUMNS}x{LINES}",
        "echo_ms": {
            kind: {
                "keys": len(values),
                "p50": percentile(values, 50),
                "p95": percentile(values, 95),
                "max": max(values),
            }
            for kind, values in echoes.items()
        },
        "tokens_per_s": {where: median(values) for where, values in rates.items()},
        "tokens_share": median(rates["inside"]) / median(rates["outside"]),
        "first_paint_ms": {what: median(values) for what, values in paints.items()},
        "first_paint_ratio": median(paints["editor"]) / median(paints["empty"]),
    }
    page = as_markdown(document)
    arguments.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(arguments.out / "tui.json", (json.dumps(document, indent=2) + "\n").encode())
    atomic.write_bytes(arguments.out / "tui.md", page.encode())
    print(page)


class Bench:
    """What one round measures."""

    def __init__(self, model: str, keys: int, folder: Path) -> None:
        self._model, self._keys, self._folder = model, keys, folder
        homes = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("STATE", "CONFIG")}
        self._environment = {**os.environ, **homes, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        memory = folder / "state" / "edge-phi" / "tui.json"
        memory.parent.mkdir(parents=True)
        memory.write_text('{"tour_seen": true}')
        self._short, self._long = folder / "short.py", folder / "long.py"
        self._short.write_text("".join(PROMPTS.values()))
        body = "def function_{0}(value):\n    # a comment\n    return value + {0}\n\n"
        self._long.write_text("".join(body.format(number) for number in range(LONG_FILE_LINES // 4)))

    def echoes(self) -> dict[str, list[float]]:
        """Kind -> milliseconds from a key to what it draws."""
        found: dict[str, list[float]] = {}
        for kind, file, busy in (
            ("idle", self._short, False),
            ("both engines at work", self._short, True),
            (f"{LONG_FILE_LINES} lines, both engines at work", self._long, True),
        ):
            print(f"  {kind}", file=sys.stderr)
            terminal = self._terminal("editor", str(file), "busy" if busy else "idle")
            try:
                terminal.wait_for(lambda drawn, name=file.name: name.encode() in drawn)
                while not (self._folder / "ready").exists():
                    terminal.drain(0.2)
                (self._folder / "ready").unlink()
                terminal.drain(2.0)  # the first frames are drawn, and the text has the keys
                found[kind] = [self._echo(terminal) for _ in range(self._keys)]
                if file == self._long:
                    found[f"Page Down, {kind}"] = [self._page_down(terminal) for _ in range(self._keys)]
            finally:
                terminal.close()
        return found

    def _echo(self, terminal: Terminal) -> float:
        terminal.drain(random.uniform(0.03, 0.12))
        pressed_s = terminal.press(MARK)
        echo_ms = (terminal.wait_for(lambda drawn: MARK.encode() in drawn) - pressed_s) * 1e3
        terminal.press("\x7f")
        return echo_ms

    def _page_down(self, terminal: Terminal) -> float:
        terminal.drain(random.uniform(0.03, 0.12))
        pressed_s = terminal.press("\x1b[6~")
        return (terminal.wait_for(PLACE.search) - pressed_s) * 1e3

    def tokens_per_s(self, where: str) -> float:
        """Of the engine that suggests, after the first token of each answer."""
        result = self._folder / f"{where}.json"
        result.unlink(missing_ok=True)
        terminal = self._terminal(where, str(result))
        try:
            while not result.exists():
                terminal.drain(0.2)
                if terminal.child.poll() not in (None, 0):
                    raise SystemExit(f"{where}: ended with {terminal.child.returncode}")
            return float(json.loads(result.read_text()))
        finally:
            terminal.close()

    def first_paint_ms(self, what: str) -> float:
        """From starting the process to its first frame."""
        if what == "empty":
            terminal, mark = Terminal([sys.executable, "-c", EMPTY], self._environment), b"READY"
        else:
            command = [str(Path(sysconfig.get_path("scripts")) / "edge-phi"), "open", "--model", self._model]
            terminal, mark = Terminal(command, self._environment), b"scratch"
        try:
            return (terminal.wait_for(lambda drawn: mark in drawn) - terminal.started_s) * 1e3
        finally:
            terminal.close()

    def _terminal(self, *child: str) -> Terminal:
        script = [sys.executable, __file__, "--model", self._model, "--child", *child]
        return Terminal(script, {**self._environment, "EDGE_PHI_BENCHMARK_READY": str(self._folder / "ready")})


# -- in the child


def run_editor(model: str, file: str, load: str) -> None:
    """The editor; with both engines at work all the time if asked for."""
    from edge_phi.tui.app import EdgePhiApp
    from edge_phi.tui.cli import choose_engines
    from edge_phi.tui.document import open_document

    class Editor(EdgePhiApp):
        def on_ready(self) -> None:
            self.editor_screen.lend_engines()
            threading.Thread(target=self._work, daemon=True).start()

        def _work(self) -> None:
            for lender in self.lenders:
                lender.settled.wait()
            if load == "busy":
                for lender in self.lenders:
                    threading.Thread(target=keep_busy, args=(lender.session,), daemon=True).start()
            Path(os.environ["EDGE_PHI_BENCHMARK_READY"]).touch()

    Editor(open_document(Path(file)), *choose_engines(model, None)).run()


def keep_busy(session: object) -> None:
    """Complete again and again, each time from an empty cache."""
    while True:
        for prompt in ("#", PROMPTS["module"]):
            session.complete(prompt)  # type: ignore[attr-defined]


def run_inside(model: str, result: str) -> None:
    """Suggestions asked for in the editor, drawn as they come."""
    from edge_phi.tui.app import EdgePhiApp
    from edge_phi.tui.cli import choose_engines
    from edge_phi.tui.document import Document

    class Editor(EdgePhiApp):
        def on_ready(self) -> None:
            self.run_worker(self._measure())

        async def _measure(self) -> None:
            import asyncio

            screen, counted = self.editor_screen, []
            for text in prompts():
                screen.editor.load_text(text)
                screen.editor.move_cursor(screen.editor.document.end)
                before = len(screen.panel.history.courses)
                while screen.panel.quantized.state != "ready":
                    await asyncio.sleep(0.01)
                screen.action_suggest()
                while len(screen.panel.history.courses) == before:
                    await asyncio.sleep(0.01)
                suggestion = screen.panel.quantized.suggestion
                assert suggestion is not None
                counted.append((suggestion.tokens, suggestion.timing.decode_tokens_per_s))
            write_rate(counted, result)

    quantized, _ = choose_engines(model, None)
    Editor(Document(), quantized, None, pause_seconds=3600).run()


def run_outside(model: str, result: str) -> None:
    """The same suggestions, one after the other."""
    from edge_phi.completion.session import open_session

    with open_session(model) as session:
        session.complete("#")
        found = [session.complete(text) for text in prompts()]
    write_rate([(one.tokens, one.timing.decode_tokens_per_s) for one in found], result)


def prompts() -> list[str]:
    """Each prompt a few times, no two alike: what is known is not computed again."""
    return [f"# {number}\n{text}" for number in range(4) for text in PROMPTS.values()]


def write_rate(counted: list[tuple[int, float | None]], result: str) -> None:
    """Tokens after the first over their time, sum over sum."""
    known = [(tokens - 1, (tokens - 1) / rate) for tokens, rate in counted if rate]
    atomic.write_bytes(Path(result), json.dumps(sum(n for n, _ in known) / sum(s for _, s in known)).encode())


CHILDREN: dict[str, Callable[..., None]] = {"editor": run_editor, "inside": run_inside, "outside": run_outside}


def as_markdown(document: dict) -> str:
    rows = [
        f"| {kind} | {one['keys']} | {one['p50']:.1f} | {one['p95']:.1f} | {one['max']:.1f} |"
        for kind, one in document["echo_ms"].items()
    ]
    machine, rates, paints = document["machine"], document["tokens_per_s"], document["first_paint_ms"]
    return "\n".join(
        [
            f"# The editor at work: {document['model']}",
            "",
            f"| key to echo (aim: p95 under {ECHO_P95_MS:.0f} ms) | keys | p50 ms | p95 ms | max ms |",
            "|---|---:|---:|---:|---:|",
            *rows,
            "",
            "| | editor | alone | ratio | aim |",
            "|---|---:|---:|---:|---:|",
            f"| tokens/s of the engine that suggests | {rates['inside']:.0f} | {rates['outside']:.0f} | "
            f"{document['tokens_share']:.2f} | at least {TOKENS_SHARE} |",
            f"| first paint, ms; alone: an empty Textual app | {paints['editor']:.0f} | {paints['empty']:.0f} | "
            f"{document['first_paint_ratio']:.2f} | at most {PAINT_RATIO} |",
            "",
            f"`{document['command']}` at {document['commit']}, {document['terminal']} cells; {machine['cpu']}, "
            f"{machine['cores']} cores, {machine['system']}, {machine['python']}.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
