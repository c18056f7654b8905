"""The commands that ask an endpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o

if TYPE_CHECKING:
    from ..steps import Counts

app = typer.Typer()


@app.command("label")
def label_command(
    source: Annotated[Path, typer.Argument(help="The folder of a finished step.")],
    out: Annotated[Path, typer.Argument(help="The .jsonl to write.")],
    url: o.Url,
    model: o.Model,
    count: Annotated[int, typer.Option(help="Documents to draw.")] = 1000,
    seed: o.Seed = 0,
    concurrency: o.Concurrency = 4,
    timeout: o.Timeout = 300.0,
    patience: o.Patience = 600.0,
    max_tokens_total: o.MaxTokensTotal = None,
    max_cost: o.MaxCost = None,
    prompt_price: o.PromptPrice = 0.0,
    completion_price: o.CompletionPrice = 0.0,
) -> None:
    """Ask a model which documents a student would learn from; answers are kept beside OUT and never asked for twice.

    A key, where the endpoint wants one, is read from EDGE_PHI_ENDPOINT_KEY.
    """
    from . import Caps, Endpoint, ask_labels

    labelled = ask_labels(
        source,
        out,
        Endpoint(url, model, concurrency, timeout, patience),
        count=count,
        seed=seed,
        caps=Caps(max_tokens_total, max_cost, prompt_price, completion_price),
        say=_say,
    )
    _say(f"{labelled.yes:,} yes, {labelled.no:,} no, of {labelled.asked:,} documents")
    _say(f"{labelled.unparsable:>8,} answers say neither; {labelled.truncated:,} were cut off")
    for reason, number in labelled.unanswered.items():
        _say(f"{number:>8,} without an answer: {reason}")
    print(out)


@app.command("textbooks")
def textbooks_command(
    out: Annotated[Path, typer.Argument(help="The folder of shards to write.")],
    url: o.Url,
    model: o.Model,
    count: Annotated[int, typer.Option(help="Sections to ask for.")] = 1000,
    seed: o.Seed = 0,
    temperature: o.Temperature = 0.8,
    max_tokens: o.MaxTokens = 1500,
    license_: o.License = "unknown",
    concurrency: o.Concurrency = 4,
    timeout: o.Timeout = 300.0,
    patience: o.Patience = 600.0,
    max_tokens_total: o.MaxTokensTotal = None,
    max_cost: o.MaxCost = None,
    prompt_price: o.PromptPrice = 0.0,
    completion_price: o.CompletionPrice = 0.0,
    workers: o.Workers = 1,
) -> None:
    """Ask a model for sections of textbooks; answers are kept beside OUT and never asked for twice.

    A key, where the endpoint wants one, is read from EDGE_PHI_ENDPOINT_KEY.
    """
    from . import Caps, Endpoint, ask_textbooks

    counts = ask_textbooks(
        out,
        Endpoint(url, model, concurrency, timeout, patience),
        count=count,
        seed=seed,
        temperature=temperature,
        max_tokens=max_tokens,
        license=license_,
        caps=Caps(max_tokens_total, max_cost, prompt_price, completion_price),
        workers=workers,
        say=_say,
    )
    _say_counts(counts)
    print(out)


@app.command("ask-exercises")
def ask_exercises_command(
    out: Annotated[Path, typer.Argument(help="The folder of shards to write.")],
    url: o.Url,
    model: o.Model,
    count: Annotated[int, typer.Option(help="Exercises to ask for.")] = 1000,
    seed: o.Seed = 0,
    temperature: o.Temperature = 0.8,
    max_tokens: o.MaxTokens = 800,
    license_: o.License = "unknown",
    concurrency: o.Concurrency = 4,
    timeout: o.Timeout = 300.0,
    patience: o.Patience = 600.0,
    max_tokens_total: o.MaxTokensTotal = None,
    max_cost: o.MaxCost = None,
    prompt_price: o.PromptPrice = 0.0,
    completion_price: o.CompletionPrice = 0.0,
    workers: o.Workers = 1,
) -> None:
    """Ask a model for exercises and keep those whose solution passes its tests; answers are never asked for twice.

    A key, where the endpoint wants one, is read from EDGE_PHI_ENDPOINT_KEY. Solutions run in the sandbox.
    """
    from . import Caps, Endpoint, ask_exercises

    counts = ask_exercises(
        out,
        Endpoint(url, model, concurrency, timeout, patience),
        count=count,
        seed=seed,
        temperature=temperature,
        max_tokens=max_tokens,
        license=license_,
        caps=Caps(max_tokens_total, max_cost, prompt_price, completion_price),
        workers=workers,
        say=_say,
    )
    _say_counts(counts)
    print(out)


def _say_counts(counts: Counts) -> None:
    _say(f"{counts.records_in:,} asked for, {counts.records_out:,} kept, {counts.tokens_out:,} tokens")
    for reason, number in sorted(counts.dropped.items(), key=lambda item: -item[1]):
        _say(f"{number:>8,} dropped: {reason}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
