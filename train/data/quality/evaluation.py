"""How well classifiers tell educational value, on modules they have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .classifiers import Classifier, Floats, Samples, folds_of, train

_BINS = 10
_REPEATS = (0, 1, 2)  # seeds of the folds


@dataclass(frozen=True)
class Bin:
    """Texts whose probability is in one tenth of the scale: in a calibrated classifier both numbers agree."""

    texts: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Scores:
    """Of cross-validation by groups, the mean over three ways of folding; calibration from the first of them.

    Precision, recall and F1 are of label 1 at a probability of 0.5. The Brier score is the mean squared difference of
    probability and label: 0.25 for a coin.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float
    average_precision: float
    brier: float
    calibration: tuple[Bin, ...]


def cross_validate(classifier: str, samples: Samples, texts: npt.NDArray[np.int64]) -> Scores:
    """Train on four fifths of the groups, judge the rest, five times; three times over.

    Args:
        classifier: one of `CLASSIFIERS`.
        samples: pieces, with the vectors of that classifier.
        texts: [pieces], the number of the text each is of.
    """
    runs = [_by_text(held_out(classifier, samples, seed=seed), samples, texts) for seed in _REPEATS]
    each = [_measured(*run) for run in runs]
    means = {name: float(np.mean([scores[name] for scores in each])) for name in each[0]}
    return Scores(**means, calibration=_bins(*runs[0]))


def held_out(classifier: str, samples: Samples, *, seed: int) -> Floats:
    """Each piece's probability by a classifier that was trained without its group; NaN if no fold held it out."""
    probabilities = np.full(len(samples.labels), np.nan, dtype=np.float32)
    for rows, held in folds_of(samples, seed=seed):
        trained: Classifier = train(classifier, samples[rows])
        probabilities[held] = trained.predict(samples.vectors[held])
    return probabilities


def majority(labels: npt.NDArray[np.int64]) -> float:
    """The accuracy of always giving the commoner label."""
    return float(max(np.mean(labels), 1 - np.mean(labels)))


def _by_text(
    probabilities: Floats, samples: Samples, texts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Probability and label of every text whose pieces were held out."""
    known = ~np.isnan(probabilities)
    count = int(texts.max()) + 1
    weights = np.bincount(texts[known], samples.weights[known], count)
    sums = np.bincount(texts[known], (samples.weights * probabilities)[known], count)
    labels = np.zeros(count, dtype=np.int64)
    labels[texts] = samples.labels
    there = weights > 0
    return sums[there] / weights[there], labels[there]


def _measured(values: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> Mapping[str, float]:
    from sklearn import metrics

    said = values >= 0.5
    return {
        "accuracy": float(np.mean(said == labels)),
        "precision": float(metrics.precision_score(labels, said, zero_division=0.0)),
        "recall": float(metrics.recall_score(labels, said)),
        "f1": float(metrics.f1_score(labels, said)),
        "roc_auc": float(metrics.roc_auc_score(labels, values)),
        "average_precision": float(metrics.average_precision_score(labels, values)),
        "brier": float(np.mean((values - labels) ** 2)),
    }


def _bins(values: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> tuple[Bin, ...]:
    numbers = np.minimum((values * _BINS).astype(np.int64), _BINS - 1)
    rows = [np.flatnonzero(numbers == number) for number in range(_BINS)]
    return tuple(Bin(len(row), float(values[row].mean()), float(labels[row].mean())) for row in rows if len(row))
