from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_phi.errors import EdgePhiError, MissingExtra
from edge_phi.measure import process
from edge_phi.measure.memory import peak_resident_bytes
from edge_phi.measure.worker import Job, measure
from edge_phi.store import Artifact

JOB = Job(Artifact("tiny", "onnx", "float32", Path("/nowhere"), Path("/nowhere")), ((1, 2), (3,)), 4, 1)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def answering(answer: object) -> list[str]:
    return process.python("import sys; sys.stdin.read(); print(sys.argv[1])", json.dumps(answer))


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize(
    ("name", "words"), [("SIGSEGV", "killed by SIGSEGV"), ("SIGKILL", r"killed by SIGKILL \(out of memory\?\)")]
)
def test_a_worker_that_dies_is_reported_by_its_signal(name: str, words: str) -> None:
    with pytest.raises(EdgePhiError, match=words):
        measure(JOB, command=process.python(f"import os, signal; os.kill(os.getpid(), signal.{name})"))


def test_a_worker_that_fails_is_reported_by_its_last_words() -> None:
    code = "import sys; print('first'); print('engine gave up\\n', file=sys.stderr); sys.exit(3)"
    with pytest.raises(EdgePhiError, match=r"^engine gave up$"):
        measure(JOB, command=process.python(code))


def test_a_missing_engine_keeps_its_kind_across_the_process() -> None:
    with pytest.raises(MissingExtra, match=r"^install it$"):
        measure(JOB, command=answering({"error": "install it", "missing_extra": True}))


@pytest.mark.parametrize("answer", ["", [], {}, {"timings": 1}, {"timings": [], "load_ms": 1}])
def test_an_answer_that_is_none_is_an_error_not_a_crash(answer: object) -> None:
    with pytest.raises(EdgePhiError, match="gave no measurement"):
        measure(JOB, command=answering(answer))


def test_a_model_that_cannot_be_loaded_fails_in_the_engines_words() -> None:
    with pytest.raises(EdgePhiError, match="nowhere"):
        measure(JOB)


def test_a_child_does_not_import_from_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    assert process.run(process.python("import json; print(json.dumps(1))")) == "1\n"


@linux_only
def test_a_childs_peak_is_its_own() -> None:
    ballast = bytearray(os.urandom(1)) * (300 * 2**20)
    own = peak_resident_bytes()
    code = "from edge_phi.measure.memory import peak_resident_bytes; print(peak_resident_bytes())"
    child = int(process.run(process.python(code)))
    assert own is not None and own > len(ballast)
    assert 2**20 < child < len(ballast)  # as ru_maxrss it would be more than the parent's


@linux_only
@pytest.mark.parametrize("stubborn", [False, True], ids=["tidy", "stubborn"])
def test_an_interrupt_ends_the_child(tmp_path: Path, stubborn: bool) -> None:
    """A tidy child gets the time to clean up; one that ignores the interrupt is killed."""
    started, cleaned = tmp_path / "started", tmp_path / "cleaned"
    child = (
        "import os, pathlib, signal, time\n"
        f"{'signal.signal(signal.SIGINT, signal.SIG_IGN)' if stubborn else ''}\n"
        "try:\n"
        f"    pathlib.Path({str(started)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "finally:\n"
        f"    pathlib.Path({str(cleaned)!r}).touch()\n"
    )
    parent = (
        "import sys\nfrom edge_phi.measure import process\nprocess._GRACE_S = 1\n"
        "try:\n    process.run(process.python(sys.argv[1]))\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    # Started by a shell in the background, this process ignores interrupts, and so would its children.
    listens = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([sys.executable, "-c", parent, f"exec({child!r})"], preexec_fn=listens) as interrupted:
        while not (started.exists() and started.read_text()):
            assert interrupted.poll() is None
            time.sleep(0.01)
        interrupted.send_signal(signal.SIGINT)
        assert interrupted.wait() == 130
    assert cleaned.exists() is not stubborn
    assert not Path("/proc", started.read_text()).exists()
