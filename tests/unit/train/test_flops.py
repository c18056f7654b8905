"""FLOPs and memory known beforehand, held against the model itself and what autograd and PyTorch then take."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.checkpoint import PhiConfig
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.train import flops
from edge_phi.train.dry_run import plan_run, print_dry_run
from edge_phi.train.hardware import GPUS, available_memory, find_gpu
from edge_phi.train.recipe import Recipe, load_recipe

torch = pytest.importorskip("torch", reason="PyTorch, of the extra 'train', is not installed")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_iter  # noqa: E402

from edge_phi.train import loss  # noqa: E402
from edge_phi.train.model import Phi  # noqa: E402
from edge_phi.train.optim import build_optimizers  # noqa: E402


def published(name: str) -> PhiConfig:
    return load_recipe(name).config(vocab_size=51_200, eos_token_id=50_256)


SMALL = PhiConfig(
    vocab_size=2000,
    hidden_size=256,
    intermediate_size=1024,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=512,
)


def recipe_for(config: PhiConfig, *, micro_batch: int, batch: int, **changes: Any) -> Recipe:
    return dataclasses.replace(
        load_recipe("phi-1"), batch=batch, micro_batch=micro_batch, length=config.max_position_embeddings,
        compile=False, **changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "count", "flops_per_token"),
    [
        ("phi-1", 1_418_270_720, 9.085e9),
        ("phi-1-small", 356_794_368, 2.328e9),
        ("phi-2", 2_779_683_840, 1.790e10),
    ],
)
def test_published_sizes(name: str, count: int, flops_per_token: float) -> None:
    config = published(name)
    with torch.device("meta"):
        model = Phi(config)
    matrices = sum(weight.numel() for key, weight in model.named_parameters() if weight.dim() == 2)
    assert flops.parameters(config) == count == sum(weight.numel() for weight in model.parameters())
    assert flops.parameters(config) == sum(math.prod(shape) for shape in config.tensor_shapes().values())
    assert flops.matmul_parameters(config) == matrices - model.embed_tokens.weight.numel()
    assert flops.flops_per_token(config, 2048) == pytest.approx(flops_per_token, rel=5e-4)


def test_phi_1s_own_run_had_the_mfu_that_is_said_of_it() -> None:
    """770 A100-hours for 51 B tokens (arXiv 2306.11644, figure 2.1) are 54 % of 312 TFLOP/s."""
    reached = 51e9 * flops.flops_per_token(published("phi-1"), 2048) / (770 * 3600)
    nominal = flops.nominal_flops("NVIDIA A100-SXM4-80GB")
    assert nominal and reached / nominal == pytest.approx(0.54, abs=0.005)


# What holds memory, counted.


def saved_bytes(model: Phi, tokens: torch.Tensor, step: Any) -> int:
    """Bytes of all storages that autograd keeps for a backward pass, parameters apart."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept = step(tokens[:, :-1], tokens[:, 1:])
    del kept
    return sum(saved.values())


def counted_and_estimated(*, bfloat16: bool, compiled: bool, dropout: float) -> tuple[int, int]:
    """Saved bytes for each token of a micro-batch: a difference of two, so that what does not grow cancels."""
    torch.manual_seed(0)
    model = Phi(SMALL, dropout=dropout)
    model.initialize(0)
    model.compute_dtype = torch.bfloat16 if bfloat16 else torch.float32
    step = torch.compile(model) if compiled else model
    length = SMALL.max_position_embeddings
    tokens = torch.randint(0, SMALL.vocab_size, (3, length + 1))
    count = saved_bytes(model, tokens, step) - saved_bytes(model, tokens[:2], step)
    estimated = flops.activation_bytes_per_token(
        SMALL, length=length, device="cuda" if bfloat16 else "cpu", compiled=compiled, dropout=dropout
    )
    return count // length, estimated


@pytest.mark.parametrize(("bfloat16", "dropout"), [(False, 0.0), (False, 0.1), (True, 0.0)])
def test_activations_are_what_autograd_saves(bfloat16: bool, dropout: float) -> None:
    counted, estimated = counted_and_estimated(bfloat16=bfloat16, compiled=False, dropout=dropout)
    assert estimated == pytest.approx(counted, rel=0.02)


@pytest.mark.slow
def test_activations_are_what_the_compiler_saves() -> None:
    torch._dynamo.reset()
    counted, estimated = counted_and_estimated(bfloat16=True, compiled=True, dropout=0.0)
    assert estimated == pytest.approx(counted, rel=0.1)


class Living(TorchDispatchMode):
    """Counts the bytes of all storages that are alive, and the most there ever were; with fake tensors none is real."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._sizes:
                    self._sizes[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata)
        return result

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def peak_of_training(config: PhiConfig, recipe: Recipe, *, bfloat16: bool) -> int:
    """The most that two steps of training hold at once: every tensor counted, none allocated."""
    with FakeTensorMode(), Living() as living:
        model = Phi(config)
        model.compute_dtype = torch.bfloat16 if bfloat16 else torch.float32
        optimizers = build_optimizers(
            model, name=recipe.optimizer, weight_decay=recipe.weight_decay, betas=(recipe.beta1, recipe.beta2)
        )
        tokens = torch.randint(0, config.vocab_size, (recipe.micro_batch, recipe.length + 1))
        for _ in range(2):
            for _ in range(recipe.batch // recipe.micro_batch):
                model(tokens[:, :-1], tokens[:, 1:]).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    return living.peak


@pytest.mark.parametrize(
    ("bfloat16", "micro_batch", "batch", "optimizer"),
    [(True, 1, 1, "adamw"), (False, 1, 2, "adamw"), (True, 8, 16, "adamw"), (False, 4, 4, "muon")],
)
def test_the_peak_is_what_training_holds(
    monkeypatch: pytest.MonkeyPatch, bfloat16: bool, micro_batch: int, batch: int, optimizer: str
) -> None:
    device = "cuda" if bfloat16 else "cpu"
    assert {"cpu": loss._CPU_ROWS, "cuda": loss._GPU_ROWS} == flops.LOSS_ROWS
    monkeypatch.setattr(loss, "_CPU_ROWS", flops.LOSS_ROWS[device])  # fake tensors are on the CPU
    config = dataclasses.replace(published("phi-1-small"), num_hidden_layers=4, vocab_size=8192)
    recipe = recipe_for(config, micro_batch=micro_batch, batch=batch, optimizer=optimizer)
    needed = flops.estimate(recipe, config, processes=1, device=device)
    assert needed.peak_bytes == pytest.approx(peak_of_training(config, recipe, bfloat16=bfloat16), rel=0.05)


# What follows from it.


@given(
    micro_batch=st.integers(1, 64),
    processes=st.sampled_from([1, 2, 4, 8]),
    length=st.integers(1, 2048),
    compiled=st.booleans(),
    device=st.sampled_from(["cuda", "cpu"]),
)
def test_more_never_needs_less(micro_batch: int, processes: int, length: int, compiled: bool, device: str) -> None:
    recipe = dataclasses.replace(load_recipe("phi-1-base"), micro_batch=micro_batch, length=length, compile=compiled)
    config = published("phi-1")

    def needed(recipe: Recipe, *, processes: int = processes) -> int:
        return flops.estimate(recipe, config, processes=processes, device=device).needed_bytes

    assert needed(recipe) <= needed(dataclasses.replace(recipe, micro_batch=micro_batch + 1))
    assert needed(recipe) <= needed(dataclasses.replace(recipe, length=length + 1))
    assert needed(recipe) <= needed(dataclasses.replace(recipe, dropout=0.1))
    assert needed(dataclasses.replace(recipe, optimizer="muon")) <= needed(recipe)
    if processes > 1:
        assert needed(recipe, processes=2 * processes) <= needed(recipe)


def test_a_recipe_that_cannot_fit_is_told_what_would() -> None:
    recipe, config = load_recipe("phi-1-base"), published("phi-1-base")
    too_large = dataclasses.replace(recipe, micro_batch=32)
    with pytest.raises(
        EdgePhiError, match=r"recipe phi-1-base needs 14\d\.\d GB on one process.*--micro-batch=8 would"
    ):
        flops.check_memory(too_large, config, processes=1, available_bytes=80 * 10**9, device="cuda")
    flops.check_memory(recipe, config, processes=1, available_bytes=80 * 10**9, device="cuda")
    flops.check_memory(too_large, config, processes=1, available_bytes=None, device="cuda")  # nobody knows

    with pytest.raises(
        EdgePhiError, match=r"on each of 2 processes, where 24\.0 GB are free: --micro-batch=1 would fit"
    ):
        flops.check_memory(recipe, config, processes=2, available_bytes=24 * 10**9, device="cuda")
    with pytest.raises(EdgePhiError, match="not even --micro-batch=1 would fit: give a smaller --length"):
        flops.check_memory(recipe, config, processes=1, available_bytes=28 * 10**9, device="cpu")
    with pytest.raises(EdgePhiError, match="the model itself is too large: take a device with more memory"):
        flops.check_memory(recipe, config, processes=1, available_bytes=10**9, device="cpu")
    with pytest.raises(EdgePhiError, match="2 GPUs of this size with --micro-batch=1 would fit"):
        flops.check_memory(recipe, config, processes=1, available_bytes=24 * 10**9, device="cuda")


@given(st.integers(1, 200))
def test_what_is_said_to_fit_does(gigabytes: int) -> None:
    recipe, config = load_recipe("phi-1-base"), published("phi-1-base")
    for processes in (1, 8):
        size = flops.largest_micro_batch(
            recipe, config, processes=processes, available_bytes=gigabytes * 10**9, device="cuda"
        )
        if size is not None:
            fitting = dataclasses.replace(recipe, micro_batch=size)
            flops.check_memory(fitting, config, processes=processes, available_bytes=gigabytes * 10**9, device="cuda")


# Devices.


@pytest.mark.parametrize(
    ("reported", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Tesla T4", "T4"),
        ("NVIDIA A10", None),
        ("", None),
    ],
)
def test_gpus_by_the_name_that_cuda_reports(reported: str, name: str | None) -> None:
    found = find_gpu(reported)
    assert (found and found.name) == name
    assert flops.nominal_flops(reported) == (found and found.flops_per_s)


def test_every_gpu_is_found_by_its_own_name() -> None:
    assert [find_gpu(gpu.name.lower()) for gpu in GPUS] == list(GPUS)


def test_the_cpus_own_speed_is_measured() -> None:
    assert 1e8 < flops.measured_flops(torch.device("cpu")) < 1e15


def test_memory_that_is_free(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    assert available_memory(tmp_path) is None  # not Linux
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert available_memory(tmp_path) == 8000 * 1024
    write("proc/self/cgroup", "0::/job/step\n")
    write("sys/fs/cgroup/job/step/memory.max", "max\n")
    write("sys/fs/cgroup/job/step/memory.current", "1000000\n")
    assert available_memory(tmp_path) == 8000 * 1024
    write("sys/fs/cgroup/job/memory.max", "4000000\n")  # a limit further up counts
    write("sys/fs/cgroup/job/memory.current", "3000000\n")
    assert available_memory(tmp_path) == 1_000_000
    write("sys/fs/cgroup/job/memory.stat", "anon 5\ninactive_file 500000\n")  # cached files give way
    assert available_memory(tmp_path) == 1_500_000
    write("proc/self/cgroup", "4:memory:/docker/x\n")  # version 1, its own folder not mounted
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n")
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1800000\n")
    assert available_memory(tmp_path) == 200_000


# --dry-run.


def test_a_dry_run_adds_up() -> None:
    planned = plan_run(load_recipe("phi-1-base"), gpus=8, gpu="A100", price=2.0, mfu=0.54)
    assert planned.tokens == 24_000 * 1024 * 2048
    assert sum(planned.tokens_of_arrays.values()) == pytest.approx(planned.tokens)
    assert planned.gpu_hours == pytest.approx(770, rel=0.03)  # what the paper says for a little more
    assert planned.hours * 8 == pytest.approx(planned.gpu_hours)
    assert planned.dollars == pytest.approx(2 * planned.gpu_hours)
    assert planned.fits and (planned.mfu_assumed, planned.price_assumed) == (False, False)
    faster = plan_run(load_recipe("phi-1-base"), gpus=8, gpu="H100", mfu=0.54)
    assert faster.hours == pytest.approx(planned.hours * 312 / 989)
    assert faster.price_assumed
    many = plan_run(load_recipe("phi-2"), gpus=96, gpu="A100")
    assert many.memory.shards == 8  # within a machine


def test_a_dry_run_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = dataclasses.replace(load_recipe("phi-1-base"), micro_batch=64)
    print_dry_run(recipe, gpus=4, gpu="H100", price=2.5)
    table = capsys.readouterr().out
    for part in ("phi-1-base on 4 x H100", "1,418.3 M", "9.085e+09", "50.33 B", "does not fit: --micro-batch=",
                 "assumed, --mfu gives yours", "at $2.50 per GPU and hour"):  # fmt: skip
        assert part in table
    assert max(map(len, table.splitlines())) <= 120
    print_dry_run(recipe, gpus=4, gpu="H100", price=2.5, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert (facts["fits"], facts["gpus"], facts["mfu_assumed"], facts["price_assumed"]) == (False, 4, True, False)
    assert facts["needed_bytes"] > facts["peak_bytes"] > facts["memory"]["activations_bytes"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gpu": "H101"}, "--gpu=H101 is not known: known are B200, H200"),
        ({"gpus": 0}, "--gpus=0"),
        ({"gpus": 3}, "the batch of 1024 sequences must divide by it"),
        ({"gpus": 32, "gpu": "H100", "mfu": 1.5}, "--mfu=1.5"),
        ({"price": -1.0}, "--price=-1.0"),
        ({"price": float("nan")}, "--price=nan"),
    ],
)
def test_a_dry_run_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        plan_run(load_recipe("phi-1-base"), **wrong)


def test_a_dry_run_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from edge_phi.train.dry_run import print_dry_run\n"
        "from edge_phi.train.recipe import load_recipe\n"
        "print_dry_run(load_recipe('phi-2'), gpus=8)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)
