"""What each kind of data adds: unfiltered code, filtered, with textbooks, with exercises after; at equal tokens.

"Textbooks Are All You Need" (arXiv 2306.11644, figure 2.1) rests on this order: 12.2, 17.7, 20.1 and 45 % of HumanEval
at 350 M parameters. Four runs of one recipe's model and length that differ in what they are given and in nothing else:

    unfiltered   all code that people wrote
    filtered     the part of it that has educational value
    textbooks    that and textbooks, by size
    exercises    the same for three quarters of the steps, then exercises alone, as phi-1's finetuning

    python benchmarks/ablation.py prepare RECORDS KEPT SHARDS   # records with all code, those that the filter kept
    python benchmarks/ablation.py train SHARDS [--steps=N] [--KEY=VALUE ...]
    python benchmarks/ablation.py score [--limit N]             # HumanEval, MBPP and everyday, greedy
    python benchmarks/ablation.py report                        # from what the runs left, and nothing else

RECORDS is `steps/6-decontaminate` of an `edge-phi data run OUT --quality=1`, KEPT what `edge-phi data quality RECORDS
KEPT --keep 0.6` leaves of it. Each run can be stopped and goes on; `--runs` says where they are, `--only` names one.
Writes ablation.json, ablation.md and docs/images/ablation.png.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from revision import REPOSITORY, command_line, commit

from edge_phi.atomic import atomic_folder, write_bytes
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.train.recipe import Recipe, Stage, load_recipe, read_overrides

ARMS = ("unfiltered", "filtered", "textbooks", "exercises")
BENCHMARKS = ("humaneval", "mbpp", "everyday")
_HELD_OUT = 6  # of 256 documents of code that people wrote, filtered or not
_PUBLISHED = {"unfiltered": 12.2, "filtered": 17.7, "textbooks": 20.1, "exercises": 45.0}  # arXiv 2306.11644, 350 M
_FINETUNING = 0.25  # of the steps


def prepare(records: Path, kept: Path, out: Path, *, code: Iterable[str], vocabulary: int) -> dict[str, int]:
    """Token shards with the arrays filtered, rest, textbooks, exercises and validation, which is code of both kinds.

    Args:
        records: record shards with all code, textbooks and exercises.
        kept: record shards with the code that the filter left.
        out: the folder to write.
        code: the sources that are code; what is neither code nor "exercises" counts as textbook.
        vocabulary: of the tokenizer, which is trained on all that is trained on.

    Returns:
        Tokens of each array.
    """
    from edge_phi.train.data.pack import pack, train_tokenizer
    from edge_phi.train.data.records import read_records, shards_of
    from edge_phi.train.data.shards import ShardWriter

    sources = set(code)
    left = {record.id for shard in shards_of(kept) for record in read_records(shard, added=[])}
    texts: dict[str, list[str]] = {name: [] for name in ("filtered", "rest", "textbooks", "exercises", "validation")}
    for record in (record for shard in shards_of(records) for record in read_records(shard, added=[])):
        if record.source not in sources:
            name = "exercises" if record.source == "exercises" else "textbooks"
        elif hashlib.sha256(record.id.encode()).digest()[0] < _HELD_OUT:
            name = "validation"
        else:
            name = "filtered" if record.id in left else "rest"
        texts[name].append(record.text)
    if empty := [name for name, found in texts.items() if not found]:
        raise InvalidCall(f"{records}: nothing for {', '.join(empty)}: the ablation needs each of them")
    seen = (text for name, found in texts.items() if name != "validation" for text in found)
    tokenizer = train_tokenizer(seen, vocab_size=vocabulary)
    with atomic_folder(out) as partial:
        writer = ShardWriter(partial, tokenizer)
        tokens = {name: writer.write(name, [pack(found, tokenizer)]) for name, found in texts.items()}
        writer.finish({"ablation": {name: len(found) for name, found in texts.items()}})
    return tokens


def recipe_of(arm: str, base: Recipe, tokens: dict[str, int]) -> Recipe:
    """The recipe of one run: the base's model and steps, its own mixture."""
    peak = base.stages[0].peak_rate
    warmup = max(2, min(100, base.steps // 20))
    code = {"unfiltered": {"filtered": tokens["filtered"], "rest": tokens["rest"]}, "filtered": {"filtered": 1}}.get(
        arm, {"filtered": tokens["filtered"], "textbooks": tokens["textbooks"]}
    )
    mixture = {name: float(weight) for name, weight in code.items()}
    last = {"exercises": 1.0} if arm == "exercises" else mixture
    stages = (
        Stage("pretrain", 1 - _FINETUNING, peak, peak, warmup, mixture),
        Stage("finetune", _FINETUNING, peak, peak / 100, 0.0, last),
    )
    return replace(base, name=f"ablation-{arm}", stages=stages, data={})


def train(arm: str, recipe: Recipe, shards: Path, runs: Path) -> None:
    """Train one run, or go on with it."""
    from edge_phi.train.run import run

    def show(metrics: Any) -> None:
        if metrics.validation_loss is not None:
            _say(
                f"{arm} {metrics.step}/{metrics.steps}  loss {metrics.loss:.3f}  held-out {metrics.validation_loss:.3f}"
            )

    if not (runs / arm / "checkpoint").is_dir():
        run(recipe, runs / arm, shards, on_step=show, say=_say)


def score(arm: str, runs: Path, limit: int | None, extra: list[str]) -> None:
    """What one run's checkpoint solves, greedy, as `edge-phi eval` counts it."""
    for benchmark in BENCHMARKS:
        out = runs / arm / "eval"
        command = [sys.executable, "-m", "edge_phi", "eval", benchmark, str(runs / arm / "checkpoint")]
        command += ["--quant", "torch:float32", "--prompt", "stripped", "--json", "--out", str(out), *extra]
        command += [f"--limit={limit}"] if limit else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise EdgePhiError(f"{arm}: edge-phi eval {benchmark} failed")
        write_bytes(runs / arm / f"{benchmark}.json", done.stdout.encode())


def read_arm(arm: str, runs: Path) -> dict[str, Any] | None:
    """What a run left: perplexity on held-out code by tokens, and scores; None if there is no run."""
    path = runs / arm / "metrics.jsonl"
    if not path.is_file():
        return None
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    curve = [(row["tokens"], math.exp(row["validation_loss"])) for row in rows if row["validation_loss"] is not None]
    found: dict[str, Any] = {"tokens": rows[-1]["tokens"], "curve": curve, "perplexity": curve[-1][1]}
    for benchmark in BENCHMARKS:
        if (file := runs / arm / f"{benchmark}.json").is_file():
            (result,) = json.loads(file.read_bytes())
            found[benchmark] = {
                part: None
                if result[part] is None or not result[part]["problems"]
                else {"problems": result[part]["problems"], **result[part]["pass_at_k"]["1"]}
                for part in ("score", "similar", "other")
            }
    return found


def table(arms: dict[str, dict[str, Any]]) -> list[str]:
    """A row for each run, in Markdown."""
    titles = ["data", "tokens", "perplexity, held-out code", "HumanEval %", "MBPP %", "everyday %", "published, 350 M"]
    lines = [f"| {' | '.join(titles)} |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|"]
    for arm, found in arms.items():
        cells = [_cell(found.get(benchmark)) for benchmark in BENCHMARKS]
        figures = [f"{found['tokens'] / 1e6:,.1f} M", f"{found['perplexity']:.2f}", *cells, str(_PUBLISHED[arm])]
        lines.append(f"| {' | '.join([arm, *figures])} |")
    return lines


def plot(arms: dict[str, dict[str, Any]], path: Path) -> None:
    """Perplexity over tokens, and what each run solves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for arm, found in arms.items():
        left.plot([tokens / 1e6 for tokens, _ in found["curve"]], [value for _, value in found["curve"]], label=arm)
    left.set(xlabel="million tokens", ylabel="perplexity, held-out code", yscale="log")
    left.legend(frameon=False)
    width = 0.8 / len(BENCHMARKS)
    for at, benchmark in enumerate(BENCHMARKS):
        scored = [(place, found[benchmark]["score"]) for place, found in enumerate(arms.values()) if benchmark in found]
        values = [100 * each["value"] for _, each in scored]
        down = [100 * (each["value"] - each["low"]) for _, each in scored]
        up = [100 * (each["high"] - each["value"]) for _, each in scored]
        right.bar([place + at * width for place, _ in scored], values, width, label=benchmark, yerr=[down, up])
    right.set_xticks([place + width for place in range(len(arms))], list(arms))
    right.set_ylabel("pass@1, %")
    right.legend(frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _cell(found: dict[str, Any] | None) -> str:
    if not found:
        return "-"
    whole, other = found["score"], found["other"]
    text = f"{100 * whole['value']:.1f} ({100 * whole['low']:.1f} to {100 * whole['high']:.1f})"
    return text + (f", not similar {100 * other['value']:.1f}" if other else "")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Do one phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=("prepare", "train", "score", "report"))
    parser.add_argument("paths", type=Path, nargs="*")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--recipe", default="phi-1-nano-gpu", help="whose model, batch and steps")
    parser.add_argument("--only", choices=ARMS)
    parser.add_argument("--code", default="standard_library,installed", help="sources that are code, for prepare")
    parser.add_argument("--vocabulary", type=int, default=8192, help="for prepare")
    parser.add_argument("--limit", type=int, help="for score: the first so many problems")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results", help="for report")
    parser.add_argument("--figure", type=Path, default=REPOSITORY / "docs" / "images" / "ablation.png")
    arguments, others = parser.parse_known_args()
    chosen = (arguments.only,) if arguments.only else ARMS
    wanted = {"prepare": 3, "train": 1}.get(arguments.phase, 0)
    if len(arguments.paths) != wanted:
        parser.error(f"{arguments.phase} takes {wanted} folders")
    if arguments.phase == "prepare":
        code = arguments.code.split(",")
        print(json.dumps(prepare(*arguments.paths, code=code, vocabulary=arguments.vocabulary)))
    elif arguments.phase == "train":
        (shards,) = arguments.paths
        base = load_recipe(arguments.recipe, read_overrides(others))
        index = json.loads((shards / "index.json").read_bytes())["arrays"]
        tokens = {name: sum(entry["tokens"] for entry in entries) for name, entries in index.items()}
        for arm in chosen:
            train(arm, recipe_of(arm, base, tokens), shards, arguments.runs)
    elif arguments.phase == "score":
        for arm in chosen:
            score(arm, arguments.runs, arguments.limit, others)
    else:
        arms = {arm: found for arm in ARMS if (found := read_arm(arm, arguments.runs))}
        if not arms:
            raise InvalidCall(f"{arguments.runs}: holds no run: python benchmarks/ablation.py train SHARDS")
        lines = [*table(arms), "", f"`{command_line()}` at {commit()}"]
        document = {"command": command_line(), "commit": commit(), "published": _PUBLISHED, "arms": arms}
        write_bytes(arguments.out / "ablation.json", (json.dumps(document, indent=1) + "\n").encode())
        write_bytes(arguments.out / "ablation.md", ("\n".join(lines) + "\n").encode())
        plot(arms, arguments.figure)
        print("\n".join(lines))


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"ablation: {error}")
