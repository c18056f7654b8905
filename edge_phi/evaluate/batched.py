"""Many texts at once in PyTorch, on a GPU where there is one: what sampling needs.

Rows of a batch are prompts padded on the left. Each prompt is read once, however many samples of it are wanted;
finished rows leave the batch. Random numbers are each text's own, as in `generate`, but a batch's arithmetic rounds
otherwise than a single row's: greedy texts drift with the batch size, so greedy scores are made one by one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checkpoint import open_checkpoint
from ..completion.confidence import Confidence
from ..completion.decode import DecodeSettings, choose, logprob, penalized
from ..completion.stops import judge
from ..errors import MissingExtra
from ..store import Artifact
from ..tokenizer import TextStream, Tokenizer
from .generate import PROMPT_TOO_LONG, Ask, Generated, text_of, text_seed
from .stop_rules import StopRules


class BatchModel:
    """A checkpoint in float32 through PyTorch, several sequences at a time."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        """Load `artifact`, of format "safetensors", onto the GPU if PyTorch sees one.

        Raises:
            InvalidCall: no checkpoint there.
            InvalidFile: it is damaged, or not a Phi model.
            MissingExtra: PyTorch or transformers is not installed.
        """
        checkpoint = open_checkpoint(artifact.path)
        try:
            import torch
            from transformers import DynamicCache

            from ..runtimes.torch import build_model
        except ImportError as error:
            raise MissingExtra(
                "writing in batches needs torch and transformers: run pip install 'edge-phi[train]'"
            ) from error
        self._torch: Any = torch
        self._new_cache = DynamicCache
        torch.set_num_threads(threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model: Any = build_model(checkpoint).to(self._device)
        self.context_length = checkpoint.config.max_position_embeddings
        self._mask: Any = None
        self._cache: Any = None
        self._positions: Any = None

    def read(self, prompts: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Begin a batch with prompts of any lengths; logits after each, float32 [prompts, vocabulary]."""
        torch = self._torch
        longest = max(map(len, prompts))
        tokens = torch.zeros((len(prompts), longest), dtype=torch.long)
        mask = torch.zeros((len(prompts), longest), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            tokens[row, longest - len(prompt) :] = torch.tensor(list(prompt))
            mask[row, longest - len(prompt) :] = 1
        self._cache = self._new_cache()
        self._mask = mask.to(self._device)
        self._positions = self._mask.sum(dim=1)
        return self._forward(tokens.to(self._device), (self._mask.cumsum(dim=1) - 1).clamp(min=0))

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows of the batch, any of them more than once."""
        index = self._torch.tensor(list(rows), device=self._device)
        self._cache.batch_select_indices(index)
        self._mask = self._mask[index]
        self._positions = self._positions[index]

    def extend(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Append a token to each row; logits after each, float32 [rows, vocabulary]."""
        torch = self._torch
        new = torch.tensor(list(tokens), device=self._device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(new)], dim=1)
        logits = self._forward(new, self._positions[:, None])
        self._positions = self._positions + 1
        return logits

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        self._model = self._cache = self._mask = self._positions = None

    def _forward(self, tokens: Any, positions: Any) -> npt.NDArray[np.float32]:
        with self._torch.inference_mode():
            output = self._model(
                input_ids=tokens,
                attention_mask=self._mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: npt.NDArray[np.float32] = output.logits[:, -1].float().cpu().numpy()
        return logits


def generate_batched(
    model: BatchModel,
    tokenizer: Tokenizer,
    asks: Sequence[Ask],
    settings: DecodeSettings,
    stops: StopRules,
    *,
    batch: int,
) -> Iterator[tuple[Ask, Generated]]:
    """Write `batch` texts at a time. A text depends on the model, its prompt, its seed and, by rounding, on its batch.

    Raises:
        EdgePhiError: the model fails.
    """
    for first in range(0, len(asks), batch):
        start = time.perf_counter()
        rows = [_Row(ask, tokenizer, settings, stops) for ask in asks[first : first + batch]]
        fitting = [row for row in rows if len(row.prompt) < model.context_length]
        if fitting:
            _write(model, fitting, tokenizer)
        share = (time.perf_counter() - start) / len(rows)
        for row in rows:
            text = text_of(tokenizer, row.tokens)
            yield row.ask, Generated(text, row.finish or PROMPT_TOO_LONG, len(row.tokens), share)


def _write(model: BatchModel, rows: list[_Row], tokenizer: Tokenizer) -> None:
    """Write all of `rows` to their ends."""
    prompts = list(dict.fromkeys(row.prompt for row in rows))
    logits = model.read(prompts)
    place = [prompts.index(row.prompt) for row in rows]
    model.keep(place)
    logits, active = logits[place], rows
    while True:
        for row, of_row in zip(active, logits, strict=True):
            row.take(of_row[: tokenizer.vocab_size], model.context_length)
        going = [number for number, row in enumerate(active) if not row.finish]
        if not going:
            return
        if len(going) < len(active):
            model.keep(going)
            active = [active[number] for number in going]
        logits = model.extend([row.tokens[-1] for row in active])


class _Row:
    """One text on its way."""

    def __init__(self, ask: Ask, tokenizer: Tokenizer, settings: DecodeSettings, stops: StopRules) -> None:
        self.ask = ask
        self.prompt = (*tokenizer.starts, *tokenizer.encode(ask.prompt))
        self.tokens: list[int] = []
        self.finish = ""
        self._stream, self._ends = TextStream(tokenizer), tokenizer.ends
        self._rules, self._text = (stops.rule(ask.prompt),), ""
        self._settings, self._random = settings, np.random.default_rng(text_seed(settings.seed, ask))
        self._confidence = Confidence(settings.min_logprob)
        self._start = time.perf_counter()

    def take(self, logits: npt.NDArray[np.float32], context_length: int) -> None:
        """Add the token that `logits` (float32 [vocabulary]) give, and find out whether the text ends with it.

        How it is chosen and why a text ends are as in `decode`.
        """
        settings = self._settings
        likely = penalized(logits, self.tokens, settings.repetition_penalty)
        token = choose(likely, None, settings, self._random)
        if settings.min_logprob is not None:
            self._confidence.add(logprob(logits, None, token))
        self.tokens.append(token)
        ended = token in self._ends
        self._text += self._stream.finish() if ended else self._stream.push(token)
        # As in `decode`, the last token is not in the cache.
        late = time.perf_counter() - self._start >= settings.max_seconds
        full = late or len(self.tokens) == settings.max_tokens or len(self.prompt) + len(self.tokens) > context_length
        stopped = judge(self._rules, self._text, ended=ended or full).stop
        over = ended or stopped or full
        if self._confidence.lost or (over and not self._confidence.sure):
            self.finish = "unsure"
        elif over:
            self.finish = "end" if ended else "stop" if stopped else "time" if late else "length"
