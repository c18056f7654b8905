"""One process or many: torchrun's variables, FSDP2 over the processes of a machine, copies of that over machines.

`torchrun --nproc-per-node 8 -m edge_phi train RECIPE` starts eight processes. With one process the model is left as it
is. With more on one machine, every process keeps its part of weights, gradients and optimizer state (FSDP2, Zhao et al.
2023, arXiv 2304.11277). With more machines, each machine keeps a whole copy between its processes and only gradients go
from machine to machine (HSDP), whose network is the slower one.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from edge_phi.errors import EdgePhiError, InvalidCall

from .model import Phi

_TIMEOUT = datetime.timedelta(minutes=30)  # the first process prepares the data while the others wait


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train one model."""

    device: torch.device
    rank: int = 0
    processes: int = 1
    mesh: DeviceMesh | None = None  # None: alone; else dimensions ("shard",) or ("replicate", "shard")
    saving: dist.ProcessGroup | None = None  # for what goes on beside training

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place, without waiting for the device."""
        if self.processes > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.processes > 1:
            dist.barrier()


@contextlib.contextmanager
def joined() -> Iterator[Place]:
    """This process's place, from the variables that torchrun sets; alone where there are none.

    Raises:
        InvalidCall: the variables are not whole numbers, or there are fewer GPUs than processes on this machine.
        EdgePhiError: the other processes cannot be reached.
    """
    rank, processes, local_rank, local_processes = (
        _variable(name, default)
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))
    )
    device = torch.device("cpu")
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise InvalidCall(
                f"process {local_rank} of this machine has no GPU: {torch.cuda.device_count()} here, give torchrun "
                "--nproc-per-node of as many"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    if processes == 1:
        yield Place(device)
        return
    try:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "cpu:gloo"
        dist.init_process_group(backend, timeout=_TIMEOUT)
        mesh = _mesh(device, processes, local_processes)
        saving = dist.new_group(backend="gloo")
    except (RuntimeError, ValueError) as error:
        raise EdgePhiError(
            f"process {rank} of {processes} cannot join the others: {str(error).splitlines()[0]}"
        ) from error
    try:
        yield Place(device, rank, processes, mesh, saving)
    finally:
        dist.destroy_process_group()


def shard(model: Phi, place: Place) -> None:
    """Divide a model's parameters over the processes; before they have memory, or after.

    Weights are gathered in the model's compute type, gradients are summed in float32. After the forward pass a layer's
    gathered weights are kept for the backward pass: in bfloat16 they are 5.6 GB for the largest of the family, and
    gathering them twice costs more than that memory is worth.
    """
    if place.mesh is None:
        return
    precision = MixedPrecisionPolicy(
        param_dtype=model.compute_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for layer in model.layers:
        fully_shard(layer, mesh=place.mesh, mp_policy=precision, reshard_after_forward=False)
    fully_shard(model, mesh=place.mesh, mp_policy=precision, reshard_after_forward=False)


def reduce_gradients(model: nn.Module, reduce: bool) -> None:
    """Whether the next backward pass sums gradients over processes; only the last of those accumulated needs to."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(reduce)


def free_gathered(model: nn.Module) -> None:
    """Drop gathered weights that no backward pass will: after the loss was computed without gradients."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor as it is without sharding; every process must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _mesh(device: torch.device, processes: int, local_processes: int) -> DeviceMesh:
    if processes > local_processes > 1:
        machines = processes // local_processes
        return init_device_mesh(device.type, (machines, local_processes), mesh_dim_names=("replicate", "shard"))
    return init_device_mesh(device.type, (processes,), mesh_dim_names=("shard",))


def _variable(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        raise InvalidCall(f"{name} is {value!r}: torchrun sets it to a whole number") from error
