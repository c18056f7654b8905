"""How long the published solutions take on this machine, and with it how long any solution may.

No limit in seconds fits every problem and every machine: some published solutions take twenty seconds here, and others'
limit of three makes them fail. So each is run once per machine, with its tests, and a solution may take four times as
long and ten seconds. That run also shows that the problem can be solved under this Python at all. It is the processor's
time that is measured and limited, so that a busy machine gives the same verdicts.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import platformdirs

from ..atomic import write_bytes
from ..cores import usable_cores
from ..errors import EdgePhiError
from ..measure import process
from ..measure.progress import Progress
from .problem import Benchmark, Problem

BASE_S, FACTOR = 10, 4

_PROGRAM = """
import json, os, time
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)
problems = json.load(sys.stdin)
answer = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what a solution prints
for task_id, sources in problems.items():
    start, names = time.process_time(), {}
    try:
        for source in sources:
            exec(source, names)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"[:200]
    else:
        found = time.process_time() - start
    print(json.dumps([task_id, found]), file=answer, flush=True)
"""


def cpu_seconds_allowed(benchmark: Benchmark, problems: Sequence[Problem], progress: Progress) -> dict[str, float]:
    """The processor's time in seconds for each of `problems`: found out now for those that never ran on this machine.

    Raises:
        EdgePhiError: a published solution does not pass its tests here; names it.
    """
    path = _cache(benchmark)
    known = _read(path)
    names = {problem.task_id: _name(problem) for problem in problems}
    new = [problem for problem in problems if names[problem.task_id] not in known]
    if new:
        progress.note(f"{benchmark.name}: running {len(new)} published solutions, to learn how long they take here")
        try:
            for done, (task_id, seconds) in enumerate(_measured(new), start=1):
                known[names[task_id]] = seconds
                progress.working(f"{benchmark.name}: published solutions", done, len(new))
        finally:
            write_bytes(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return {task_id: BASE_S + FACTOR * known[name] for task_id, name in names.items()}


def _measured(problems: Sequence[Problem]) -> Iterator[tuple[str, float]]:
    """Run the published solutions, in one process a core: they are trusted, being the bytes their authors published."""
    workers = min(usable_cores(), len(problems))
    children: list[subprocess.Popen[str]] = []
    try:
        for start in range(workers):
            child = subprocess.Popen(
                process.python(_PROGRAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                encoding="utf-8",
            )  # fmt: skip
            children.append(child)
            assert child.stdin is not None
            child.stdin.write(json.dumps({problem.task_id: _sources(problem) for problem in problems[start::workers]}))
            child.stdin.close()
        for child in children:
            assert child.stdout is not None
            for line in child.stdout:
                task_id, found = json.loads(line)
                if isinstance(found, str):
                    raise EdgePhiError(
                        f"{task_id}: its published solution does not pass its tests under Python "
                        f"{platform.python_version()} ({found}): no score here can be trusted"
                    )
                yield task_id, found
            if child.wait():
                raise EdgePhiError(
                    f"the process that runs the published solutions ended with code {child.returncode}: is there "
                    "enough memory?"
                )
    finally:
        for child in children:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _sources(problem: Problem) -> list[str]:
    return [f"{problem.prompt}{problem.canonical_solution}\n{problem.epilogue}", problem.helpers, problem.tests]


def _name(problem: Problem) -> str:
    """What a time is kept under: another way of testing takes another time."""
    return f"{problem.task_id} {hashlib.sha256(json.dumps(_sources(problem)).encode()).hexdigest()[:16]}"


def _cache(benchmark: Benchmark) -> Path:
    # Another machine may share the home folder.
    what = [platform.node(), platform.processor(), sys.version, _PROGRAM]
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    folder = Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"seconds-{benchmark.name}-{name}.json"


def _read(path: Path) -> dict[str, float]:
    try:
        known = json.loads(path.read_bytes())
        return {str(task_id): float(seconds) for task_id, seconds in known.items() if 0 <= float(seconds) < 3600}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
