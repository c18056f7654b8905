"""From sources to what the loop reads: a tokenizer, one token array for each group of sources, a manifest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from edge_phi.atomic import atomic_folder
from edge_phi.cores import usable_cores
from edge_phi.errors import InvalidCall
from edge_phi.lineage import sha256_of

from ..recipe import Recipe
from .collect import Document, collect, standard_library, text_folder
from .exercises import generate
from .pack import pack_in_parts, train_tokenizer
from .shards import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    VALIDATION,
    Shards,
    ShardWriter,
    read_json,
    read_shards,
    read_tokenizer,
)

EXERCISES = "exercises"  # the source that is generated, not collected
_HELD_OUT = 3  # of 256 documents, about 1.2 %
_FEWEST_TOKENS_PER_EXERCISE = 60


def prepare(
    recipe: Recipe,
    folder: Path,
    *,
    corpus: Path | None,
    benchmarks: Path | None,
    keep: bool,
    say: Callable[[str], None],
) -> Shards:
    """Collect, generate, train the tokenizer and pack; or take what an earlier call left in `folder`.

    Args:
        recipe: names the groups and their sources.
        folder: where the arrays are kept.
        corpus: a folder of text sets beside the standard library; without it their groups stay empty.
        benchmarks: see `collect`.
        keep: refuse to replace data that were made from other settings, since a run was begun on them.
        say: told one line a step.

    Raises:
        InvalidCall: no such corpus, nothing for the group "python", or data to keep that are not what is asked for.
        InvalidFile: what an earlier call left is damaged.
    """
    exercises = _exercises_needed(recipe)
    words = _tokenizer_of(recipe)
    wanted: dict[str, Any] = {
        "data": recipe.data,
        "exercises": exercises,
        "vocabulary": recipe.vocabulary,
        "seed": recipe.seed,
        "corpus": {f"{file.parent.name}/{file.name}": file.stat().st_size for file in _corpus_files(corpus)},
        "benchmarks": benchmarks is not None,
    }
    if words:
        wanted["tokenizer"] = sha256_of(words)
    if (folder / MANIFEST_FILE).is_file():
        if read_json(folder / MANIFEST_FILE).get("made_from") == wanted:
            return read_shards(folder)
        if keep:
            raise InvalidCall(
                f"{folder.parent}: holds a run with other settings: give another --out, or remove it to begin anew"
            )
        say(f"{folder}: made from other settings, making it anew")

    say("collecting the standard library" + (f" and {corpus}" if corpus else ""))
    sources: list[Iterable[Document]] = [standard_library()]
    if corpus:
        sources.append(text_folder(corpus))
    collection = collect(sources, benchmarks=benchmarks)
    say(f"{len(collection.documents):,} documents; dropped: {collection.dropped or 'none'}")
    texts: dict[str, list[str]] = {group: [] for group in recipe.data}
    validation: list[str] = []
    for document in collection.documents:
        group = _group(recipe.data, document.source)
        if group == "python" and hashlib.sha256(document.id.encode()).digest()[0] < _HELD_OUT:
            validation.append(document.text)
        elif group:
            texts[group].append(document.text)
    if exercises:
        texts[_group(recipe.data, EXERCISES) or EXERCISES] += _generated(exercises, recipe.seed, say)
    if not texts.get("python"):
        raise InvalidCall(f"recipe {recipe.name}: no group of its data is called 'python' or it is empty")

    if words:
        tokenizer = read_tokenizer(words)
    else:
        say(f"training a tokenizer of {recipe.vocabulary:,} tokens")
        tokenizer = train_tokenizer((text for group in texts.values() for text in group), vocab_size=recipe.vocabulary)
    with atomic_folder(folder) as partial:
        writer = ShardWriter(partial, tokenizer)
        for group, group_texts in [*texts.items(), (VALIDATION, validation)]:
            if group_texts:
                say(f"packed {group}: {writer.write(group, pack_in_parts(group_texts, tokenizer)):,} tokens")
        manifest: dict[str, Any] = {"made_from": wanted, "documents": collection.manifest}
        if EXERCISES in texts:
            digest = hashlib.sha256("\0".join(texts[EXERCISES]).encode()).hexdigest()
            manifest["exercises"] = {"count": len(texts[EXERCISES]), "sha256": digest}
        writer.finish(manifest)
    return read_shards(folder)


def _tokenizer_of(recipe: Recipe) -> Path | None:
    """The tokenizer of the checkpoint that the run begins with: its embeddings mean nothing with another."""
    source = recipe.start_from or recipe.grow_from
    if not source:
        return None
    path = Path(source) / TOKENIZER_FILE
    if not path.is_file():
        raise InvalidCall(f"{path}: missing: give the folder of a checkpoint to begin with")
    return path


def _exercises_needed(recipe: Recipe) -> int:
    """No more than the run will see: a short trial should not wait for exercises that it has no time for."""
    group = _group(recipe.data, EXERCISES)
    if group is None:
        return 0
    share = sum(stage.share * stage.mixture.get(group, 0.0) / sum(stage.mixture.values()) for stage in recipe.stages)
    tokens = share * recipe.steps * recipe.batch * recipe.length
    return min(recipe.exercises, math.ceil(tokens / _FEWEST_TOKENS_PER_EXERCISE))


def _generated(count: int, seed: int, say: Callable[[str], None]) -> list[str]:
    say(f"generating {count:,} exercises and running each")
    texts: list[str] = []
    for exercise in generate(count, seed=seed, workers=usable_cores()):
        texts.append(exercise.text)
        if len(texts) % 1_000 == 0:
            say(f"  {len(texts):,} exercises")
    return texts


def _corpus_files(corpus: Path | None) -> list[Path]:
    return sorted(corpus.glob("*/*.jsonl.gz")) if corpus else []


def _group(groups: dict[str, list[str]], source: str) -> str | None:
    for group, names in groups.items():
        if source in names:
            return group
    for group, names in groups.items():
        if "*" in names and source != EXERCISES:
            return group
    return None
