"""A run's weights and optimizer state on disk, so that a stopped run goes on where it was.

    state/step-00001200/     safetensors, one file for each process that saved; and state.json, written last

Written by torch.distributed.checkpoint while training goes on, each process its own part; any number of processes
reads what any other number wrote. A folder takes its name when all of it is on the disk, and only then is the one
before it removed. Never pickle.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from edge_phi.atomic import fsync_folder
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile

from .distributed import Place

_STATE_FILE = "state.json"
# True of every run in one process, and no news to anyone.
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")


class StateSaver:
    """Saves a run's state beside the training, one state at a time.

    Args:
        folder: of all states.
        place: of this process.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder = folder
        self._place = place
        self._under_way: tuple[Future[Any], int, dict[str, Any]] | None = None

    def start(
        self, model: nn.Module, optimizers: list[torch.optim.Optimizer], step: int, *, steps: int, fingerprint: str
    ) -> None:
        """Copy the state to the CPU's memory and go on; writing takes its time in another thread.

        Args:
            model: whose weights are saved.
            optimizers: whose state is saved.
            step: how many are done.
            steps: how many the schedule has.
            fingerprint: of what decided those that are done; only a run with the same reads the state.

        Raises:
            EdgePhiError: the save before this one failed; see `wait`.
        """
        self.wait()
        partial = self._partial(step)
        if self._place.first:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                for left in self._folder.glob(".step-*"):  # of a run that was killed
                    shutil.rmtree(left, ignore_errors=True)
                partial.mkdir()
            except OSError as error:
                raise self._cannot_save(step, error) from error
        self._place.wait()
        writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
        future = async_save(_tensors(model, optimizers), storage_writer=writer, process_group=self._place.saving)
        assert isinstance(future, Future)  # of the default stager
        self._under_way = (future, step, {"step": step, "steps": steps, "fingerprint": fingerprint})

    def wait(self) -> None:
        """Return when no save is under way and the last one has its name.

        Raises:
            EdgePhiError: it could not be written; the one before it is whole.
        """
        if self._under_way is None:
            return
        (future, step, about), self._under_way = self._under_way, None
        try:
            future.result()
        except (Exception, CheckpointException) as error:  # of the file system, or of another process
            shutil.rmtree(self._partial(step), ignore_errors=True)
            raise self._cannot_save(step, error) from error
        if self._place.first:
            try:
                self._publish(step, about)
            except OSError as error:
                raise self._cannot_save(step, error) from error
        self._place.wait()

    def _publish(self, step: int, about: dict[str, Any]) -> None:
        partial, final = self._partial(step), self._folder / f"step-{step:08}"
        with (partial / _STATE_FILE).open("w", encoding="utf-8") as file:
            json.dump(about, file)
            file.flush()
            os.fsync(file.fileno())
        older = [path for _, path in _states(self._folder) if path != final]
        if final.exists():  # a run that was stopped and went on saves the same step again
            shutil.rmtree(partial)
            return
        partial.rename(final)
        fsync_folder(self._folder)
        for path in older:
            aside = path.with_name(f".{path.name}.old")
            path.rename(aside)  # so that what is left of it, if this is killed, is no state
            shutil.rmtree(aside, ignore_errors=True)

    def _partial(self, step: int) -> Path:
        return self._folder / f".step-{step:08}.part"

    def _cannot_save(self, step: int, error: BaseException) -> EdgePhiError:
        states = _states(self._folder) if self._folder.is_dir() else []
        kept = f"the state of step {states[-1][0]} is whole" if states else "no state was saved yet"
        return EdgePhiError(
            f"{self._folder}: the state of step {step} cannot be saved ({_cause(error)}); {kept}: "
            "free some space and start again"
        )


def load_state(
    folder: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], fingerprint: Callable[[int], str]
) -> int:
    """Restore the newest state and return the step to go on with; 0 if there is none.

    Raises:
        InvalidCall: the state is that of a run with another recipe or on other data.
        InvalidFile: the state is damaged.
    """
    states = _states(folder) if folder.is_dir() else []
    if not states:
        return 0
    step, path = states[-1]
    try:
        state = json.loads((path / _STATE_FILE).read_bytes())
        if state["fingerprint"] != fingerprint(step):
            raise InvalidCall(
                f"{folder}: is of a run with another recipe or other data: give another --out, or remove it"
            )
        _make_room(optimizers)
        load(_tensors(model, optimizers), storage_reader=HuggingFaceStorageReader(str(path)))
    except EdgePhiError:
        raise
    except (Exception, CheckpointException) as error:  # the engine wraps whatever its reader raises
        raise InvalidFile(f"{path}: damaged state ({_cause(error)}): remove it to begin anew") from error
    return step


def steps_of_state(folder: Path) -> int | None:
    """How many steps the schedule of the newest state has; None if there is no state, or it is damaged."""
    states = _states(folder) if folder.is_dir() else []
    try:
        return int(json.loads((states[-1][1] / _STATE_FILE).read_bytes())["steps"]) if states else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def has_state(folder: Path) -> bool:
    """Whether a run left a state there."""
    return folder.is_dir() and bool(_states(folder))


def _states(folder: Path) -> list[tuple[int, Path]]:
    """Whole states, oldest first."""
    found = []
    for path in folder.iterdir():
        name = re.fullmatch(r"step-(\d{8,})", path.name)
        if name and (path / _STATE_FILE).is_file():
            found.append((int(name[1]), path))
    return sorted(found)


def _tensors(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Everything a run needs to go on, by the parameters' names: independent of how they are divided."""
    tensors = {f"model.{name}": weight.detach() for name, weight in model.state_dict().items()}
    names: dict[Tensor, str] = {weight: name for name, weight in model.named_parameters()}
    for optimizer in optimizers:
        for weight, state in optimizer.state.items():
            tensors |= {f"optimizer.{names[weight]}.{key}": value for key, value in state.items()}
    return tensors


def _make_room(optimizers: list[torch.optim.Optimizer]) -> None:
    """Optimizers have no state before their first step: take one that changes nothing, at a rate of 0."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = 0.0
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        optimizer.step()
        optimizer.zero_grad()


def _cause(error: BaseException) -> str:
    """The innermost reason, in a line: the engine reports a table of tracebacks, one for each process."""
    failures = getattr(error, "failures", None)
    if isinstance(failures, dict) and failures:
        error = next(iter(failures.values()))[0]
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).strip().splitlines()[-1]
