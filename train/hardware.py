"""What a GPU nominally does, holds and costs; what memory this machine has free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PRICES_OF = "November 2026"
GPUS_PER_MACHINE = 8  # as those with fast links between them are built and rented


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU, as its maker describes it."""

    name: str  # as --gpu takes it
    pattern: str  # found in the name that CUDA reports
    flops_per_s: float  # dense bfloat16 matrix products summed in float32: half of what is advertised "with sparsity"
    memory_bytes: int  # what CUDA says is there, a little less than what is advertised
    dollars_per_hour: float  # assumed, see PRICES_OF
    source: str


_GIB = 2**30

# The first pattern that matches counts. Prices are assumptions for a GPU rented by the hour from a specialized
# provider, not quotes: they differ by a factor of three between providers and change by the month; --price says yours.
GPUS = (
    Gpu("B200", r"B200", 2250e12, int(178.3 * _GIB), 5.0, "NVIDIA Blackwell data sheet: 4.5 PFLOP/s with sparsity"),
    Gpu("H200", r"H200", 989e12, int(139.8 * _GIB), 3.5, "NVIDIA H200 data sheet: 1,979 TFLOP/s with sparsity"),
    Gpu("H100-PCIe", r"H100 PCIe", 756e12, int(79.1 * _GIB), 2.2, "NVIDIA H100 data sheet: 1,513 with sparsity"),
    Gpu("H100-NVL", r"H100 NVL", 835e12, int(93.1 * _GIB), 2.4, "NVIDIA H100 NVL data sheet: 1,671 with sparsity"),
    Gpu("H100", r"H100", 989e12, int(79.1 * _GIB), 2.5, "NVIDIA H100 data sheet (SXM): 1,979 with sparsity"),
    Gpu("A100-40GB", r"A100.*40GB", 312e12, int(39.4 * _GIB), 1.2, "NVIDIA A100 data sheet"),
    Gpu("A100", r"A100", 312e12, int(79.1 * _GIB), 1.5, "NVIDIA A100 data sheet (80 GB)"),
    Gpu("L40S", r"L40S", 362e12, int(44.4 * _GIB), 0.9, "NVIDIA L40S data sheet: 733 with sparsity"),
    Gpu("RTX-4090", r"RTX 4090(?! D| Laptop)", 165e12, int(23.5 * _GIB), 0.4,
        "NVIDIA Ada GPU architecture paper, appendix A: bfloat16 summed in float32"),
    Gpu("RTX-3090", r"RTX 3090(?! Ti)", 71e12, int(23.5 * _GIB), 0.25,
        "NVIDIA Ampere GA102 architecture paper, appendix A: bfloat16 summed in float32"),
    Gpu("T4", r"T4", 65e12, int(14.5 * _GIB), 0.3, "NVIDIA T4 data sheet: float16; it has no bfloat16"),
)  # fmt: skip


def find_gpu(name: str) -> Gpu | None:
    """The kind of GPU that --gpu (`H100`) or CUDA (`NVIDIA H100 80GB HBM3`) calls `name`; None if it is not known."""
    for gpu in GPUS:
        if name.casefold() == gpu.name.casefold():
            return gpu
    return next((gpu for gpu in GPUS if re.search(rf"\b{gpu.pattern}\b", name)), None)


def available_memory(root: Path = Path("/")) -> int | None:
    """Main memory free for this process: the machine's, or what its cgroups leave if that is less; in bytes.

    Args:
        root: where /proc and /sys are.
    """
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE)
    limits = [int(match[1]) * 1024] if match else []
    return min([*limits, *_left_by_cgroups(root)], default=None)


def _left_by_cgroups(root: Path) -> Iterator[int]:
    """What each memory cgroup of this process leaves, where it has a limit; pages of files it cached count as free."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        folder = top / path.lstrip("/")
        for group in {folder, top, *(parent for parent in folder.parents if top in parent.parents)}:
            limit = (_read(group / "memory.max") or _read(group / "memory.limit_in_bytes")).strip()
            used = (_read(group / "memory.current") or _read(group / "memory.usage_in_bytes")).strip()
            if limit.isdigit() and used.isdigit():
                cached = re.search(r"^(?:total_)?inactive_file (\d+)$", _read(group / "memory.stat"), re.MULTILINE)
                yield max(0, int(limit) - int(used) + (int(cached[1]) if cached else 0))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
