"""Does a model learn faster that begins as a smaller one, grown, than one that begins at random?

phi-1-nano is grown to twice its width and trained beside models of the same size that begin otherwise, all on the same
batches: AdamW, linear warm-up over the first 20th of the steps, then linear decay to 0. The text is what `edge-phi
train phi-1-nano` learns from in its first stage, in nano's own tokens; held-out text is code that nano has not seen.
Also measures how far from nano a model is that was just grown from it, in several geometries. Writes grow.json,
grow.md, which it also prints, and the figure docs/images/grow.png.

    python benchmarks/grow.py [--steps N] [--work FOLDER] [--only NAME ...]

A variant that is done stays in the work folder and is not run again. Text beside the standard library comes from
$EDGE_PHI_DATA, as for `edge-phi train`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from engines import REPOSITORY, commit
from torch import Tensor

from edge_phi import atomic
from edge_phi.checkpoint import PhiConfig, read_config
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.measure.machine import this_machine
from edge_phi.train.data.pipeline import Origin, build
from edge_phi.train.data.shards import read_shards
from edge_phi.train.grow import grow
from edge_phi.train.model import Phi
from edge_phi.train.optim import build_optimizers
from edge_phi.train.recipe import load_recipe
from edge_phi.train.state_dict import load_checkpoint

NANO = REPOSITORY / "edge_phi/models/phi-1-nano"
BATCH, LENGTH = 4, 256
VALIDATION_SEQUENCES = 16
SEED = 1
BETAS, WEIGHT_DECAY, CLIP = (0.9, 0.98), 0.1, 1.0  # phi-1-nano's recipe

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Variant:
    """One way to begin."""

    label: str
    begin: Callable[[Phi], None]
    peak_rate: float
    colour: str  # in the figure
    line: str = "o-"


@dataclass(frozen=True)
class Settings:
    """What all variants share."""

    steps: int
    tokens: dict[str, int]  # of each array

    def rate(self, peak: float, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warmup = max(1, self.steps // 20)
        return peak * min((step + 1) / warmup, (self.steps - step) / (self.steps - warmup))


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--steps", type=int, default=96, help="of each variant (default: %(default)s)")
    arguments.add_argument("--threads", type=int, default=usable_cores(), help="(default: all, %(default)s)")
    arguments.add_argument("--work", type=Path, default=REPOSITORY / "runs/grow", help="kept there: text and curves")
    arguments.add_argument("--only", nargs="+", choices=list(VARIANTS), help="run these and write no results")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    arguments.add_argument("--figure", type=Path, default=REPOSITORY / "docs/images/grow.png")
    given = arguments.parse_args()
    if given.steps < 12:
        raise InvalidCall(f"--steps is {given.steps}: it takes at least 12 to see a curve")
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    arrays, validation = text(given.work)
    settings = Settings(given.steps, {name: len(tokens) for name, tokens in arrays.items()})
    curves = {
        name: curve(given.work / f"{name}.json", variant, settings, arrays, validation)
        for name, variant in VARIANTS.items()
        if not given.only or name in given.only
    }
    if given.only:
        return
    document = {
        "command": shlex.join(["python", "benchmarks/grow.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": asdict(this_machine()),
        "torch": torch.__version__,
        "from": SMALL.to_json(),
        "to": TWICE.to_json(),
        "batch": BATCH,
        "length": LENGTH,
        "settings": asdict(settings),
        "divergence": {label: divergence(config, validation) for label, config in GEOMETRIES.items()},
        "curves": curves,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / "grow.json", f"{json.dumps(document)}\n".encode())
    atomic.write_bytes(given.out / "grow.md", markdown(document).encode())
    atomic.write_bytes(given.figure, figure(document))
    print(markdown(document), end="")


def curve(
    path: Path,
    variant: Variant,
    settings: Settings,
    arrays: dict[str, npt.NDArray[np.uint16]],
    validation: Tensor,
) -> dict[str, Any]:
    """Train one variant, or take what an earlier call left."""
    shared = {**asdict(settings), "peak_rate": variant.peak_rate}
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_bytes())
        if kept["settings"] != shared:
            raise InvalidCall(f"{path}: is of other settings or other text: give another --work, or remove it")
        return kept
    model = Phi(TWICE)
    variant.begin(model)
    optimizers = build_optimizers(model, name="adamw", weight_decay=WEIGHT_DECAY, betas=BETAS)
    losses: list[float] = []
    held_out: list[tuple[int, float]] = []
    began = time.monotonic()
    every = settings.steps // 12
    for step, tokens in zip(range(settings.steps + 1), batches(arrays), strict=False):
        if step % every == 0 or step == settings.steps:
            held_out.append((step, loss_on(model, validation)))
            seconds = time.monotonic() - began
            print(f"{path.stem}: step {step}, held-out {held_out[-1][1]:.3f}, {seconds:.0f} s", file=sys.stderr)
        if step == settings.steps:
            break
        rate = settings.rate(variant.peak_rate, step)
        loss = model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    result = {"label": variant.label, "settings": shared, "loss": losses, "held_out": held_out}
    atomic.write_bytes(path, f"{json.dumps(result)}\n".encode())
    return result


@torch.no_grad()
def divergence(config: PhiConfig, tokens: Tensor) -> float:
    """How far a model that was just grown is from the one it was grown from: Kullback-Leibler, nats per token."""
    small, large = load_checkpoint(NANO), Phi(config)
    large.load_state_dict(grow(NANO, config, seed=SEED))
    total = 0.0
    for part in tokens.split(4):
        expected, seen = (model(part).double().log_softmax(-1) for model in (small, large))
        total += float((expected.exp() * (expected - seen)).sum(-1).mean()) * len(part)
    return total / len(tokens)


@torch.no_grad()
def loss_on(model: Phi, tokens: Tensor) -> float:
    """Nats per token."""
    return float(np.mean([model(part[:, :-1], part[:, 1:]).item() for part in tokens.split(4)]))


def batches(arrays: dict[str, npt.NDArray[np.uint16]]) -> Iterator[Tensor]:
    """The same for every variant: int64 [batch, length + 1], from the mixture of the recipe's first stage."""
    mixture = load_recipe("phi-1-nano").stages[0].mixture
    names = [name for name in mixture if len(arrays.get(name, ())) > LENGTH]
    weights = np.array([mixture[name] for name in names])
    random = np.random.default_rng(SEED)
    while True:
        rows = []
        for name in random.choice(names, size=BATCH, p=weights / weights.sum()):
            start = random.integers(len(arrays[name]) - LENGTH)
            rows.append(arrays[name][start : start + LENGTH + 1].astype(np.int64))
        yield torch.from_numpy(np.stack(rows))


def text(work: Path) -> tuple[dict[str, npt.NDArray[np.uint16]], Tensor]:
    """Token arrays by group, and held-out sequences [sequences, length + 1]; made once."""
    shards = work / "shards"
    if not (shards / "index.json").is_file():
        root = Path(os.environ["EDGE_PHI_DATA"]) if "EDGE_PHI_DATA" in os.environ else None
        texts = ("standard_library", *([str(root / "corpus")] if root else []))
        benchmarks = root / "eval" if root and (root / "eval").is_dir() else None
        # Begun with nano so that its tokenizer packs; what is held out then is what nano has not seen.
        recipe = replace(load_recipe("phi-1-nano"), start_from=str(NANO), exercises=1_000)
        origin = Origin(texts, benchmarks=benchmarks)
        build(
            recipe,
            origin,
            shards,
            work / "steps",
            workers=usable_cores(),
            say=lambda line: print(line, file=sys.stderr),
        )
    stored = read_shards(shards)
    arrays = {name: np.concatenate(array.parts) for name, array in stored.arrays.items()}
    held_out = np.concatenate(stored.validation.parts)
    rows = [held_out[start : start + LENGTH + 1] for start in range(0, len(held_out) - LENGTH, LENGTH)]
    return arrays, torch.from_numpy(np.stack(rows[:VALIDATION_SEQUENCES]).astype(np.int64))


def grown(spread: float) -> Callable[[Phi], None]:
    def begin(model: Phi) -> None:
        model.load_state_dict(grow(NANO, TWICE, seed=SEED, spread=spread))

    return begin


def tiled(model: Phi) -> None:
    """Center tiling alone: the shares of the copies, a half each, taken back."""
    grown(0.0)(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and name != "embed_tokens.weight":
                weight.mul_(2)


SMALL = read_config(NANO)
TWICE = replace(
    SMALL,
    hidden_size=2 * SMALL.hidden_size,
    num_attention_heads=2 * SMALL.num_attention_heads,
    intermediate_size=2 * SMALL.intermediate_size,
)
WIDER_HEADS = replace(SMALL, hidden_size=320, intermediate_size=1280, partial_rotary_factor=0.4)
GEOMETRIES = {
    "twice the width, in twice the heads": TWICE,
    "5/4 of the width, in wider heads": WIDER_HEADS,
    "4/3 of the layers": replace(SMALL, num_hidden_layers=8),
    "both, as from phi-1.5 to phi-2": replace(WIDER_HEADS, num_hidden_layers=8),
}
VARIANTS = {
    "grown": Variant("grown", grown(1.0), 3e-4, "#1f5f99"),
    "random": Variant("random", lambda model: model.initialize(SEED), 1e-3, "#c4561a"),
    "even": Variant("grown, copies read evenly", grown(0.0), 3e-4, "#58a55c", "--"),
    "tiled": Variant("center tiling alone", tiled, 3e-4, "#8a5fb0", ".-"),
}


def markdown(document: dict[str, Any]) -> str:
    """Held-out loss at the start and after each quarter."""
    steps = document["settings"]["steps"]
    marks = [0, *(round(steps * quarter / 4) for quarter in (1, 2, 3, 4))]
    lines = [f"| begins as | peak rate | {' | '.join(f'step {mark}' for mark in marks)} |", "|---|---|" + "---:|" * 5]
    for row in document["curves"].values():
        near = [min(row["held_out"], key=lambda point: abs(point[0] - mark))[1] for mark in marks]
        rate = row["settings"]["peak_rate"]
        lines.append(f"| {row['label']} | {rate:g} | {' | '.join(f'{value:.3f}' for value in near)} |")
    lines += ["", "| grown to | divergence from phi-1-nano, nats per token |", "|---|---:|"]
    lines += [f"| {label} | {value:.1e} |" for label, value in document["divergence"].items()]
    return (
        "\n".join(lines)
        + f"\n\n`{document['command']}`: loss on held-out code, nats per token, of {TWICE.parameters / 1e6:.1f} M "
        f"parameters, phi-1-nano's {SMALL.parameters / 1e6:.1f} M grown to twice the width; a step is {BATCH} x "
        f"{LENGTH} tokens. {document['machine']['cpu']}, torch {document['torch']}.\n"
    )


def figure(document: dict[str, Any]) -> bytes:
    """Held-out loss and, thin, the loss of each batch over the steps."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = canvas.add_subplot()
    for name, variant in VARIANTS.items():
        row = document["curves"][name]
        steps, losses = zip(*row["held_out"], strict=True)
        if variant.line == "o-":  # four of these cover one another
            axes.plot(range(1, len(row["loss"]) + 1), row["loss"], color=variant.colour, linewidth=0.6, alpha=0.3)
        label = f"{variant.label} (peak rate {variant.peak_rate:g})"
        axes.plot(steps, losses, variant.line, color=variant.colour, linewidth=1.8, markersize=4, label=label)
    quarter = document["settings"]["steps"] / 4
    axes.axvline(quarter, color="#000000", alpha=0.3, linewidth=0.8, linestyle="--")
    axes.annotate("a quarter of the run", (quarter, 0.99), xycoords=("data", "axes fraction"), va="top", xytext=(4, 0),
                  textcoords="offset points", fontsize=8, alpha=0.6)  # fmt: skip
    axes.set(
        xlabel=f"steps of {BATCH * LENGTH:,} tokens",
        ylabel="cross-entropy (nats per token)",
        title=f"phi-1-nano, twice as wide: {TWICE.parameters / 1e6:.1f} M parameters; held-out code (thin: batches)",
    )
    axes.grid(alpha=0.25)
    axes.legend(loc="upper right")
    image = io.BytesIO()
    canvas.savefig(image, format="png")
    return image.getvalue()


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"grow.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
