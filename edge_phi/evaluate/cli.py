"""`edge-phi eval`: what a model scores on HumanEval, MBPP and a test set of ours, and how two runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from ..errors import EdgePhiError, InvalidCall
from ..store import DEFAULT_MODEL

if TYPE_CHECKING:
    from .benchmarks import BenchmarkName

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Score a model on HumanEval and MBPP, in a sandbox; compare runs."
)

# Evaluated by Typer on Python 3.10 too.
_Model = Annotated[str, typer.Argument(help="A model's name, its folder, or a GGUF file.")]
_Quant = Annotated[str, typer.Option("--quant", "-q", help="A form of the model: onnx:int4, or only int4.")]
_Canonical = Annotated[bool, typer.Option("--canonical", help="Check the published solutions instead of a model's.")]
_Completions = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="Check completions made elsewhere: JSON lines with task_id and completion."),
]
_Prompt = Annotated[str, typer.Option(metavar="FORM", help="stripped, as-given, or both in turn.")]
_Stops = Annotated[str, typer.Option(metavar="RULES", help="Where a completion ends: published or structure.")]
_Samples = Annotated[int, typer.Option(help="Texts to write for each problem.", min=1)]
_Temperature = Annotated[float, typer.Option(help="0 takes the most probable token, more varies.")]
_TopP = Annotated[float, typer.Option("--top-p", help="Choose among the most probable tokens that have this share.")]
_Seed = Annotated[int, typer.Option(help="Of the random numbers behind a temperature above 0.")]
_K = Annotated[str, typer.Option("-k", metavar="K,K", help="The k of pass@k; those with samples enough by default.")]
_Limit = Annotated[Optional[int], typer.Option(help="Only the first so many problems.", min=1)]  # noqa: UP045
_MaxTokens = Annotated[int, typer.Option(help="Stop after so many tokens.", min=1)]
_Batch = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="Texts written at once, with torch:float32; 1 for greedy ones, else 32 by default.", min=1),
]
_Threads = Annotated[Optional[int], typer.Option(help="Computing threads; the cores by default.", min=1)]  # noqa: UP045
_Data = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="DIR", help="The folder with the benchmarks' files; EDGE_PHI_DATA by default, then the net."),
]
_Offline = Annotated[bool, typer.Option("--offline", help="Open no socket.")]
_Out = Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept, and go on when they were stopped.")]
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")]
_Weak = Annotated[
    bool, typer.Option("--allow-weak-sandbox", help="Run untrusted programs on this machine unprotected.")
]
_Split = Annotated[str, typer.Option(metavar="SPLIT", help="test (ids 11 to 510) or sanitized (427 checked by hand).")]

_DEFAULT_BATCH = 32


def _command(name: str, what: str) -> None:
    """Register the command of one benchmark; all take the same options, MBPP one more."""

    def evaluate(
        model: _Model = DEFAULT_MODEL,
        quant: _Quant = "",
        canonical: _Canonical = False,
        completions: _Completions = None,
        prompt: _Prompt = "both",
        stops: _Stops = "published",
        samples: _Samples = 1,
        temperature: _Temperature = 0.0,
        top_p: _TopP = 0.95,
        seed: _Seed = 0,
        k: _K = "",
        limit: _Limit = None,
        max_tokens: _MaxTokens = 512,
        batch: _Batch = None,
        threads: _Threads = None,
        data: _Data = None,
        offline: _Offline = False,
        out: _Out = Path("runs/eval"),
        as_json: _AsJson = False,
        allow_weak_sandbox: _Weak = False,
        split: _Split = "test",
    ) -> None:
        if split not in ("test", "sanitized"):
            raise InvalidCall(f"split is {split[:40]!r}: it is test or sanitized")
        if split == "sanitized" and name != "mbpp":
            raise InvalidCall(f"{name} has no sanitized split: leave out --split")
        benchmark = "mbpp-sanitized" if split == "sanitized" else name
        _evaluate(
            cast("BenchmarkName", benchmark),
            model=model,
            quant=quant,
            source=_source(canonical, completions),
            completions=completions,
            forms=_forms(prompt),
            stops=_one_of("stops", stops, ("published", "structure")),
            samples=samples,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            ks=_ks(k),
            limit=limit,
            max_tokens=max_tokens,
            batch=batch,
            threads=threads,
            data=data,
            offline=offline,
            out=out,
            as_json=as_json,
            allow_weak=allow_weak_sandbox,
        )

    evaluate.__doc__ = what
    app.command(name)(evaluate)


_command("humaneval", "HumanEval: 164 functions to write after their docstrings.")
_command("mbpp", "MBPP: 500 short tasks in words with a test each; --split sanitized: the 427 checked by hand.")
_command("humaneval-plus", "HumanEval+: HumanEval with eighty times the tests.")
_command("mbpp-plus", "MBPP+: 378 of MBPP's tasks with thirty-five times the tests.")
_command("everyday", "Ours: 300 small functions as people write them at work; they come with the package.")


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="The folder of another run of the same benchmark.")],
    as_json: _AsJson = False,
) -> None:
    """Two models or two forms of one, problem by problem: what only one of them solves, and whether that is chance."""
    from .compare import compare as compare_runs
    from .compare import lines

    found = compare_runs(first, second)
    if as_json:
        typer.echo(found.to_json())
        return
    from ..completion.terminal import one_line

    for line in lines(found):
        typer.echo(one_line(line))


def _evaluate(
    name: BenchmarkName,
    *,
    model: str,
    quant: str,
    source: str,
    completions: Path | None,
    forms: Sequence[str],
    stops: str,
    samples: int,
    temperature: float,
    top_p: float,
    seed: int,
    ks: tuple[int, ...],
    limit: int | None,
    max_tokens: int,
    batch: int | None,
    threads: int | None,
    data: Path | None,
    offline: bool,
    out: Path,
    as_json: bool,
    allow_weak: bool,
) -> None:
    # What evaluates is not loaded to show a command's help.
    from ..completion.decode import DecodeSettings
    from ..cores import usable_cores
    from ..measure.progress import progress_on_stderr
    from .benchmarks import load_benchmark
    from .plans import model_plans, sample_plan
    from .report import print_results, to_json
    from .run import run
    from .sandbox import Sandbox

    settings = DecodeSettings(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    if samples > 1 and temperature == 0:
        raise InvalidCall(
            f"{samples} samples at temperature 0 would all be the same: set --temperature, or leave it at one"
        )
    benchmark = load_benchmark(name, data=data, offline=offline)
    problems = benchmark.problems[:limit]
    if source == "model":
        plans = model_plans(
            benchmark,
            problems,
            model=model,
            quant=quant or None,
            settings=settings,
            forms=forms,
            stops=stops,
            samples=samples,
            ks=ks,
            batch=batch or (1 if temperature == 0 else _DEFAULT_BATCH),
            must_batch=batch is not None,
            threads=threads or usable_cores(),
            out=out,
        )
    else:
        plans = sample_plan(benchmark, problems, completions, ks=ks, out=out)
    # Before anything is written: hours of writing should not end in a machine that cannot check.
    with Sandbox(allow_weak=allow_weak) as sandbox, plans, progress_on_stderr() as progress:
        results = [run(plan, write, sandbox, progress, workers=usable_cores()) for plan, write in plans]
    if as_json:
        typer.echo(to_json(results))
    else:
        print_results(results)
    if not all(found.sound for found in results):
        errors = sum(len(found.errors) for found in results)
        missing = sum(len(found.missing) for found in results)
        raise EdgePhiError(
            f"{name}: {errors} problems could not be judged and {missing} have no completion: the score leaves them out"
        )


def _source(canonical: bool, completions: Path | None) -> str:
    if canonical and completions is not None:
        raise InvalidCall("--canonical and --completions: one at a time: give one of them")
    return "canonical" if canonical else "model" if completions is None else "completions"


def _forms(prompt: str) -> Sequence[str]:
    chosen = _one_of("prompt", prompt, ("both", "stripped", "as-given"))
    return ("stripped", "as-given") if chosen == "both" else (chosen,)


def _one_of(option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise InvalidCall(f"{option} is {value[:40]!r}: it is {' or '.join(known)}")
    return value


def _ks(text: str) -> tuple[int, ...]:
    """What was asked for; nothing stands for every usual k that there are samples for."""
    if not text:
        return ()
    try:
        ks = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidCall(f"-k is {text[:40]!r}: give whole numbers with commas between, as in 1,10") from error
    if min(ks) < 1:
        raise InvalidCall(f"-k is {text[:40]!r}: each must be 1 or more")
    return ks
