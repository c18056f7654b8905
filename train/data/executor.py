"""Where tasks run: in this process, or in processes of datatrove's local executor.

A task is a number. `Tasks` is the datatrove pipeline step that does the task of its rank: whoever has a cluster gives
it to datatrove's SlurmPipelineExecutor or RayPipelineExecutor instead (docs/data.md).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import multiprocess  # type: ignore[import-untyped]
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import setup_default_logger


class Tasks(PipelineStep):  # type: ignore[misc]
    """A datatrove step that reads no documents: it does task number `rank`.

    Args:
        task: picklable.
    """

    name = "edge-phi"
    type = "shards"

    def __init__(self, task: Callable[[int], None]) -> None:
        super().__init__()
        self.task = task

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
        """Do one task; documents pass by untouched."""
        self.task(rank)
        return data


def run_tasks(task: Callable[[int], None], number: int, *, workers: int, logs: Path) -> None:
    """Do tasks 0 to `number` - 1, `workers` at a time.

    Args:
        task: picklable.
        number: of tasks.
        workers: processes; with one, everything runs in this process.
        logs: a folder for each task's log, which datatrove writes.

    Raises:
        Exception: the first that a task raised; the others are ended.
    """
    if workers <= 1 or number <= 1:
        for rank in range(number):
            task(rank)
        return
    # Workers are forked from a server that has what takes long to import; otherwise each of them imports it anew.
    multiprocess.set_forkserver_preload([__name__, f"{__package__}.steps"])
    with _parallelism_of_tokenizers("false"), _log_to_files_alone():
        _QuietExecutor(
            [Tasks(task)],
            tasks=number,
            workers=min(workers, number),
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
