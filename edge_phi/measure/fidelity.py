"""How far a quantized model's predictions are from full precision's, token by token on the same text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import EdgePhiError, InvalidCall
from ..runtimes import Runtime, open_runtime
from ..store import Artifact
from .held_out import Windows

_PIECE = 64  # tokens at once: with 51,200 ids, two models' float64 log-probabilities take 52 MB


@dataclass(frozen=True)
class Fidelity:
    """One form of a model against full precision.

    Attributes:
        perplexity: exp of the mean negative log-likelihood of each next token, in nats.
        baseline_perplexity: the same of full precision.
        kl_mean: KL divergence of the form's distribution of the next token from full precision's, sum p ln(p / q) with
            p full precision's, in nats, the mean over positions.
        kl_p99: its 99th percentile over positions.
        top1: share of positions where both find the same token the likeliest.
        positions: how many were compared: all but the last of each window.
    """

    perplexity: float
    baseline_perplexity: float
    kl_mean: float
    kl_p99: float
    top1: float
    positions: int


def fidelity(
    artifact: Artifact,
    baseline: Artifact,
    windows: Windows,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Fidelity:
    """Load both forms and compare what they predict after every token of every window.

    Memory is that of both models and of a few megabytes of logits, however many windows there are.

    Args:
        artifact: the form in question.
        baseline: full precision.
        windows: int32 [windows, tokens], as `held_out_windows` gives them; each is read from an empty cache.
        threads: as for `open_runtime`.
        progress: told how many windows are done, after each.

    Raises:
        InvalidCall: the two have different vocabularies, or a window does not fit a context.
        MissingExtra: an engine is not installed.
        InvalidFile: an artifact is damaged.
        EdgePhiError: logits that are not finite numbers.
    """
    full = open_runtime(baseline, threads=threads)
    try:
        ours = open_runtime(artifact, threads=threads)
        try:
            return compare_runtimes(ours, full, windows, progress=progress)
        finally:
            ours.close()
    finally:
        full.close()


def compare_runtimes(
    runtime: Runtime, baseline: Runtime, windows: Windows, *, progress: Callable[[int], None] | None = None
) -> Fidelity:
    """`fidelity` of two that are loaded; what their caches held is forgotten."""
    if runtime.info.vocab_size != baseline.info.vocab_size:
        raise InvalidCall(
            f"vocabularies of {runtime.info.vocab_size} and {baseline.info.vocab_size} tokens: "
            "compare two forms of the same model"
        )
    divergences: list[npt.NDArray[np.float64]] = []
    likelihood = full_likelihood = 0.0
    agreeing = 0
    for done, window in enumerate(windows.tolist(), 1):
        runtime.rewind(0)
        baseline.rewind(0)
        inputs, targets = window[:-1], np.array(window[1:])
        for start in range(0, len(inputs), _PIECE):
            piece = inputs[start : start + _PIECE]
            ours = _log_probabilities(runtime, piece)
            full = _log_probabilities(baseline, piece)
            rows, following = np.arange(len(piece)), targets[start : start + _PIECE]
            likelihood += float(ours[rows, following].sum())
            full_likelihood += float(full[rows, following].sum())
            agreeing += int((ours.argmax(axis=1) == full.argmax(axis=1)).sum())
            divergences.append(_divergence(full, ours))
        if progress:
            progress(done)
    kl = np.concatenate(divergences)
    return Fidelity(
        perplexity=math.exp(-likelihood / len(kl)),
        baseline_perplexity=math.exp(-full_likelihood / len(kl)),
        kl_mean=float(kl.mean()),
        kl_p99=float(np.percentile(kl, 99)),
        top1=agreeing / len(kl),
        positions=len(kl),
    )


def _log_probabilities(runtime: Runtime, tokens: list[int]) -> npt.NDArray[np.float64]:
    """Natural logarithms of the probabilities after each token: float64 [tokens, vocabulary]."""
    logits = runtime.extend(tokens, all_logits=True).astype(np.float64)
    if not np.isfinite(logits).all():
        raise EdgePhiError(
            f"{runtime.info.engine} {runtime.info.quant}: its logits are not finite numbers: convert it again"
        )
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """KL divergence of q from p in nats, both as log-probabilities: float64 [rows]."""
    divergence: npt.NDArray[np.float64] = np.einsum("ij,ij->i", np.exp(p), p - q)
    return divergence
