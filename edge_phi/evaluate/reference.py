"""How long the published solutions take on this machine, and with it how long any solution may.

No limit in seconds fits every problem and every machine: some published solutions take twenty seconds here, and others'
limit of three makes them fail. So each is run once per machine, with its tests, and a solution may take four times as
long and ten seconds. That run also shows that the problem can be solved under this Python at all. It is the processor's
time that is measured: what else the machine does now has no place in a limit that is kept.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
import json, time
sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None
problems, answers = json.load(sys.stdin), {}
answer, sys.stdout = sys.stdout, sys.stderr
for task_id, sources in problems.items():
    start, names = time.process_time(), {}
    try:
        for source in sources:
            exec(source, names)
    except Exception as error:
        answers[task_id] = f"{type(error).__name__}: {error}"[:200]
    else:
        answers[task_id] = time.process_time() - start
json.dump(answers, answer)
"""


def seconds_allowed(benchmark: Benchmark, problems: Sequence[Problem], progress: Progress) -> dict[str, float]:
    """Wall time in seconds for each of `problems`: found out now for those that never ran on this machine.

    Raises:
        EdgePhiError: a published solution does not pass its tests here; names it.
    """
    path = _cache(benchmark)
    known = _read(path)
    new = [problem for problem in problems if problem.task_id not in known]
    if new:
        progress.note(f"{benchmark.name}: running {len(new)} published solutions, to learn how long they take here")
        known |= _measured(new)
        write_bytes(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return {problem.task_id: BASE_S + FACTOR * known[problem.task_id] for problem in problems}


def _measured(problems: Sequence[Problem]) -> dict[str, float]:
    """Run the published solutions, in one process a core: they are trusted, being the bytes their authors published."""
    workers = min(usable_cores(), len(problems))
    jobs = [problems[start::workers] for start in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        answers = {task_id: answer for found in pool.map(_run, jobs) for task_id, answer in found.items()}
    seconds = {}
    for task_id, answer in answers.items():
        if isinstance(answer, str):
            raise EdgePhiError(
                f"{task_id}: its published solution does not pass its tests under Python {platform.python_version()} "
                f"({answer}): no score here can be trusted"
            )
        seconds[task_id] = answer
    return seconds


def _run(problems: Sequence[Problem]) -> dict[str, float | str]:
    sources = {
        problem.task_id: [
            f"{problem.prompt}{problem.canonical_solution}\n{problem.epilogue}",
            problem.helpers,
            problem.tests,
        ]
        for problem in problems
    }
    found = json.loads(process.run(process.python(_PROGRAM), stdin=json.dumps(sources)))
    return dict(found)


def _cache(benchmark: Benchmark) -> Path:
    # Another machine may share the home folder; the checks of this file may change.
    what = [benchmark.data, platform.node(), platform.processor(), sys.version, _PROGRAM]
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
