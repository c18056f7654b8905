"""Traces for a model whose weights are random: the text that is typed is what the model itself would write.

Such a model writes no code, so the text stands in a docstring, where any does. Two engines differ in the last bits of
their logits, which decides more often in a random model than in a trained one: what is typed is what both write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from keystroke_traces import Hand, Trace, common_characters

from edge_phi.completion.session import Session
from edge_phi.runtimes import open_tokenizer
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.runtimes.native import NativeRuntime
from edge_phi.store import Artifact

_TEXTS = 6
_TYPED = 160  # characters
_CONTEXT = 1500  # characters of a file before the docstring


def own_text_traces(traces: Sequence[Trace], artifact: Artifact, threads: int) -> list[Trace]:
    """A few traces, each with the beginning of one of `traces`' files."""
    tokenizer = open_tokenizer(artifact)
    runtimes = (NativeRuntime(artifact, threads=threads), LlamaCppRuntime(artifact, threads=threads))
    sessions = [Session(runtime, tokenizer, model=artifact.model, load_ms=0) for runtime in runtimes]
    made = []
    for seed, trace in enumerate(traces[:_TEXTS]):
        head = trace.text[:_CONTEXT].rpartition("\n")[0] + '\n\n\nTEXT = """\n'
        text = head
        while len(text) - len(head) < _TYPED:
            ours, theirs = (session.complete(text).text for session in sessions)
            text += (
                ours[: common_characters(ours, theirs)] or "the "
            )  # a place where neither goes on, or they differ at once
        hand = Hand(np.random.default_rng(seed))
        hand.type(text[len(head) :][:_TYPED])
        made.append(replace(trace, name=f"own-{seed}", text=head, cursor=len(head)))
        made[-1] = replace(made[-1], events=({"ms": 500, "move": len(head)}, *hand.events))
    for session in sessions:
        session.close()
    return made
