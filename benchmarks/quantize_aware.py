"""Does Q4_0 lose less after quantization-aware finetuning, on text and on exercises that nobody has seen?

Measures four forms against the full precision of the checkpoint that the finetuning began with: its plain Q4_0, which
is llama.cpp's own quantizer's, its calibrated Q4_0, the finetuned checkpoint in full precision, and that one's Q4_0, as
`edge-phi convert` makes it. First the KL divergence on text that was held out, then pass@1, greedy, problem by problem,
on exercises drawn with a seed of its own, of all but the finetuned checkpoint, whose weights its Q4_0 holds.
Writes quantize_aware.json, quantize_aware.md, which it also prints, and the figure docs/images/quantize-aware.png.

    edge-phi train quantize-aware --start-from=phi-1-nano --out RUN        # from the bundled Q4_0 file's rounding
    python benchmarks/quantize_aware.py RUN [--full CHECKPOINT] [--windows N] [--exercises N] [--work FOLDER]
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.checkpoint import open_checkpoint, read_config
from edge_phi.completion.decode import DecodeSettings
from edge_phi.convert.calibration import load_calibration
from edge_phi.convert.gguf import export_gguf
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.evaluate.compare import compare
from edge_phi.evaluate.generate import Ask
from edge_phi.evaluate.journal import read_journal
from edge_phi.evaluate.model_run import ModelWriter, model_settings
from edge_phi.evaluate.pass_at_k import bootstrap
from edge_phi.evaluate.problem import Benchmark, Problem
from edge_phi.evaluate.run import COMPLETIONS, VERDICTS, Plan, Record, last_verdicts, run
from edge_phi.evaluate.sandbox import Sandbox
from edge_phi.evaluate.stop_rules import BODY_STRUCTURE
from edge_phi.measure.fidelity import fidelity
from edge_phi.measure.held_out import held_out_windows
from edge_phi.measure.machine import this_machine
from edge_phi.measure.progress import progress_on_stderr
from edge_phi.runtimes import open_tokenizer
from edge_phi.store import Artifact, find_model
from edge_phi.train.data.exercises.stream import generate
from edge_phi.train.loop import read_metrics

LENGTH = 512  # tokens in a window
SEED = 90_210  # of the exercises; training takes 1 and 601
FAMILY = "items"  # of the exercises: those that phi-1-nano was finetuned on
TOKENS = 160  # of a solution at most
FULL, PLAIN, CALIBRATED = "full precision", "Q4_0, plain", "Q4_0, calibrated"
TUNED, TUNED_Q4_0 = "finetuned, bfloat16", "finetuned, Q4_0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run of edge-phi train quantize-aware")
    parser.add_argument("--full", type=Path, default=REPOSITORY / "edge_phi/models/phi-1-nano")
    parser.add_argument("--windows", type=int, default=48)
    parser.add_argument("--exercises", type=int, default=200)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/quantize-aware-benchmark")
    options = parser.parse_args()
    if read_config(options.run / "checkpoint") != read_config(options.full):
        raise InvalidCall(f"{options.run}: its checkpoint has another geometry than {options.full}")
    forms = make_forms(options.full, options.run / "checkpoint", options.work)
    document: dict[str, Any] = {
        "command": command_line(),
        "commit": commit(),
        "machine": asdict(this_machine()),
        "training": training(options.run),
        "fidelity": fidelities(forms, options.windows, options.threads),
        "exercises": exercises(forms, options.exercises, options.threads, options.work),
    }
    results = REPOSITORY / "benchmarks/results"
    atomic.write_bytes(results / "quantize_aware.json", (json.dumps(document, indent=2) + "\n").encode())
    text = markdown(document)
    atomic.write_bytes(results / "quantize_aware.md", text.encode())
    plain = document["fidelity"][PLAIN]["kl_mean"]
    atomic.write_bytes(REPOSITORY / "docs/images/quantize-aware.png", figure(read_metrics(options.run), plain))
    print(text, end="")


def make_forms(full: Path, tuned: Path, work: Path) -> dict[str, Artifact]:
    """Every form by its label, in files of `work` where it has to be made."""
    work.mkdir(parents=True, exist_ok=True)

    def gguf(checkpoint: Path, label: str, quant: str, *, calibrated: bool = False) -> Artifact:
        path = work / f"{label}.{quant}.gguf"
        calibration = load_calibration(open_checkpoint(checkpoint)) if calibrated else None
        export_gguf(checkpoint, quant, path, calibration=calibration)
        return Artifact(label, "gguf", quant, path, checkpoint)

    return {
        FULL: gguf(full, "full", "f32"),
        PLAIN: gguf(full, "full", "q4_0"),
        CALIBRATED: gguf(full, "calibrated", "q4_0", calibrated=True),
        TUNED: gguf(tuned, "finetuned", "f32"),
        TUNED_Q4_0: gguf(tuned, "finetuned", "q4_0", calibrated=True),
    }


def training(folder: Path) -> dict[str, Any]:
    """What the run took."""
    lineage = json.loads((folder / "checkpoint/lineage.json").read_text(encoding="utf-8"))
    return {key: lineage[key] for key in ("recipe", "result", "machine", "hours")}


def fidelities(forms: dict[str, Artifact], windows: int, threads: int) -> dict[str, Any]:
    """How far each form is from full precision through PyTorch or ONNX Runtime, which have the weights as they are."""
    baseline = find_model(forms[FULL].folder).baseline()
    assert baseline is not None  # a checkpoint was found there
    text = held_out_windows(open_tokenizer(baseline), LENGTH, windows)
    found = {}
    for label, form in forms.items():
        found[label] = asdict(fidelity(form, baseline, text, threads=threads))
        print(f"{label}: KL {found[label]['kl_mean']:.5f}", file=sys.stderr)
    return found


def exercises(forms: dict[str, Artifact], count: int, threads: int, work: Path) -> dict[str, Any]:
    """Which exercises each form solves, and each against full precision."""
    benchmark = drawn(count)
    folders = {}
    settings = DecodeSettings(max_tokens=TOKENS)
    with Sandbox() as sandbox, progress_on_stderr() as progress:
        for label in (FULL, PLAIN, CALIBRATED, TUNED_Q4_0):
            form = forms[label]
            writer = ModelWriter(form, settings, threads=threads)
            folders[label] = work / form.path.stem
            plan = Plan(
                name=label,
                benchmark=benchmark,
                problems=benchmark.problems,
                prompt="stripped",
                samples=1,
                settings=model_settings(
                    form, benchmark, settings, prompt="stripped", stops=BODY_STRUCTURE, threads=threads, batch=1
                ),
                folder=folders[label],
            )
            run(plan, written_by(writer), sandbox, progress, workers=1)
            writer.close()
    return {
        "seed": SEED,
        "problems": count,
        **{label: against(folders[FULL], folder) for label, folder in folders.items() if label != FULL},
    }


def written_by(writer: ModelWriter) -> Callable[[Sequence[Ask]], Iterator[Record]]:
    return lambda asks: writer.write(asks, BODY_STRUCTURE)


def drawn(count: int) -> Benchmark:
    """Functions to complete, each with the calls that its own exercise is checked by."""
    problems: list[Problem] = []
    for each in generate(5 * count, seed=SEED):
        calls = [(call, output) for call, output in each.examples if output]
        name = each.prompt.rpartition("def ")[2].partition("(")[0]
        if each.tags[0] != FAMILY or not calls or len(problems) == count:
            continue
        tests = "\n".join(f"assert {call} == {output}" for call, output in calls)
        problems.append(Problem(f"exercise/{each.id}", each.prompt, name, each.solution, tests, (name,)))
    return Benchmark("exercises", tuple(problems), BODY_STRUCTURE, BODY_STRUCTURE, ())


def against(full: Path, other: Path) -> dict[str, Any]:
    """Solved by each, the flips, the exact test, and the interval of the difference of pass@1."""
    found = compare(full, other)
    outcomes = [last_verdicts(read_journal(folder / VERDICTS)[1]) for folder in (full, other)]
    differences = [(outcomes[1][key] == "pass") - (outcomes[0][key] == "pass") for key in outcomes[0]]
    gain = bootstrap([float(difference) for difference in differences])
    return {
        "problems": found.problems,
        "full_solved": found.both + len(found.only_first),
        "solved": found.both + len(found.only_second),
        "only_full": len(found.only_first),
        "only_this": len(found.only_second),
        "p_value": found.p_value,
        "difference": asdict(gain),
        "same_text": same_text(full, other),
    }


def same_text(full: Path, other: Path) -> int:
    """How many completions are the same to the letter."""
    texts = [
        {record["task_id"]: record["completion"] for record in read_journal(folder / COMPLETIONS)[1]}
        for folder in (full, other)
    ]
    return sum(texts[0][task] == text for task, text in texts[1].items())


def markdown(document: dict[str, Any]) -> str:
    plain = document["fidelity"][PLAIN]["kl_mean"]
    lines = [
        "| form | KL, mean | to plain Q4_0's | KL, 99th percentile | top-1 | perplexity |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for label, row in document["fidelity"].items():
        lines.append(
            f"| {label} | {row['kl_mean']:.6f} | {row['kl_mean'] / plain:.2f} | {row['kl_p99']:.4f} "
            f"| {row['top1']:.4f} | {row['perplexity']:.3f} |"
        )
    lines += [
        "",
        "| exercises solved | of | full precision | only it | only full precision | p | difference, 95 % | same text |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for label in (PLAIN, CALIBRATED, TUNED_Q4_0):
        row = document["exercises"][label]
        gain = row["difference"]
        lines.append(
            f"| {label}: {row['solved']} | {row['problems']} | {row['full_solved']} | {row['only_this']} "
            f"| {row['only_full']} | {row['p_value']:.3g} | {gain['value']:+.3f} ({gain['low']:+.3f} to "
            f"{gain['high']:+.3f}) | {row['same_text']} |"
        )
    result, machine = document["training"]["result"], document["machine"]
    positions = document["fidelity"][PLAIN]["positions"]
    return (
        "\n".join(lines)
        + f"\n\n`{document['command']}`, commit {document['commit'][:7]}: KL divergence from full precision in nats "
        f"per token over {positions:,} held-out tokens of code and prose; exercises of seed {SEED}, greedy. Finetuned "
        f"for {result['step']} steps, {result['tokens']:,} tokens, {document['training']['hours']:.2f} h. "
        f"{machine['cpu']}.\n"
    )


def figure(metrics: list[dict[str, Any]], plain: float) -> bytes:
    """KL divergence over the tokens seen."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = canvas.add_subplot()
    tokens = [row["tokens"] / 1e3 for row in metrics]
    axes.plot(
        tokens, [row["loss"] for row in metrics], color="#9db8d2", linewidth=0.8, label="batches of training text"
    )
    held_out = [(row["tokens"] / 1e3, row["validation_loss"]) for row in metrics if row["validation_loss"] is not None]
    axes.plot(*zip(*held_out, strict=True), "o-", color="#c4561a", markersize=3, label="held-out code")
    axes.axhline(plain, color="#000000", alpha=0.5, linewidth=0.8, linestyle="--", label="plain Q4_0, held-out text")
    axes.set(
        xlabel="tokens seen (thousands)",
        ylabel="KL divergence from full precision (nats per token)",
        title="phi-1-nano, quantization-aware finetuning: weights on Q4_0's grid",
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper right")
    image = io.BytesIO()
    canvas.savefig(image, format="png")
    return image.getvalue()


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"quantize_aware.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
