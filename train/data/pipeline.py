"""All steps in a row: from text as it is found to the token shards that a recipe is trained on.

    collect -> + exercises -> dedup -> quality -> decontaminate -> pack

Each step leaves its folder under `work` and is taken up where it stopped; what has not changed is not made again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_phi.errors import InvalidCall
from edge_phi.lineage import sha256_of

from ..recipe import Recipe
from .funnel import Stage, stage
from .gather import gather
from .shards import MANIFEST_FILE as SHARDS_MANIFEST
from .shards import TOKENIZER_FILE, read_json
from .steps import Counts, Say, read_manifest

EXERCISES = "exercises"  # the source that is generated, not collected
PYTHON = "python"  # the array of code that people wrote: judged by its quality, and held out of to validate on
_CLASSIFIER = "features"  # nearly as good as hidden states, at a 25th of their time (docs/data.md)
_FEWEST_TOKENS_PER_EXERCISE = 60


@dataclass(frozen=True)
class Origin:
    """What a recipe leaves open: where text comes from.

    Attributes:
        texts: sources, as `edge-phi data collect` takes them.
        licenses: allowed beside the permissive ones.
        benchmarks: the folder of HumanEval and MBPP to keep away from; None looks for no overlap.
    """

    texts: tuple[str, ...]
    licenses: tuple[str, ...] = ()
    benchmarks: Path | None = None


def build(recipe: Recipe, origin: Origin, shards: Path, work: Path, *, workers: int, say: Say) -> list[Stage]:
    """Make a recipe's token shards, and say what each step kept.

    Args:
        recipe: names the arrays and their sources, how many exercises to generate, which share of the code to keep
            by its quality, the match rate of decontamination, the vocabulary and the seed.
        origin: where text comes from.
        shards: the folder of token shards to write.
        work: the folder of the steps.
        workers: processes; no byte depends on it.
        say: told one line now and then.

    Raises:
        InvalidCall: a source, a licence or a folder is not as it has to be, or nothing is left for an array.
        InvalidFile: a file of the benchmarks or of an earlier step is damaged.
        EdgePhiError: the disk is full or not writable.
    """
    from .collect import collect_records, parse_sources

    collected = work / "1-collect"
    counts = collect_records(parse_sources(origin.texts), collected, licenses=origin.licenses, workers=workers, say=say)
    stages = [stage("collect", counts)]
    folders = [collected]
    if any(EXERCISES in group for group in recipe.data.values()) and recipe.exercises:
        from .exercises.step import write_exercises

        folders.append(work / "2-exercises")
        made = write_exercises(folders[-1], recipe.exercises, seed=recipe.seed, workers=workers, say=say)
        counts = gather(folders, work / "3-gather", say=say)
        stages.append(stage("+ exercises", replace(counts, dropped=made.dropped)))
        folders.append(work / "3-gather")
    last = folders[-1]

    from .deduplicate import deduplicate

    counts = deduplicate(last, work / "4-dedup", workers=workers, say=say)
    stages.append(stage("dedup", counts))
    folders.append(work / "4-dedup")
    last = folders[-1]
    if recipe.quality < 1:
        from .quality import quality

        judged = recipe.data.get(PYTHON)  # exercises need no judge
        counts = quality(
            last,
            work / "5-quality",
            classifier=_CLASSIFIER,
            keep=recipe.quality,
            sources=judged,
            workers=workers,
            say=say,
        )
        stages.append(stage("quality", counts))
        folders.append(work / "5-quality")
        last = folders[-1]
    if origin.benchmarks:
        from .decontaminate import decontaminate

        folders.append(work / "6-decontaminate")
        counts = decontaminate(
            last, folders[-1], benchmarks=origin.benchmarks, tau=recipe.tau, workers=workers, say=say
        )
        stages.append(stage("decontaminate", counts))
        last = folders[-1]

    from .pack import pack_records

    arrays = _present(recipe.data, counts)
    counts = pack_records(
        last,
        shards,
        work / "7-pack",
        arrays=arrays,
        held_out=PYTHON if PYTHON in arrays else None,
        tokenizer=tokenizer_of(recipe),
        vocabulary=recipe.vocabulary,
        manifest=_manifest(recipe, origin, folders, counts),
        workers=workers,
        say=say,
    )
    return [*stages, stage("pack", counts)]


def no_more_than_seen(recipe: Recipe) -> Recipe:
    """The recipe with no more exercises than its run will see: a short trial should not wait for others."""
    names = [name for name, sources in recipe.data.items() if EXERCISES in sources]
    share = sum(
        stage.share * stage.mixture.get(name, 0.0) / sum(stage.mixture.values())
        for name in names
        for stage in recipe.stages
    )
    tokens = share * recipe.steps * recipe.batch * recipe.length
    return replace(recipe, exercises=min(recipe.exercises, math.ceil(tokens / _FEWEST_TOKENS_PER_EXERCISE)))


def made_from(recipe: Recipe, origin: Origin) -> dict[str, Any]:
    """JSON: what of a call decides the shards, beside the contents of the sources."""
    words = tokenizer_of(recipe)
    return {
        "data": recipe.data,
        "exercises": recipe.exercises,
        "quality": recipe.quality,
        "tau": recipe.tau if origin.benchmarks else None,
        "vocabulary": recipe.vocabulary,
        "tokenizer": sha256_of(words) if words else None,
        "seed": recipe.seed,
        "texts": [_named(text) for text in origin.texts],
        "licenses": list(origin.licenses),
    }


def tokenizer_of(recipe: Recipe) -> Path | None:
    """The tokenizer of the checkpoint that the run begins with: its embeddings mean nothing with another.

    Raises:
        InvalidCall: the checkpoint has none.
    """
    source = recipe.start_from or recipe.grow_from
    if not source:
        return None
    path = Path(source) / TOKENIZER_FILE
    if not path.is_file():
        raise InvalidCall(f"{path}: missing: give the folder of a checkpoint to begin with")
    return path


def is_made(shards: Path, recipe: Recipe, origin: Origin) -> bool:
    """Whether there are token shards from an earlier call with the same settings and sources."""
    path = shards / SHARDS_MANIFEST
    return path.is_file() and read_json(path).get("made_from") == made_from(recipe, origin)


def _manifest(recipe: Recipe, origin: Origin, folders: Sequence[Path], counts: Counts) -> dict[str, Any]:
    """Where the shards' text is from; the folders are those of the steps, in their order."""
    manifest: dict[str, Any] = {
        "made_from": made_from(recipe, origin),
        "steps": {folder.name: _digest(read_manifest(folder)) for folder in folders},
        "documents": {"sha256": _digest(read_manifest(folders[-1])["shards"]), "sources": counts.sources},
    }
    report = folders[-1] / "decontamination.json"
    if report.is_file():
        manifest["decontamination"] = read_json(report)
    return manifest


def _present(arrays: dict[str, list[str]], counts: Counts) -> dict[str, Sequence[str]]:
    """The arrays that something came out for: without a corpus, the mixture goes over what is there."""
    named = {source for sources in arrays.values() for source in sources}
    others = set(counts.sources) - named
    return {
        name: sources
        for name, sources in arrays.items()
        if set(sources) & set(counts.sources) or ("*" in sources and others)
    }


def _named(text: str) -> str:
    """A source without the folders above it, which differ from machine to machine."""
    name, equals, path = text.partition("=")
    return f"{name}={Path(path).name}" if equals else Path(text).name


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
