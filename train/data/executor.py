"""Where tasks run: in this process, or in processes of datatrove's local executor.

A task is a number. `Tasks` is the datatrove pipeline step that does the tasks of its rank: whoever has a cluster gives
it to datatrove's SlurmPipelineExecutor or RayPipelineExecutor instead (docs/data.md).
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import multiprocess  # type: ignore[import-untyped]
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import setup_default_logger

_RANKS_PER_WORKER = 8  # datatrove's logs and statistics take about 40 ms for each: few, but enough to share evenly


class Tasks(PipelineStep):  # type: ignore[misc]
    """A datatrove step that reads no documents: rank r of R does the tasks r, r + R, r + 2R, ... below `number`.

    Args:
        task: picklable.
        number: of tasks.
    """

    name = "edge-phi"
    type = "shards"

    def __init__(self, task: Callable[[int], None], number: int) -> None:
        super().__init__()
        self.task = _Packed(pickle.dumps(task))
        self.number = number

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
        """Do the tasks of one rank; documents pass by untouched."""
        for number in range(rank, self.number, world_size):
            self.task.unpack()(number)
        return data


class _Packed:
    """A task as bytes, since datatrove pickles its whole pipeline anew for every rank: the files of all in each.

    No dataclass: datatrove would write its bytes into a log.
    """

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def unpack(self) -> Callable[[int], None]:
        return _unpickled(self._pickled)


@functools.lru_cache(maxsize=1)
def _unpickled(task: bytes) -> Callable[[int], None]:
    unpacked: Callable[[int], None] = pickle.loads(task)
    return unpacked


def run_tasks(
    task: Callable[[int], None], number: int, *, workers: int, logs: Path, imports: Sequence[str] = ()
) -> None:
    """Do tasks 0 to `number` - 1, `workers` at a time.

    Args:
        task: picklable.
        number: of tasks.
        workers: processes; with one, everything runs in this process.
        logs: a folder for each task's log, which datatrove writes.
        imports: modules that all tasks need and that take seconds to import, to be imported once where it can be.

    Raises:
        Exception: the first that a task raised; the others are ended.
    """
    with _parallelism_of_tokenizers("false"):  # a worker is one core's work, also where it is the only one
        if workers <= 1 or number <= 1:
            for rank in range(number):
                task(rank)
            return
        _run_in_processes(task, number, min(workers, number), logs, imports)


def _run_in_processes(
    task: Callable[[int], None], number: int, workers: int, logs: Path, imports: Sequence[str]
) -> None:
    # Workers are forked from a server that has what takes long to import; otherwise each of them imports it anew, as
    # they do where an earlier step has started the server without it.
    multiprocess.set_forkserver_preload([__name__, f"{__package__}.steps", *imports])
    with _log_to_files_alone():
        _QuietExecutor(
            [Tasks(task, number)],
            tasks=min(number, _RANKS_PER_WORKER * workers),
            workers=workers,
            logging_dir=str(logs),
            skip_completed=False,  # the marks beside the shards say what is done, and under which settings
        ).run()


class _QuietExecutor(LocalPipelineExecutor):  # type: ignore[misc]
    """Logs to its files alone: what a terminal shows is for the command to say."""

    def _launch_run_for_rank(self, *arguments: Any, **more: Any) -> Any:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            return super()._launch_run_for_rank(*arguments, **more)


@contextlib.contextmanager
def _log_to_files_alone() -> Iterator[None]:
    with Path(os.devnull).open("w") as nowhere:
        with contextlib.redirect_stderr(nowhere):
            setup_default_logger()  # loguru holds on to the stream that is stderr while it is set up
        yield
    setup_default_logger()


@contextlib.contextmanager
def _parallelism_of_tokenizers(value: str) -> Iterator[None]:
    """The tokenizers library would otherwise start a thread for every core in every process."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
