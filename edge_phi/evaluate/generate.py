"""What a model writes after a prompt, on any runtime, one text at a time.

A text depends on the model, the prompt and its seed alone: not on what was written before it, nor on how many samples
are asked for. So a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..completion.decode import DecodeSettings, decode
from ..runtimes import Runtime
from ..tokenizer import Tokenizer
from .stop_rules import StopRules

PROMPT_TOO_LONG = "prompt_too_long"  # it leaves no room in the model's context: the model wrote nothing


@dataclass(frozen=True)
class Ask:
    """One text to be written."""

    task_id: str
    sample: int  # 0, 1, ...
    prompt: str


@dataclass(frozen=True)
class Generated:
    """What the model wrote, before anything was cut."""

    text: str  # bytes that are not UTF-8 as U+FFFD
    finish: str  # as in `edge_phi.completion.decode`, or PROMPT_TOO_LONG
    tokens: int
    seconds: float  # reading the prompt included where it was read for this text; of a batch: its share


def generate(
    runtime: Runtime, tokenizer: Tokenizer, asks: Iterable[Ask], settings: DecodeSettings, stops: StopRules
) -> Iterator[tuple[Ask, Generated]]:
    """Write one text after another. Texts of one prompt that follow each other read it once.

    Raises:
        EdgePhiError: the model fails.
    """
    read: list[int] = []
    for ask in asks:
        start = time.perf_counter()
        prompt = [*tokenizer.starts, *tokenizer.encode(ask.prompt)]
        if len(prompt) >= runtime.info.context_length:
            yield ask, Generated("", PROMPT_TOO_LONG, 0, 0.0)
            continue
        # The last token is read anew for each text, so that the first text of a prompt is no different from the rest.
        if prompt != read:
            runtime.rewind(0)
            if len(prompt) > 1:
                runtime.extend(prompt[:-1])
            read = prompt
        else:
            runtime.rewind(len(prompt) - 1)
        tokens: list[int] = []
        decoding = decode(
            runtime,
            prompt[-1:],
            tokenizer,
            replace(settings, seed=text_seed(settings.seed, ask)),
            stops=(stops.rule(ask.prompt),),
        )
        while True:
            try:
                tokens.append(next(decoding).token)
            except StopIteration as ended:
                finish: str = ended.value
                break
        yield ask, Generated(text_of(tokenizer, tokens), finish, len(tokens), time.perf_counter() - start)


def text_seed(seed: int, ask: Ask) -> int:
    """The seed of one text's random numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed} {ask.task_id} {ask.sample}".encode()).digest()[:8], "big")


def text_of(tokenizer: Tokenizer, tokens: list[int]) -> str:
    """The text of what was decoded; the token that ended it has none."""
    return tokenizer.decode([token for token in tokens if token not in tokenizer.ends])
