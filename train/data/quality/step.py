"""Leave out what has little educational value: learn it from labels, judge every document, keep the better ones."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from edge_phi.atomic import atomic_file
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.lineage import sha256_of
from edge_phi.store import DEFAULT_MODEL, bundled_folder

from ..embed import IMPORTS
from ..records import Record, columns_of, read_records, shards_of, write_records
from ..steps import MANIFEST_FILE, Counting, Counts, Say, check_place, map_files
from .classifiers import CLASSIFIERS, DEFAULT, Classifier, Floats, Samples, train, vectors_of
from .labels import BUNDLED, Labels, read_labels
from .pieces import MOST_TO_LEARN_FROM, pieces_of

COLUMN = "quality"
DROPPED = "low educational value"
_NAME = "quality"
_RECORDS_AT_ONCE = 64
_SCORES = np.dtype([("quality", "<f4"), ("tokens", "<i4")])  # of a record; a quality of -1 if it is not judged
LEARNT = "labels"  # in the folder .work
_PARTS = 16  # that labels are embedded in, so that no worker waits for another
SCORES = "scores"


def quality(
    source: Path,
    out: Path,
    *,
    labels: Path | None = None,
    classifier: str = DEFAULT,
    keep: float | None = None,
    threshold: float | None = None,
    sources: Sequence[str] | None = None,
    model: Path | None = None,
    workers: int = 1,
    say: Say,
) -> Counts:
    """Copy the shards of `source` to `out` without documents of low educational value, the others with their `quality`.

    A document's quality is the mean, weighted by length, of the probabilities of its pieces (`pieces_of`). Documents
    that are not judged are copied, with none. The labels' vectors and all qualities stay in `out`/.work, so that
    another threshold costs no more than copying.

    Args:
        source: a folder of shards.
        out: a folder.
        labels: a file as `read_labels` takes it; the bundled labels if None.
        classifier: one of `CLASSIFIERS`.
        keep: the share of the judged tokens to keep, of the best documents; more than 0, at most 1.
        threshold: the quality from which on to keep; 0.5 if neither is given.
        sources: those to judge; Python files (by their path) of all sources if None.
        model: a checkpoint folder, whose hidden states embed; the bundled model if None.
        workers: processes; the result does not depend on it.
        say: told one line now and then.

    Raises:
        InvalidCall: a number is out of range, no such classifier, source or labels, or no place for `out`.
        InvalidFile: labels or a shard are damaged.
        MissingExtra: the classifier embeds, and torch is not installed.
        EdgePhiError: the disk is full or not writable.
    """
    if classifier not in CLASSIFIERS:
        raise InvalidCall(f"no classifier is called {classifier!r}: choose one of {', '.join(CLASSIFIERS)}")
    if keep is not None and threshold is not None:
        raise InvalidCall("a share to keep and a threshold are two ways to say one thing: give one of them")
    if keep is not None and not 0 < keep <= 1:
        raise InvalidCall(f"a share of {keep:g} cannot be kept: choose more than 0, at most 1")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidCall(f"no quality reaches a threshold of {threshold:g}, or all do: choose one from 0 to 1")
    shards = shards_of(source)
    check_place(out, _NAME)
    work = out / ".work"
    learning = _Learning(classifier, read_labels(labels), labels or BUNDLED, model)
    scores = _score(shards, work, learning, sources=sources, workers=workers, say=say)
    rows = np.concatenate([read_scores(file) for file in scores])
    judged = rows[rows["quality"] >= 0]
    if sources is not None and not len(judged):
        raise InvalidCall(f"{source}: has no document of {', '.join(sources)}: name sources that it has")
    at = (0.5 if threshold is None else threshold) if keep is None else _threshold_of(keep, judged)
    copied = len(rows) - len(judged)
    say(f"quality: {len(judged):,} documents judged, {copied:,} others copied as they are; kept from {at:.3f} on")
    settings = {
        **learning.settings,
        "threshold": at,
        "judged": len(judged),
        "copied": copied,
        "unknown labels": len(learning.labels.unknown),
        "scores": hashlib.sha256("".join(map(sha256_of, scores)).encode()).hexdigest(),
    }
    filtering = partial(_filter, scores=scores[0].parent, threshold=at)
    return map_files(_NAME, settings, shards, out, filtering, workers=workers, say=say)


@dataclass(frozen=True)
class _Learning:
    """What a classifier is learnt from."""

    classifier: str
    labels: Labels
    file: Path
    model: Path | None

    @property
    def settings(self) -> dict[str, Any]:
        return {"classifier": self.classifier, "labels": self.labels.digest, "model": self._model()}

    @property
    def imports(self) -> tuple[str, ...]:
        return IMPORTS if self._embeds else ()

    @property
    def _embeds(self) -> bool:
        return "embedding" in CLASSIFIERS[self.classifier][0]

    def _model(self) -> str | None:
        """What tells one model from another; None where none is used."""
        if not self._embeds:
            return None
        folder = self.model or bundled_folder() / DEFAULT_MODEL
        files = [folder / "tokenizer.json", *sorted(folder.glob("*.safetensors"))]
        return hashlib.sha256("".join(sha256_of(file) for file in files if file.is_file()).encode()).hexdigest()


def _score(
    shards: Sequence[Path], work: Path, learning: _Learning, *, sources: Sequence[str] | None, workers: int, say: Say
) -> list[Path]:
    """Judge every document: for each shard a .npy of `_SCORES`."""
    if learning.labels.unknown:
        say(f"quality: {len(learning.labels.unknown)} labelled names are not in this Python's standard library")
    learn = partial(_embed_labels, learning=learning)
    parts = [learning.file] * _PARTS
    map_files(
        "quality: labels", learning.settings, parts, work / LEARNT, learn, workers=workers, say=say, suffix=".npy",
        imports=learning.imports,
    )  # fmt: skip
    judge = partial(
        _score_shard,
        learnt=work / LEARNT,
        groups=tuple(groups_of(learning.labels)),
        classifier=learning.classifier,
        sources=frozenset(sources) if sources is not None else None,
        model=learning.model,
    )
    settings = {
        **learning.settings,
        "sources": sorted(sources) if sources is not None else None,
        "vectors": sha256_of(work / LEARNT / MANIFEST_FILE),
    }
    map_files(
        "quality: scores", settings, shards, work / SCORES, judge, workers=workers, say=say, suffix=".npy",
        imports=learning.imports,
    )  # fmt: skip
    return [work / SCORES / f"{number:05}.npy" for number in range(len(shards))]


def samples_of(labels: Labels, classifier: str, *, model: Path | None = None, part: int = 0, parts: int = 1) -> Samples:
    """The pieces of labelled texts, with what a classifier looks at; those of one part of `parts`, in their order."""
    texts = labels.examples[len(labels.examples) * part // parts : len(labels.examples) * (part + 1) // parts]
    cut = [(each, piece) for each in texts for piece in pieces_of(each.text, MOST_TO_LEARN_FROM)]
    return Samples(
        vectors_of([piece.text for _, piece in cut], classifier, model=model),
        np.array([each.label for each, _ in cut], dtype=np.int64),
        np.array([piece.weight for _, piece in cut], dtype=np.float32),
        np.array([each.group for each, _ in cut]),
    )


def groups_of(labels: Labels) -> list[str]:
    """The group of every piece of `samples_of`."""
    return [each.group for each in labels.examples for _ in pieces_of(each.text, MOST_TO_LEARN_FROM)]


def read_samples(learnt: Path, groups: Sequence[str]) -> Samples:
    """What was learnt from: the folder of all parts.

    Raises:
        InvalidFile: it is something else, or not of these groups.
    """
    try:
        array = np.concatenate([np.load(file, allow_pickle=False) for file in sorted(learnt.glob("[0-9]*.npy"))])
    except (OSError, ValueError) as error:
        raise InvalidFile(f"{learnt}: cannot be read ({error}): remove it and run the step again") from error
    if array.dtype != np.float32 or array.ndim != 2 or array.shape[0] != len(groups) or array.shape[1] < 3:
        raise InvalidFile(f"{learnt}: is not what was learnt from these labels: remove it and run the step again")
    return Samples(array[:, 2:], array[:, 0].astype(np.int64), array[:, 1], np.array(groups))


def read_scores(file: Path) -> npt.NDArray[Any]:
    """Quality (-1 of what is not judged) and tokens of every record of a shard.

    Raises:
        InvalidFile: it is something else.
    """
    try:
        scores = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidFile(f"{file}: cannot be read ({error}): run the step again") from error
    if scores.dtype != _SCORES or scores.ndim != 1:
        raise InvalidFile(f"{file}: holds no scores: remove it and run the step again")
    return np.asarray(scores)


def _embed_labels(file: Path, target: Path, *, learning: _Learning) -> Counts:
    """Write float32 [pieces, 2 + width]: label, weight and vector of every piece of one part."""
    labels, part = learning.labels, int(target.stem)
    samples = samples_of(labels, learning.classifier, model=learning.model, part=part, parts=_PARTS)
    columns = [samples.labels.astype(np.float32)[:, None], samples.weights[:, None], samples.vectors]
    _write_array(target, np.concatenate(columns, axis=1))
    return Counts(records_in=len(samples.labels), records_out=len(samples.labels))


def _score_shard(
    shard: Path,
    target: Path,
    *,
    learnt: Path,
    groups: tuple[str, ...],
    classifier: str,
    sources: frozenset[str] | None,
    model: Path | None,
) -> Counts:
    trained = _trained(learnt, sha256_of(learnt / MANIFEST_FILE), groups, classifier)
    counting = Counting()
    found = [np.zeros(0, dtype=_SCORES)]
    records = map(counting.enter, read_records(shard, added=[]))
    while batch := list(islice(records, _RECORDS_AT_ONCE)):
        rows = np.zeros(len(batch), dtype=_SCORES)
        rows["quality"] = _score_batch(batch, trained, classifier, sources, model)
        rows["tokens"] = [record.tokens for record in batch]
        found.append(rows)
        for record in batch:
            counting.leave(record)
    _write_array(target, np.concatenate(found))
    return counting.counts


def _score_batch(
    batch: Sequence[Record], trained: Classifier, classifier: str, sources: frozenset[str] | None, model: Path | None
) -> Floats:
    scores = np.full(len(batch), -1, dtype=np.float32)
    judged = [i for i, record in enumerate(batch) if _is_judged(record, sources)]
    cut = [(i, piece) for i in judged for piece in pieces_of(batch[i].text)]
    if cut:
        probabilities = trained.predict(vectors_of([piece.text for _, piece in cut], classifier, model=model))
        weighted = probabilities.astype(np.float64) * [piece.weight for _, piece in cut]
        sums = np.bincount([i for i, _ in cut], weighted, len(batch))
        scores[judged] = np.clip(sums[judged], 0, 1)
    return scores


def _is_judged(record: Record, sources: frozenset[str] | None) -> bool:
    return record.path.endswith(".py") if sources is None else record.source in sources


@functools.lru_cache(maxsize=1)
def _trained(learnt: Path, digest: str, groups: tuple[str, ...], classifier: str) -> Classifier:
    """A process learns once, and then judges many shards."""
    return train(classifier, read_samples(learnt, groups))


def _threshold_of(keep: float, judged: npt.NDArray[Any]) -> float:
    """The highest quality from which on documents hold at least the share `keep` of all tokens."""
    if not len(judged):
        return 0.0
    best_first = judged[np.argsort(-judged["quality"], kind="stable")]
    held = np.cumsum(best_first["tokens"], dtype=np.int64)
    enough = int(np.searchsorted(held, math.ceil(keep * int(held[-1]))))
    return float(best_first["quality"][min(enough, len(judged) - 1)])


def _filter(shard: Path, target: Path, *, scores: Path, threshold: float) -> Counts:
    counting = Counting()
    values = read_scores(scores / f"{target.stem}.npy")["quality"].tolist()

    def staying() -> Iterator[Record]:
        for record in map(counting.enter, read_records(shard)):
            if not values:
                raise InvalidFile(f"{shard}: has changed since it was judged: run the step again")
            value = values.pop()
            if value < 0:
                yield replace(record, added={**record.added, COLUMN: None})
            elif value >= threshold:
                yield replace(record, added={**record.added, COLUMN: value})
            else:
                counting.dropped[DROPPED] += 1

    values.reverse()
    write_records(target, staying(), {**columns_of(shard), COLUMN: pa.float32()}, seen=counting.leave)
    return counting.counts


def _write_array(target: Path, array: npt.NDArray[Any]) -> None:
    with atomic_file(target) as file:
        np.save(file, array, allow_pickle=False)
