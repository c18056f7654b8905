"""Every form of a model against full precision: same prompts, same work, one process after another."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import gguf_model
from ..checkpoint import CONFIG_FILE, read_config
from ..errors import EdgePhiError, InvalidFile, MissingExtra
from ..gguf_header import read_gguf_header
from ..store import Artifact, Model, load_tokenizer_for
from ..tokenizer import Tokenizer
from .figures import Figures, NotMeasured, Prompt, Report, against, agreement, figures_of
from .forms import in_report_order
from .machine import busy_line, this_machine
from .progress import Progress
from .prompts import PROMPTS
from .worker import Job, Measurement, measure

# Full precision, the first that could be measured (PyTorch is an extra).
_BASELINES = ("torch:float32", "onnx:float32")

Measure = Callable[[Job], Measurement]


@dataclass(frozen=True)
class BenchSettings:
    """How much is measured."""

    rounds: int = 3  # processes per form, interleaved with the other forms'
    new_tokens: int = 64  # decoded after each prompt, at least 2


def run_bench(
    model: Model,
    progress: Progress,
    settings: BenchSettings = BenchSettings(),
    *,
    skipped: tuple[NotMeasured, ...] = (),
    measure: Measure = measure,
) -> Report:
    """Measure all forms of `model`, each round in the same order, one process at a time.

    A form that fails leaves the rounds that follow; the others go on.

    Args:
        model: whose forms are measured.
        progress: who is told.
        settings: how much is measured.
        skipped: forms known beforehand to be missing, for the report.
        measure: runs one job in a process of its own.

    Raises:
        EdgePhiError: not one form could be measured.
        InvalidCall, InvalidFile: the model's tokenizer or configuration is missing or damaged.
    """
    artifacts = in_report_order(model.artifacts)
    tokenizer = load_tokenizer_for(artifacts[0])
    prompts = _encode(tokenizer, context_length(artifacts[0]), settings.new_tokens)
    machine = this_machine()
    if machine.busy:
        progress.note(busy_line(machine))
    jobs = [Job(artifact, tuple(prompts.values()), settings.new_tokens, machine.cores) for artifact in artifacts]
    found, refused = _interleave(jobs, settings.rounds, measure, progress)
    if not found:
        raise EdgePhiError(f"{model.name}: not one of its forms could be measured: see the reasons above")
    figures = [figures_of(artifact, measurements) for artifact, measurements in found.items()]
    baseline = next((one for name in _BASELINES for one in figures if one.name == name), None)
    if baseline is not None:
        tokens = {artifact.name: _tokens(measurements) for artifact, measurements in found.items()}
        figures = [
            replace(
                against(one, baseline),
                agreement=tuple(
                    agreement(prompt, ours, theirs, tokenizer.end_of_text)
                    for prompt, ours, theirs in zip(prompts, tokens[one.name], tokens[baseline.name], strict=True)
                ),
            )
            for one in figures
        ]
    without_engine = [_left(job, error) for job, error in refused if isinstance(error, MissingExtra)]
    return Report(
        model=model.name,
        baseline=baseline.name if baseline else None,
        rounds=settings.rounds,
        new_tokens=settings.new_tokens,
        prompts=tuple(Prompt(name, len(prompt)) for name, prompt in prompts.items()),
        machine=machine,
        artifacts=tuple(figures),
        skipped=(*skipped, *without_engine),
        failed=tuple(_left(job, error) for job, error in refused if not isinstance(error, MissingExtra)),
    )


def context_length(artifact: Artifact) -> int:
    """Tokens that the model's cache can hold.

    Raises:
        InvalidCall, InvalidFile: its configuration is missing or damaged.
    """
    if (artifact.folder / CONFIG_FILE).is_file():
        return read_config(artifact.folder).max_position_embeddings
    return gguf_model.read_config(read_gguf_header(artifact.path)).max_position_embeddings  # nothing else goes without


def published(artifact: Artifact, error: EdgePhiError) -> str:
    """An error as a report says it, which is for publishing: of a path it keeps what lies in the model's folder."""
    return str(error).replace(f"{artifact.path.parent}{os.sep}", "")


def _interleave(
    jobs: list[Job], rounds: int, measure: Measure, progress: Progress
) -> tuple[dict[Artifact, list[Measurement]], list[tuple[Job, EdgePhiError]]]:
    """All jobs once a round, so that a disturbance of minutes hits all forms alike; and the jobs that failed."""
    found: dict[Artifact, list[Measurement]] = {job.artifact: [] for job in jobs}
    refused: list[tuple[Job, EdgePhiError]] = []
    done = 0
    for round_ in range(1, rounds + 1):
        for job in jobs:
            if job.artifact not in found:
                continue
            progress.working(f"round {round_} of {rounds}: {job.artifact.name}", done, len(jobs) * rounds)
            try:
                found[job.artifact].append(measure(job))
                done += 1
            except EdgePhiError as error:
                del found[job.artifact]
                refused.append((job, error))
                done += rounds - round_ + 1
                progress.note(f"{job.artifact.name}: {_left(job, error).reason}")
                continue
            if round_ == rounds:
                progress.finished(_line(figures_of(job.artifact, found[job.artifact])))
    return found, refused


def _left(job: Job, error: EdgePhiError) -> NotMeasured:
    return NotMeasured(job.artifact.name, published(job.artifact, error))


def _tokens(measurements: list[Measurement]) -> list[tuple[int, ...]]:
    return [timing.tokens for timing in measurements[0].timings]  # greedy: every round decodes the same


def _line(figures: Figures) -> str:
    memory = f", {figures.peak_rss_bytes / 1e6:.0f} MB" if figures.peak_rss_bytes else ""
    return f"{figures.name}: TTFT {figures.ttft_ms:.1f} ms, {figures.decode_tokens_per_s:.1f} tokens/s{memory}"


def _encode(tokenizer: Tokenizer, context_length: int, new_tokens: int) -> dict[str, tuple[int, ...]]:
    """The prompts as tokens, cut at the end where they leave the context no room for new ones.

    Raises:
        InvalidFile: there is no room for any prompt.
    """
    room = context_length - new_tokens
    if room < 1:
        raise InvalidFile(f"a context of {context_length} has no room for a prompt and {new_tokens} new tokens")
    return {name: tuple(tokenizer.encode(text)[:room]) for name, text in PROMPTS.items()}
