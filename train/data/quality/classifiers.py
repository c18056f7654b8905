"""What learns educational value from labels: a random forest as in the paper, and linear heads beside it.

Nothing learnt is written as code: whoever needs a classifier trains it from the labels' vectors, in a second or two,
with the same result each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .features import features_of

Floats = npt.NDArray[np.float32]
# What each looks at, and which head learns from it.
CLASSIFIERS = {
    "combined": (("embedding", "features"), "linear"),
    "forest": (("embedding",), "forest"),  # as published
    "linear": (("embedding",), "linear"),
    "features": (("features",), "linear"),  # needs no model, and a twenty-fifth of the time
}
DEFAULT = "combined"
_TREES = 200
_REGULARIZATION = (1e-3, 1e-2, 1e-1)  # C of sklearn's LogisticRegression: smaller is stronger
_FOLDS = 5


class Classifier(Protocol):
    """Tells how likely pieces have educational value."""

    def predict(self, vectors: Floats) -> Floats:
        """Probabilities, float32 [pieces], of vectors [pieces, width]."""
        ...


@dataclass(frozen=True)
class Samples:
    """Pieces of labelled texts.

    Attributes:
        vectors: float32 [pieces, width].
        labels: 0 or 1 [pieces], of the text a piece is of.
        weights: float32 [pieces]: its share of that text.
        groups: [pieces], of strings: pieces of one group stay together in cross-validation.
    """

    vectors: Floats
    labels: npt.NDArray[np.int64]
    weights: Floats
    groups: npt.NDArray[Any]

    def __getitem__(self, rows: npt.NDArray[Any]) -> Samples:
        return Samples(self.vectors[rows], self.labels[rows], self.weights[rows], self.groups[rows])


def vectors_of(texts: Sequence[str], classifier: str, *, model: Path | None = None) -> Floats:
    """What a classifier looks at: the mean of our model's last hidden states over a text's beginning, its properties.

    Args:
        texts: pieces.
        classifier: one of `CLASSIFIERS`.
        model: a checkpoint folder; the bundled model if None.

    Returns:
        float32 [texts, width].

    Raises:
        InvalidCall, InvalidFile: as `edge_phi.checkpoint.open_checkpoint`.
        MissingExtra: torch is not installed.
    """
    parts = []
    for looked_at in CLASSIFIERS[classifier][0]:
        if looked_at == "features":
            parts.append(features_of(texts))
        else:
            from ..embed import embed

            parts.append(embed(texts, model=model))
    return np.concatenate(parts, axis=1)


def train(classifier: str, samples: Samples) -> Classifier:
    """Learn from labelled pieces; the same pieces give the same classifier.

    A linear head's regularization is the one of the least log loss in cross-validation by groups.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    with threadpool_limits(1):  # sums in one order, whatever the machine
        return (_Forest if CLASSIFIERS[classifier][1] == "forest" else _Linear).train(samples)


def folds_of(samples: Samples, *, seed: int = 0) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Rows to train on and rows held out, five times or as often as there are groups, no group on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = [len(set(samples.groups[samples.labels == label].tolist())) for label in (0, 1)]
    splitter = StratifiedGroupKFold(min(_FOLDS, *groups), shuffle=True, random_state=seed)
    return [
        (rows, held_out)
        for rows, held_out in splitter.split(samples.vectors, samples.labels, samples.groups)
        if len(set(samples.labels[rows].tolist())) == 2
    ]


@dataclass(frozen=True)
class _Linear:
    """Logistic regression on standardized vectors."""

    coefficients: npt.NDArray[np.float64]
    intercept: float

    @classmethod
    def train(cls, samples: Samples) -> _Linear:
        folds = folds_of(samples)
        losses = {c: sum(cls._loss(c, samples, *fold) for fold in folds) for c in _REGULARIZATION}
        return cls._fit(min(losses, key=losses.__getitem__), samples)

    def predict(self, vectors: Floats) -> Floats:
        """Probabilities, float32 [pieces], of vectors [pieces, width]."""
        # Row by row, so that a piece's probability does not depend on its neighbours.
        logits = np.array([float(row @ self.coefficients) for row in vectors.astype(np.float64)]) + self.intercept
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -50, 50))), dtype=np.float32)

    @classmethod
    def _fit(cls, c: float, samples: Samples) -> _Linear:
        from sklearn.linear_model import LogisticRegression

        vectors = samples.vectors.astype(np.float64)
        mean, scale = vectors.mean(axis=0), vectors.std(axis=0)
        scale[scale < 1e-9] = 1.0  # a property that never varies tells nothing
        head = LogisticRegression(C=c, solver="newton-cholesky", max_iter=200)
        head.fit((vectors - mean) / scale, samples.labels, samples.weights)
        coefficients = head.coef_[0] / scale
        return cls(coefficients, float(head.intercept_[0] - mean @ coefficients))

    @classmethod
    def _loss(cls, c: float, samples: Samples, rows: npt.NDArray[Any], held_out: npt.NDArray[Any]) -> float:
        probabilities = cls._fit(c, samples[rows]).predict(samples.vectors[held_out]).astype(np.float64)
        right = np.where(samples.labels[held_out] == 1, probabilities, 1 - probabilities)
        return float(-(samples.weights[held_out] * np.log(np.maximum(right, 1e-12))).sum())


@dataclass(frozen=True)
class _Forest:
    """Two hundred trees, whose share of votes is the probability."""

    forest: Any

    @classmethod
    def train(cls, samples: Samples) -> _Forest:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(_TREES, random_state=0, n_jobs=1)
        return cls(forest.fit(samples.vectors, samples.labels, samples.weights))

    def predict(self, vectors: Floats) -> Floats:
        """Probabilities, float32 [pieces], of vectors [pieces, width]."""
        if not len(vectors):
            return np.zeros(0, dtype=np.float32)
        return np.asarray(self.forest.predict_proba(vectors)[:, 1], dtype=np.float32)
