"""How fast does our Phi train on this CPU, beside transformers' PhiForCausalLM in the same loop?

One step is forward, loss, backward, clipping and AdamW, in float32, at the geometry of phi-1-nano. Both models get the
same batches and the same optimizer, and take turns; tokens/s are medians over the rounds. Theirs uses PyTorch's
scaled_dot_product_attention and `torch.nn.functional.cross_entropy` on its logits. Writes train_cpu.json and
train_cpu.md, which it also prints.

    python benchmarks/train_cpu.py [--rounds N] [--threads N] [--no-compile] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from revision import REPOSITORY, commit
from torch import Tensor, nn

from edge_phi import atomic
from edge_phi.checkpoint import PhiConfig
from edge_phi.train.model import Phi

NANO = PhiConfig(
    vocab_size=8192,
    hidden_size=256,
    intermediate_size=1024,
    num_hidden_layers=6,
    num_attention_heads=4,
    max_position_embeddings=1024,
)
BATCH, LENGTH = 4, 1024  # phi-1-nano's

Step = Callable[[Tensor, Tensor], None]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=15, help="turns of each model (default: %(default)s)")
    arguments.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    arguments.add_argument("--no-compile", action="store_true", help="leave out torch.compile (minutes of compiling)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    modes = ["eager"] + (["compiled"] if shutil.which("c++") and not given.no_compile else [])
    rows = [row for mode in modes for row in compare(mode, given.rounds)]
    document = {
        "command": shlex.join(["python", "benchmarks/train_cpu.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": {"processor": processor(), "threads": given.threads},
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__
        },
        "geometry": NANO.to_json(),
        "batch": BATCH,
        "length": LENGTH,
        "rounds": given.rounds,
        "rows": rows,
    }  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "train_cpu.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / "train_cpu.md", markdown(document).encode())
    print(markdown(document), end="")


def compare(mode: str, rounds: int) -> list[dict[str, Any]]:
    """Tokens/s of both models, which take turns step by step."""
    steps = {"edge-phi": our_step(mode), "transformers": their_step(mode)}
    random = torch.Generator().manual_seed(0)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(-2, rounds):  # two rounds to warm up and compile
        tokens = torch.randint(0, NANO.vocab_size, (BATCH, LENGTH + 1), generator=random)
        for name, step in steps.items():
            began = time.perf_counter()
            step(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
            if turn >= 0:
                seconds[name].append(time.perf_counter() - began)
        print(f"{mode} round {turn + 1}/{rounds}", file=sys.stderr)
    speeds = {name: [BATCH * LENGTH / second for second in times] for name, times in seconds.items()}
    theirs = statistics.median(speeds["transformers"])
    return [
        {
            "mode": mode,
            "model": name,
            "tokens_per_s": statistics.median(values),
            "tokens_per_s_quartiles": [quartile for quartile in statistics.quantiles(values, n=4)][::2],
            "ratio": statistics.median(values) / theirs,
        }
        for name, values in speeds.items()
    ]


def our_step(mode: str) -> Step:
    model = Phi(NANO)
    model.initialize(0)
    return _step(model, lambda run, tokens, targets: run(tokens, targets), mode)


def their_step(mode: str) -> Step:
    config = transformers.PhiConfig(**NANO.to_json(), attn_implementation="sdpa")
    torch.manual_seed(0)
    model = transformers.PhiForCausalLM(config).train()

    def loss(run: Callable[..., Any], tokens: Tensor, targets: Tensor) -> Tensor:
        logits = run(input_ids=tokens, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return _step(model, loss, mode)


def _step(model: nn.Module, loss_of: Callable[[Any, Tensor, Tensor], Tensor], mode: str) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def loss_and_gradients(tokens: Tensor, targets: Tensor) -> Tensor:
        return loss_of(model, tokens, targets)

    run = torch.compile(loss_and_gradients) if mode == "compiled" else loss_and_gradients

    def step(tokens: Tensor, targets: Tensor) -> None:
        run(tokens, targets).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def markdown(document: dict[str, Any]) -> str:
    lines = ["| | model | tokens/s | ratio |", "|---|---|---:|---:|"]
    lines += [
        f"| {row['mode']} | {row['model']} | {row['tokens_per_s']:,.0f} | {row['ratio']:.2f} |"
        for row in document["rows"]
    ]
    versions, machine = document["versions"], document["machine"]
    note = (
        f"`{document['command']}`: {document['batch']} x {document['length']} tokens a step, float32, AdamW, "
        f"{machine['threads']} threads of {machine['processor']}, PyTorch {versions['torch']}, "
        f"transformers {versions['transformers']}; medians of {document['rounds']} interleaved rounds."
    )
    return "\n".join([*lines, "", note, ""])


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
