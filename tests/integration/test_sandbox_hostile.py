"""No hostile program passes, reaches anything, or outlives its end; the sandbox goes on with the next one."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile import CONFINED, PRELUDE, PROGRAMS, Hostile

from edge_phi.evaluate.sandbox import Examination, Limits, Sandbox, isolation

HONEST = Examination(
    "def f(x):\n    return x + [4] if isinstance(x, list) else x + 1\n", tests="assert f([3]) == [3, 4]"
)
MEMORY_BYTES = 512 << 20
WRONG = Examination("def f(x):\n    return x\n", tests="assert f([3]) == [3, 4]")


@dataclasses.dataclass
class World:
    """What is there to be harmed."""

    folder: Path
    listeners: dict[str, socket.socket]

    @property
    def names(self) -> str:
        """The assignments that a program gets."""
        named = {
            "FOLDER": str(self.folder),
            "SECRET_FILE": str(self.folder / "secret"),
            "SENTINEL": str(self.folder / "sentinel"),
            "HOST_PID": os.getpid(),
            "PORT": self.listeners["ipv4"].getsockname()[1],
            "UNIX_SOCKET": str(self.folder / "socket"),
            "ABSTRACT_SOCKET": self.listeners["abstract"].getsockname().decode(),
        }
        return "".join(f"{name} = {value!r}\n" for name, value in named.items())

    def state(self) -> list[tuple[str, int, int, bytes]]:
        """Every file with its mode, size and contents."""
        return [
            (path.name, path.lstat().st_mode, path.lstat().st_nlink, path.read_bytes() if path.is_file() else b"")
            for path in sorted(self.folder.rglob("*"))
        ]

    def visited(self) -> list[str]:
        """The listeners at which somebody called."""
        called = []
        for name, listener in self.listeners.items():
            try:
                listener.accept()[0].close()
                called.append(name)
            except BlockingIOError:
                pass
        return called


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    # A short path, open to everybody: what keeps programs out must not be this folder's mode.
    with tempfile.TemporaryDirectory(dir="/tmp") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        folder.chmod(0o777)
        for file, text in (("secret", "SECRET"), ("sentinel", "as it was")):
            (folder / file).write_text(text)
            (folder / file).chmod(0o666)
        patch.setenv("EDGE_PHI_TEST", "SECRET")
        addresses = {
            "ipv4": (socket.AF_INET, ("127.0.0.1", 0)),
            "unix": (socket.AF_UNIX, str(folder / "socket")),
            "abstract": (socket.AF_UNIX, f"\0edge-phi-{os.getpid()}"),
        }
        listeners = {}
        for kind, (family, address) in addresses.items():
            listeners[kind] = socket.socket(family)
            listeners[kind].bind(address)
            listeners[kind].listen()
            listeners[kind].setblocking(False)
        yield World(folder, listeners)
        for listener in listeners.values():
            listener.close()


@pytest.fixture(scope="module")
def open_sandbox(world: World) -> Iterator[Callable[..., Sandbox]]:
    """A sandbox without the named walls, made once."""
    if sys.platform != "linux" or not isolation.probe().enough:
        pytest.skip("this machine cannot hold hostile programs: see edge-phi doctor")
    made: dict[tuple[str, ...], Sandbox] = {}
    have = isolation.probe()

    def sandbox(*without: str) -> Sandbox:
        if without not in made:
            left = tuple(
                dataclasses.replace(one, present=one.present and one.name not in without) for one in have.mechanisms
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(isolation, "probe", lambda: isolation.Isolation(left))
                made[without] = Sandbox(allow_weak=True)
        return made[without]

    yield sandbox
    for one in made.values():
        one.close()


def check_holds(program: Hostile, sandbox: Sandbox, world: World) -> None:
    before = world.state()
    limits = Limits(seconds=program.seconds, memory_bytes=MEMORY_BYTES)
    verdict = sandbox.check(Examination(world.names + PRELUDE + program.source, program.tests), limits)
    assert verdict.outcome in program.outcomes, verdict
    assert verdict.detail.isprintable() and 0 < len(verdict.detail) <= 300
    assert descendants(sandbox) <= 4, "a process is left"  # the worker and its parent, an examiner, the next candidate
    assert world.state() == before
    assert world.visited() == []
    limits = Limits(seconds=60, memory_bytes=MEMORY_BYTES)
    assert sandbox.check(HONEST, limits).outcome == "pass"
    assert sandbox.check(WRONG, limits).outcome == "fail"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_it_holds(program: Hostile, open_sandbox: Callable[..., Sandbox], world: World) -> None:
    check_holds(program, open_sandbox(), world)


@pytest.mark.parametrize("wall", ["namespaces", "landlock"])
@pytest.mark.parametrize("program", CONFINED, ids=lambda program: program.name)
def test_either_wall_holds_alone(
    program: Hostile, wall: str, open_sandbox: Callable[..., Sandbox], world: World
) -> None:
    other = {"namespaces": "landlock", "landlock": "namespaces"}[wall]
    if not isolation.probe().has(wall):
        pytest.skip(f"this machine has no {wall}")
    check_holds(program, open_sandbox(other), world)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.spawns], ids=lambda program: program.name)
def test_namespaces_hold_processes_without_seccomp(
    program: Hostile, open_sandbox: Callable[..., Sandbox], world: World
) -> None:
    if not isolation.probe().has("namespaces"):
        pytest.skip("this machine has no namespaces")
    check_holds(program, open_sandbox("seccomp"), world)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.fools], ids=lambda program: program.name)
def test_it_would_fool_a_checker_in_one_process(program: Hostile, world: World) -> None:
    whole = f"{world.names}{PRELUDE}{program.source}\n{program.tests}"
    ran = subprocess.run([sys.executable, "-c", whole], capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[-300:]


def descendants(sandbox: Sandbox) -> int:
    """How many processes of this machine come from the sandbox's worker."""
    assert sandbox._worker is not None
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    found = {sandbox._worker._process.pid}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return len(found)
