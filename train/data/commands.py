"""The commands that run steps in a row: `edge-phi data run`, and `edge-phi data pack` for text of one's own."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge_phi.atomic import write_bytes
from edge_phi.cores import usable_cores
from edge_phi.errors import InvalidCall

from ..recipe import load_recipe, read_overrides

_LICENSES = typer.Option(
    "--license", help="Also allow this licence: an SPDX identifier, a pattern such as 'CC-BY-SA-*', or 'unknown'."
)
_WORKERS = typer.Option(help="Processes; no byte of the result depends on it. All cores if not given.")


def run(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="A folder: OUT/shards is what 'edge-phi train --data' reads.")],
    recipe: Annotated[str, typer.Option(help="A recipe's name, or a .toml file of your own.")] = "phi-1-nano",
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="As 'edge-phi data collect' takes them; may be repeated. The standard library, and $EDGE_PHI_DATA/"
            "corpus where that is set, if none is given."
        ),
    ] = None,
    benchmarks: Annotated[
        Path | None,
        typer.Option(help="The folder of humaneval/, mbpp/ and evalplus/ to keep away from; $EDGE_PHI_DATA/eval."),
    ] = None,
    license: Annotated[list[str] | None, _LICENSES] = None,
    workers: Annotated[int | None, _WORKERS] = None,
) -> None:
    """Make a recipe's token shards: collect, exercises, dedup, quality, decontaminate, pack; print what each kept.

    --KEY=VALUE overrides any of the recipe's values: --exercises=200000 --quality=0.5 --tau=0.9 --seed=2. Stopped at
    any moment, the same command goes on. OUT/funnel.json and OUT/funnel.png show documents and tokens after each step.
    """
    from .funnel import plot, table
    from .pipeline import Origin, build

    settings = load_recipe(recipe, read_overrides(context.args))
    if not settings.data:
        raise InvalidCall(
            f"recipe {settings.name} has no [data]: copy its file and say which sources go into which array"
        )
    root = Path(os.environ["EDGE_PHI_DATA"]) if "EDGE_PHI_DATA" in os.environ else None
    if benchmarks is None and root and (root / "eval").is_dir():
        benchmarks = root / "eval"
    if benchmarks is None:
        _say("no benchmarks given: overlap with them is not looked for (--benchmarks DIR, or EDGE_PHI_DATA)")
    texts = source or ["standard_library", *([str(root / "corpus")] if root else [])]
    origin = Origin(tuple(texts), tuple(license or ()), benchmarks)
    stages = build(settings, origin, out / "shards", out / "steps", workers=workers or usable_cores(), say=_say)
    write_bytes(out / "funnel.json", json.dumps([asdict(each) for each in stages], indent=1).encode())
    plot(stages, out / "funnel.png")
    for line in table(stages):
        _say(line)
    print(out / "shards")


def pack(
    out: Annotated[Path, typer.Argument(help="The folder of token shards to write.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=PATH...",
            help="As the array NAME: the folder of a finished step, or text as 'edge-phi data collect' takes it.",
        ),
    ],
    tokenizer: Annotated[Path | None, typer.Option(help="A tokenizer.json; trained on the text if not given.")] = None,
    vocabulary: Annotated[int, typer.Option(help="Of the tokenizer to train.")] = 8192,
    benchmarks: Annotated[
        Path | None, typer.Option(help="The folder of humaneval/, mbpp/ and evalplus/: what comes near is left out.")
    ] = None,
    workers: Annotated[int | None, _WORKERS] = None,
) -> None:
    """Encode text as token shards, which 'edge-phi train RECIPE --data OUT' reads; NAME is what its mixture says.

    Text of your own may be under any licence, and none.
    """
    from .own_text import pack_own

    named: dict[str, str] = {}
    for source in sources:
        name, equals, path = source.partition("=")
        if not equals or not name or not path or name in named:
            raise InvalidCall(f"cannot read {source!r}: write each source once, as NAME=PATH")
        named[name] = path
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=out.parent) as work:
        pack_own(
            out,
            named,
            Path(work),
            tokenizer=tokenizer,
            vocabulary=vocabulary,
            benchmarks=benchmarks,
            workers=workers or usable_cores(),
            say=_say,
        )
    print(out)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
