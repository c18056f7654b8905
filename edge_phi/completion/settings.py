"""How a completion is decoded: plain data, so that who only asks for one needs no engine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InvalidCall


@dataclass(frozen=True)
class DecodeSettings:
    """How tokens are chosen, and how many.

    Raises:
        InvalidCall: a value is out of range.
    """

    max_tokens: int = 64  # at least 1; what healing repeats is not counted
    temperature: float = 0.0  # 0 is greedy: the most probable token
    top_p: float = 1.0  # nucleus sampling (Holtzman et al. 2020): 0 < top_p <= 1
    # Of the most probable token's probability, what another must have (min-p sampling, Nguyen et al. 2024,
    # https://arxiv.org/abs/2407.01082), after the temperature: 0 <= min_p <= 1
    min_p: float = 0.0
    # Logits of tokens that were chosen before are divided by it, negative ones multiplied, greedy too (penalized
    # sampling, Keskar et al. 2019, https://arxiv.org/abs/1909.05858, which takes 1.2): more than 0. The prompt's tokens
    # are left alone, for code repeats its names.
    repetition_penalty: float = 1.0
    # From the call, the prompt's reading included; looked at after each token, so that one comes always.
    max_seconds: float = math.inf
    seed: int = 0  # of numpy's default generator; the same seed gives the same text
    # Text is settled only where the mean natural log-probability of its tokens is at least this; None settles all.
    min_logprob: float | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InvalidCall(f"max tokens is {self.max_tokens}: it must be 1 or more")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InvalidCall(f"temperature is {self.temperature}: it must be 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise InvalidCall(f"top-p is {self.top_p}: it must be more than 0 and at most 1")
        if not 0 <= self.min_p <= 1:
            raise InvalidCall(f"min-p is {self.min_p}: it must be at least 0 and at most 1")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise InvalidCall(
                f"repetition penalty is {self.repetition_penalty}: it must be more than 0; 1 changes nothing, 1.2 a lot"
            )
        if not self.max_seconds > 0:
            raise InvalidCall(f"max seconds is {self.max_seconds}: it must be more than 0")
        if self.seed < 0:
            raise InvalidCall(f"seed is {self.seed}: it must be 0 or more")
        if self.min_logprob is not None and not self.min_logprob <= 0:
            raise InvalidCall(f"min logprob is {self.min_logprob}: it must be 0 or less, as -1.5")


GREEDY = DecodeSettings()
