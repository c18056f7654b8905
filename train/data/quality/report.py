"""How well educational value is told, and what that did to a corpus: for people to read before they trust it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_phi.atomic import write_bytes
from edge_phi.errors import InvalidCall, InvalidFile

from ..records import read_records, shards_of
from ..steps import Say, read_manifest
from .classifiers import CLASSIFIERS, Floats, Samples
from .evaluation import Scores, cross_validate, majority
from .features import FEATURES, features_of
from .labels import read_labels
from .pieces import MOST_TO_LEARN_FROM, pieces_of
from .step import LEARNT, SCORES, groups_of, read_samples, read_scores

_EXAMPLES = 20
_EXCERPT = 900  # characters


@dataclass(frozen=True)
class Document:
    """A judged document to look at."""

    id: str
    quality: float
    tokens: int
    excerpt: str


@dataclass(frozen=True)
class Report:
    """What there is to read.

    Attributes:
        classifier: that judged.
        threshold: from which on it kept.
        labelled: texts, by label.
        majority: the accuracy of always giving the commoner label.
        scores: by classifier; "length" knows the size alone, "shuffled labels" learnt from labels dealt at random.
        qualities: documents in each hundredth of the scale.
        kept: documents from the best to the last that stayed.
        dropped: documents from the best that went to the worst.
    """

    classifier: str
    threshold: float
    labelled: dict[str, int]
    majority: float
    scores: dict[str, Scores]
    qualities: list[int]
    kept: tuple[Document, ...]
    dropped: tuple[Document, ...]


def report(source: Path, out: Path, page: Path, *, labels: Path | None = None, say: Say) -> Report:
    """Write an HTML page with everything in it, and the same as JSON without the documents' beginnings.

    Args:
        source: the shards that `quality` read.
        out: those it wrote.
        page: the .html; the .json beside it has the same name.
        labels: as `quality` was given.
        say: told one line now and then.

    Raises:
        InvalidCall: `quality` has not finished there, or with other labels.
        InvalidFile: damaged files.
        EdgePhiError: the disk is full or not writable.
    """
    from .page import written

    settings = read_manifest(out).get("settings", {})
    read = read_labels(labels)
    if settings.get("labels") != read.digest:
        raise InvalidCall(
            f"{out}: was not made with these labels: give the same labels, or run 'edge-phi data quality'"
        )
    classifier, threshold = str(settings["classifier"]), float(settings["threshold"])
    samples = read_samples(out / ".work" / LEARNT, groups_of(read))
    pieces = [
        (number, piece.text)
        for number, each in enumerate(read.examples)
        for piece in pieces_of(each.text, MOST_TO_LEARN_FROM)
    ]
    texts = np.array([number for number, _ in pieces])
    found = _scores(classifier, samples, texts, features_of([text for _, text in pieces]), say)
    shards = shards_of(source)
    rows = [read_scores(out / ".work" / SCORES / f"{number:05}.npy") for number in range(len(shards))]
    values = np.concatenate([row["quality"] for row in rows])
    judged = values[values >= 0]
    kept, dropped = _examples(shards, values, threshold)
    labelled = np.array([each.label for each in read.examples])
    made = Report(
        classifier,
        threshold,
        {"1": int(labelled.sum()), "0": int(len(labelled) - labelled.sum())},
        majority(labelled),
        found,
        np.histogram(judged, bins=100, range=(0, 1))[0].tolist(),
        kept,
        dropped,
    )
    write_bytes(page.with_suffix(".json"), json.dumps(_without_texts(made), indent=1).encode())
    write_bytes(page, written(made).encode())
    return made


def _scores(
    classifier: str, samples: Samples, texts: npt.NDArray[np.int64], features: Floats, say: Say
) -> dict[str, Scores]:
    """Of every classifier that what was learnt from is enough for, and of two that should be worse."""
    looked_at = {"features": features}
    if "embedding" in CLASSIFIERS[classifier][0]:
        with_features = "features" in CLASSIFIERS[classifier][0]
        looked_at["embedding"] = samples.vectors[:, : -len(FEATURES)] if with_features else samples.vectors
    found: dict[str, Scores] = {}
    for name, (parts, _) in CLASSIFIERS.items():
        if all(part in looked_at for part in parts):
            say(f"quality: cross-validating {name}")
            vectors = np.concatenate([looked_at[part] for part in parts], axis=1)
            found[name] = cross_validate(name, replace(samples, vectors=vectors), texts)
    found["length"] = cross_validate("features", replace(samples, vectors=features[:, :1]), texts)
    dealt = np.zeros(int(texts.max()) + 1, dtype=np.int64)
    dealt[texts] = samples.labels
    shuffled = np.random.default_rng(0).permutation(dealt)[texts]
    found["shuffled labels"] = cross_validate(classifier, replace(samples, labels=shuffled), texts)
    return found


def _examples(
    shards: Sequence[Path], values: npt.NDArray[Any], threshold: float
) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """Twenty of what stayed and of what went, evenly from the best to the worst of each."""
    best_first = np.argsort(-values, kind="stable")
    sides = [
        _evenly(best_first[values[best_first] >= threshold]),
        _evenly(best_first[(values[best_first] < threshold) & (values[best_first] >= 0)]),
    ]
    wanted = {int(row) for side in sides for row in side}
    found: dict[int, Document] = {}
    row = 0
    for shard in shards:
        for record in read_records(shard, added=[]):
            if row in wanted:
                excerpt = record.text[:_EXCERPT]
                found[row] = Document(record.id, round(float(values[row]), 4), record.tokens, excerpt)
            row += 1
    if row != len(values):
        raise InvalidFile(f"{shards[0].parent}: has changed since it was judged: run 'edge-phi data quality' again")
    kept, dropped = (tuple(found[int(each)] for each in side) for side in sides)
    return kept, dropped


def _evenly(rows: npt.NDArray[Any]) -> list[int]:
    if len(rows) <= _EXAMPLES:
        return [int(row) for row in rows]
    return [int(rows[i * (len(rows) - 1) // (_EXAMPLES - 1)]) for i in range(_EXAMPLES)]


def _without_texts(made: Report) -> dict[str, Any]:
    value = asdict(made)
    for side in ("kept", "dropped"):
        value[side] = [{name: each[name] for name in ("id", "quality", "tokens")} for each in value[side]]
    return value
