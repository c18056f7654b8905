"""What came back, checked: an answer is whatever a stranger sends until it has been through here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

MAX_TOKENS = 1 << 31  # more than that no answer has used
# Control characters other than tab and line feed, halves of surrogate pairs, and what reorders the text on a screen.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


class Unusable(Exception):
    """An answer came and cannot be used; the message says why."""


@dataclass(frozen=True)
class Usage:
    """Tokens of a prompt and of what was made of it."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt + other.prompt, self.completion + other.completion)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.prompt - other.prompt, self.completion - other.completion)


@dataclass(frozen=True)
class Answer:
    """What the model said.

    Attributes:
        text: its words, lines ended by a line feed; may hold what `defect` names.
        truncated: it was stopped by `max_tokens`, not by itself.
        usage: what the server says it took; None if it does not say, or says nonsense.
    """

    text: str
    truncated: bool
    usage: Usage | None

    @property
    def defect(self) -> str | None:
        """Why the text is no text to keep, or None."""
        if not self.text.strip():
            return "empty answer"
        if _UNFIT.search(self.text):
            return "control characters or broken Unicode"
        return None


def read_answer(body: bytes) -> Answer:
    """The answer in the body of a response.

    Raises:
        Unusable: the body is not what OpenAI's chat completions return.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable("not JSON") from None
    try:
        choice = value["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise Unusable("JSON without choices[0].message.content") from None
    if not isinstance(text, str):
        raise Unusable("an answer without text")
    usage = value.get("usage")
    prompt, completion = (_tokens(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    return Answer(
        text.replace("\r\n", "\n").replace("\r", "\n"),
        choice.get("finish_reason") == "length",
        None if prompt is None or completion is None else Usage(prompt, completion),
    )


def _tokens(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < MAX_TOKENS else None
