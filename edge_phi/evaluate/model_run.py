"""A model as the writer of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..checkpoint import has_weights, weights_files
from ..completion.decode import GREEDY, DecodeSettings
from ..errors import InvalidCall
from ..lineage import sha256_of
from ..measure.machine import engine_version
from ..runtimes import open_runtime, open_tokenizer
from ..store import Artifact
from .generate import Ask, Generated, generate
from .problem import Benchmark
from .prompts import PromptForm
from .run import Record
from .stop_rules import StopRules

_LATER = ("min_p", "repetition_penalty", "max_seconds", "min_logprob")  # settings


class ModelWriter:
    """Writes what a run lacks. The model is loaded when there is something to write, and stays for the next run."""

    def __init__(self, artifact: Artifact, settings: DecodeSettings, *, threads: int, batch: int = 1) -> None:
        """Args are as in `model_settings`.

        Raises:
            InvalidCall: this engine writes one text at a time only.
        """
        if batch < 1:
            raise InvalidCall(f"a batch of {batch} texts: give 1 or more")
        if batch > 1 and artifact.format != "safetensors":
            raise InvalidCall(f"{artifact.name} writes one text at a time: leave out --batch, or take torch:float32")
        self._artifact, self._settings, self._threads, self._batch = artifact, settings, threads, batch
        self._model: Any = None

    def write(self, asks: Sequence[Ask], stops: StopRules) -> Iterator[Record]:
        """A record for each of `asks`.

        Raises:
            EdgePhiError: the model cannot be loaded, or fails.
        """
        if not asks:
            return
        tokenizer = open_tokenizer(self._artifact)
        found: Iterable[tuple[Ask, Generated]]
        if self._batch > 1:
            from .batched import BatchModel, generate_batched

            if self._model is None:
                self._model = BatchModel(self._artifact, threads=self._threads)
            found = generate_batched(self._model, tokenizer, asks, self._settings, stops, batch=self._batch)
        else:
            if self._model is None:
                self._model = open_runtime(self._artifact, threads=self._threads)
            found = generate(self._model, tokenizer, asks, self._settings, stops)
        for ask, generated in found:
            yield {
                "task_id": ask.task_id,
                "sample": ask.sample,
                "raw": generated.text,
                "completion": stops.cut(ask.prompt, generated.text),
                "finish": generated.finish,
                "tokens": generated.tokens,
                "seconds": round(generated.seconds, 4),
            }

    def close(self) -> None:
        """Free the model."""
        if self._model is not None:
            self._model.close()
        self._model = None


def model_settings(
    artifact: Artifact,
    benchmark: Benchmark,
    settings: DecodeSettings,
    *,
    prompt: PromptForm,
    stops: StopRules,
    threads: int,
    batch: int,
) -> dict[str, Any]:
    """All that decides what a model writes: a run goes on only where none of it has changed."""
    sampled = settings.temperature > 0
    # Left out where they change nothing, so that runs from before there were such settings go on.
    others = {name: value for name in _LATER if (value := getattr(settings, name)) != getattr(GREEDY, name)}
    return {
        "benchmark": benchmark.name,
        "data": [list(file) for file in benchmark.data],
        "model": artifact.model,
        "form": artifact.name,
        "files": {file.name: sha256_of(file) for file in files_of(artifact)},
        "prompt": prompt,
        "stops": stops.name,
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p if sampled else None,
        "seed": settings.seed if sampled else None,
        "batch": batch,
        "threads": threads,
        "engine": engine_version(artifact.engine),
        "edge_phi": __version__,
        **others,
    }


def run_name(artifact: Artifact, settings: DecodeSettings, prompt: PromptForm, stops: StopRules) -> str:
    """The folder of a run, as in "phi-1-nano-onnx-int4-stripped"."""
    parts = [artifact.model, artifact.name.replace(":", "-"), prompt]
    if stops.name != "published":
        parts.append(stops.name)
    if settings.temperature > 0:
        parts.append(f"t{settings.temperature:g}-p{settings.top_p:g}-s{settings.seed}")
    return "-".join(parts)


def files_of(artifact: Artifact) -> list[Path]:
    """The files that decide what an artifact writes."""
    if artifact.format == "gguf":
        return [artifact.path]
    names = ["tokenizer.json", "config.json"]
    names += weights_files(artifact.path) if has_weights(artifact.path) else []
    files = [path for name in names if (path := artifact.path / name).is_file()]
    if artifact.format == "onnx":  # the graph and what it keeps its weights in
        files += sorted(artifact.graph.parent.glob(f"{artifact.graph.name}*"))
    return [file for file in files if not file.name.endswith(".lineage.json")]
