"""What completing gives, as plain data: who only shows it needs no engine for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The model ended the text; a stop rule did; the tokens, the context or the time were used up; the model was less sure
# of its text than asked; the caller cancelled.
Finish = Literal["end", "stop", "length", "time", "unsure", "cancelled"]


@dataclass(frozen=True)
class Step:
    """One decoded token and the text that is settled with it: never a part of a character, never what is cut later."""

    token: int
    text: str  # possibly empty; all steps' texts joined are the completion
    time_ns: int  # time.perf_counter_ns when the token was chosen


@dataclass(frozen=True)
class Timing:
    """What a suggestion took."""

    load_ms: float  # of the session's model and tokenizer, once
    ttft_ms: float | None  # from the call to the first token that is more than what was typed; None if none came
    total_ms: float  # from the call to the end
    decode_tokens_per_s: float | None  # after the first token; None with fewer than two
    prompt_tokens: int
    cached_tokens: int  # how many of the prompt's tokens the model had read before
    prefill_ms: float | None = None  # from the call to the first token of all, which may repeat what was typed


@dataclass(frozen=True)
class Suggestion:
    """What the model would write at the cursor."""

    text: str  # with the newlines at the cursor; as the model wrote it, so not yet fit for a terminal
    tokens: int  # decoded, those included that were cut or only repeated what was typed
    finish: Finish
    model: str
    runtime: str  # the engine: "onnx", "llama_cpp" or "torch"
    quant: str
    timing: Timing
