"""What is asked, of whom: the parts of a request that decide its answer, and the key its answer is kept under."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from edge_phi.errors import InvalidCall

_TEMPLATE_TOKENS = 64  # what a chat template may add to the messages


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's chat completions, and how to treat it.

    Attributes:
        url: its base, as http://localhost:8000/v1; without user, password, query or fragment.
        model: the name it knows the model by.
        concurrency: requests at a time.
        timeout_s: seconds for one answer, from the first byte sent to the last one read.
        patience_s: seconds to go on trying while the server is away, overloaded or failing.

    Raises:
        InvalidCall: one of them cannot be.
    """

    url: str
    model: str
    concurrency: int = 4
    timeout_s: float = 300.0
    patience_s: float = 600.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise InvalidCall("--endpoint: not a URL: write its base, as http://localhost:8000/v1")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise InvalidCall(
                "--endpoint: holds more than host and path: write its base alone; a key goes to EDGE_PHI_ENDPOINT_KEY"
            )
        if not self.model:
            raise InvalidCall("--model: empty: give the name that the endpoint knows the model by")
        if self.concurrency < 1 or not 0 < self.timeout_s < 1e6 or not 0 <= self.patience_s < 1e7:
            raise InvalidCall("--concurrency and --timeout take a number above 0, --patience one of at least 0")

    @property
    def completions_url(self) -> str:
        """Where requests go."""
        return self.url.rstrip("/") + "/chat/completions"


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes:
        messages: pairs of role and content.
        temperature: 0 for the likeliest answer.
        max_tokens: of the answer.
        sample: which of several answers to the same question; sent as the seed.
    """

    messages: tuple[tuple[str, str], ...]
    temperature: float
    max_tokens: int
    sample: int = 0

    def body(self, model: str) -> dict[str, Any]:
        """The JSON object of OpenAI's chat completions."""
        return {
            "model": model,
            "messages": [{"role": role, "content": content} for role, content in self.messages],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.sample,
        }

    def key(self, model: str) -> str:
        """The sha256, in hexadecimal, of everything in the body: who is asked what, how, and which time."""
        return hashlib.sha256(json.dumps(self.body(model), sort_keys=True).encode()).hexdigest()

    @property
    def prompt_bound(self) -> int:
        """Tokens that the messages are at most: no byte-level vocabulary makes more tokens than there are bytes."""
        return sum(len(content.encode()) + _TEMPLATE_TOKENS for _, content in self.messages)
