"""Secrets in texts: private keys, the tokens of well-known services, and passwords written into code.

A text that holds one is not trained on: a model may recite it. The services' tokens have fixed beginnings and
lengths, which their makers document so that they can be found; a beginning that is absent costs one substring search.
A quoted string that is given to a name such as `password` or `api_key` counts if it looks drawn at random.
"""

from __future__ import annotations

import math
import re
from collections import Counter

_END = r"(?![A-Za-z0-9_-])"
# What a token must hold, and what it looks like from there. Bounded repetition alone: hostile text must not be slow.
_TOKENS = [
    ("-----BEGIN ", r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!--)){0,200}?[A-Za-z0-9+/=]{40}"),
    ("AKIA", r"(?<![A-Za-z0-9])AKIA[A-Z2-7]{16}(?![A-Za-z0-9])"),  # Amazon Web Services, and temporary keys
    ("ASIA", r"(?<![A-Za-z0-9])ASIA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    ("AIza", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}" + _END),  # Google
    ("GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}" + _END),
    ("ghp_", r"ghp_[A-Za-z0-9]{36}" + _END),  # GitHub
    ("gho_", r"gho_[A-Za-z0-9]{36}" + _END),
    ("ghs_", r"ghs_[A-Za-z0-9]{36}" + _END),
    ("ghu_", r"ghu_[A-Za-z0-9]{36}" + _END),
    ("github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}" + _END),
    ("glpat-", r"glpat-[A-Za-z0-9_-]{20}" + _END),  # GitLab
    ("xox", r"xox[abeoprs]-(?:[0-9]{8,14}-){1,3}[A-Za-z0-9-]{20,80}" + _END),  # Slack
    ("hooks.slack.com", r"hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}" + _END),
    ("_live_", r"(?<![A-Za-z0-9])[rs]k_live_[A-Za-z0-9]{24,99}" + _END),  # Stripe
    ("sk-", r"(?<![A-Za-z0-9-])sk-(?:proj-|ant-[a-z0-9]{2,6}-)?[A-Za-z0-9_-]{40,180}" + _END),  # OpenAI, Anthropic
    ("hf_", r"(?<![A-Za-z0-9_])hf_[A-Za-z]{34}" + _END),  # Hugging Face
    ("npm_", r"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}" + _END),
    ("pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,250}"),
    ("SG.", r"(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}" + _END),  # SendGrid
    ("dop_v1_", r"dop_v1_[0-9a-f]{64}" + _END),  # DigitalOcean
    (":AA", r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}" + _END),  # Telegram
    ("AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),  # Azure
    ("eyJ", r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{17,400}\.eyJ[A-Za-z0-9_-]{17,800}\.[A-Za-z0-9_-]{27,400}" + _END),
]
_PATTERNS = [(beginning, re.compile(pattern)) for beginning, pattern in _TOKENS]
_PLACEHOLDER = re.compile(
    r"example|sample|dummy|fake|placeholder|redacted|your|test|(.)\1{5}|0123456|1234567|abcdef", re.I
)
_NAMES = ("secret", "token", "passw", "apikey", "api_key", "accesskey", "access_key", "authkey", "auth_key")
_NAMED = re.compile(
    r"(?:secret|token|passw(?:or)?d|api_?key|access_?key|auth_?key)\w{0,20}[\"']?\]?\s{0,3}"
    r"(?::\s?[\w.]{1,20}\s?=|[:=])\s{0,3}$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"([\"'])([A-Za-z0-9+/=_-]{20,100})\1")
_BITS = 3.5  # a character; English words in snake_case reach 3.4 at these lengths, random base64 passes 4


def holds_secret(text: str) -> bool:
    """Whether a text holds something that opens a door, as far as its form tells. Placeholders do not."""
    for beginning, pattern in _PATTERNS:
        if beginning in text and any(not _PLACEHOLDER.search(found[0]) for found in pattern.finditer(text)):
            return True
    lower = text.lower()
    return any(name in lower for name in _NAMES) and any(
        _looks_random(found[2]) and _NAMED.search(text[max(0, found.start() - 60) : found.start()])
        for found in _QUOTED.finditer(text)
    )


def _looks_random(value: str) -> bool:
    """Many distinct characters, digits among letters, and those in both cases or all hexadecimal."""
    digits = sum(map(str.isdigit, value))
    if digits < 3 or digits == len(value) or _PLACEHOLDER.search(value):
        return False
    hexadecimal = len(value) >= 32 and re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", value) is not None
    mixed = any(map(str.isupper, value)) and any(map(str.islower, value))
    return (hexadecimal and _entropy(value) > 3) or (mixed and _entropy(value) > _BITS)


def _entropy(value: str) -> float:
    """Shannon's, in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
