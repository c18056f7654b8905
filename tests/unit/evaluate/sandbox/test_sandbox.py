"""The sandbox refuses where it cannot hold, and an accident of its own is never called a program's failure."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edge_phi.errors import EdgePhiError
from edge_phi.evaluate.sandbox import Examination, Isolation, Limits, Mechanism, Sandbox, isolation, probe

RIGHT = Examination("def f(x): return x + 1", "assert f(1) == 2")


def without(*names: str) -> Isolation:
    return Isolation(tuple(replace(one, present=one.present and one.name not in names) for one in probe().mechanisms))


def needs(*names: str) -> None:
    lacking = [name for name in names if not probe().has(name)]
    if lacking:
        pytest.skip(f"this machine has no {', '.join(lacking)}")


@pytest.mark.parametrize("names", [("seccomp",), ("namespaces", "landlock"), ("namespaces", "landlock", "seccomp")])
def test_it_refuses_where_it_cannot_hold(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "probe", lambda: without(*names))
    with pytest.raises(EdgePhiError) as refused:
        Sandbox()
    message = str(refused.value)
    assert all(name in message for name in names) and "--allow-weak-sandbox" in message and "\n" not in message


def test_only_told_so_it_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "probe", lambda: without("namespaces", "landlock", "seccomp"))
    with Sandbox(allow_weak=True) as sandbox:
        assert sandbox.check(RIGHT).passed
        assert sandbox.check(Examination("import os; os._exit(0)", "pass")).outcome == "fail"
        assert sandbox.check(Examination("while True: pass", "pass"), Limits(seconds=0.3)).outcome == "timeout"
        assert sandbox.run("import os; print(len(os.listdir('/')) > 3)").stdout == "True\n"


def test_isolation_is_enough_with_seccomp_and_one_more() -> None:
    def have(*names: str) -> Isolation:
        return Isolation(tuple(Mechanism(name, name in names, "why") for name in ("namespaces", "landlock", "seccomp")))

    assert have("seccomp", "namespaces").enough and have("seccomp", "landlock").enough
    assert not have("seccomp").enough and not have("namespaces", "landlock").enough
    assert have("seccomp").missing == "namespaces (why); landlock (why)"


def test_a_worker_that_dies_is_replaced() -> None:
    needs("namespaces", "seccomp")
    with Sandbox() as sandbox:
        assert sandbox.check(RIGHT).passed
        assert sandbox._worker is not None
        first = sandbox._worker._process
        first.kill()
        first.wait()
        verdict = sandbox.check(RIGHT)
        assert verdict.outcome == "infrastructure_error" and "worker" in verdict.detail
        assert sandbox.check(RIGHT).passed
        assert sandbox._worker._process.pid != first.pid


def test_a_worker_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("namespaces", "seccomp")
    monkeypatch.setattr("edge_phi.evaluate.sandbox.host._GRACE_SECONDS", 0.3)
    with Sandbox() as sandbox:
        assert sandbox._worker is not None
        hung = [pid for pid in tree(sandbox._worker._process.pid) if pid != sandbox._worker._process.pid]
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        verdict = sandbox.check(RIGHT, Limits(seconds=0.2))
        assert verdict.outcome == "infrastructure_error"
        assert sandbox.check(RIGHT).passed
        assert_gone(hung)


def test_an_examiner_that_dies_is_an_infrastructure_error() -> None:
    needs("namespaces", "seccomp")
    with Sandbox() as sandbox:
        kills_itself = Examination("x = 1", "import os\nos._exit(0)")
        assert sandbox.check(kills_itself).outcome == "infrastructure_error"
        assert sandbox.check(RIGHT).passed


def test_nothing_is_left_when_it_is_closed() -> None:
    with Sandbox(allow_weak=True) as sandbox:
        sandbox.check(Examination("while True: pass", "pass"), Limits(seconds=0.2))
        assert sandbox._worker is not None
        all_of_it = tree(sandbox._worker._process.pid)
        assert len(all_of_it) >= 2
    assert_gone(all_of_it)


def test_it_works_for_an_ordinary_user(tmp_path: Path) -> None:
    """As root the worker becomes nobody by another way than a user does; the tests above ran as one of the two."""
    import shutil
    import subprocess

    python = "/usr/bin/python3"
    if os.geteuid() != 0 or not Path(python).exists():
        pytest.skip("needs root, to become another user, and a Python that others may run")
    package = Path(isolation.__file__).parents[2]
    if subprocess.run([python, "-c", "import sys; assert sys.version_info >= (3, 10)"], check=False).returncode:
        pytest.skip(f"{python} is too old")
    folder = Path("/tmp") / f"edge-phi-{os.getpid()}"
    try:
        shutil.copytree(package / "evaluate/sandbox", folder / "edge_phi/evaluate/sandbox")
        shutil.copy(package / "errors.py", folder / "edge_phi/errors.py")
        (folder / "edge_phi/__init__.py").touch()
        (folder / "edge_phi/evaluate/__init__.py").touch()
        program = (
            "from edge_phi.evaluate.sandbox import *\n"
            "assert probe().has('namespaces') and probe().has('seccomp'), probe()\n"
            "with Sandbox() as s:\n"
            "    assert s.check(Examination('def f(x): return x + 1', 'assert f(1) == 2')).passed\n"
            "    seen = 'os.getuid(), os.listdir(\\'.\\'), os.path.exists(\\'/etc\\')'\n"
            "    ran = s.run(f'import os; open(\\'x\\', \\'w\\').close(); print({seen})')\n"
            "    assert ran.stdout == \"65534 ['x'] False\\n\", ran\n"
        )
        ran = subprocess.run(
            [python, "-c", program],
            cwd=folder,
            user=12345,
            group=12345,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr.decode()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def assert_gone(pids: list[int]) -> None:
    """A killed process may take a moment to end."""
    until = time.monotonic() + 10
    while any(map(alive, pids)):
        assert time.monotonic() < until, "a process is left"
        time.sleep(0.01)


def tree(pid: int) -> list[int]:
    """A process and all that came of it."""
    children = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        children += [int(child) for child in tasks.read_text().split()]
    return [pid, *(one for child in children for one in tree(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
