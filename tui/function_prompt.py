"""From "write a function that ..." to what a phi model continues: a signature and a docstring.

phi-1's models were trained on functions that say in a docstring what they do, so a request in words becomes one. The
model gives the function its name and parameters first, after the request as a comment; then it writes the body below
that signature and the docstring.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass

_PREAMBLE = re.compile(
    r"^(?:please\s+)?(?:write|create|make|implement|define|give)?\s*(?:me\s+)?(?:an?|the)?\s*(?:new\s+)?(?:python\s+)?"
    r"(?:function|method)\s*(?:that|which|to|for|:)?\s*",
    re.IGNORECASE,
)
_WIDTH = 100  # of a docstring's line
_STEP = "    "
_NAME_WORDS = 4
_SMALL_WORDS = frozenset(
    ["a", "an", "and", "are", "as", "at", "by", "for", "from", "if", "in", "into", "is", "it", "its", "of", "on", "or"]
).union(["that", "the", "then", "to", "with"])


@dataclass(frozen=True)
class Place:
    """Where a function is to stand."""

    before: str  # all the text before the cursor
    lead: str  # what has to come between that and `def`
    indentation: str


def place_of(before: str) -> Place:
    """At the cursor where its line is blank so far, else below the line, at its left edge."""
    line = before[before.rfind("\n") + 1 :]
    if not line.strip():
        return Place(before, "", line)
    return Place(before, "\n\n\n", "")


def docstring_of(request: str) -> str:
    """The request as the first line of a docstring: "write a function that adds two numbers" is "Add two numbers."."""
    words = _PREAMBLE.sub("", " ".join(request.split())).rstrip(" .!?")
    verb, _, rest = (words or " ".join(request.split())).partition(" ")
    text = f"{_imperative(verb)} {rest}".strip()
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    text = text[:1].upper() + text[1:]
    return f"{text}."


def signature_prompt(place: Place, docstring: str) -> str:
    """What the model continues with the function's name and parameters."""
    return f"{place.before}{place.lead}# {docstring}\n{place.indentation}def "


def signature_of(answer: str, docstring: str) -> str:
    """The signature, from "def" to the colon, in what the model wrote; else one of the docstring's words."""
    line = answer.split("\n", 1)[0].strip()
    signature = f"def {line}" if line.endswith(":") else f"def {line.rpartition(':')[0]}:"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ast.parse(f"{signature}\n    pass\n").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = []
    if len(found) == 1 and isinstance(found[0], ast.FunctionDef):
        return signature
    return f"def {_name_of(docstring)}(value):"


def head_of(place: Place, signature: str, docstring: str) -> str:
    """What stands above the body: to be inserted at the cursor, and for the model to continue."""
    inner = place.indentation + _STEP
    wrapped = textwrap.wrap(docstring, _WIDTH - len(inner), break_long_words=False) or [docstring]
    if len(wrapped) == 1:
        text = f'{inner}"""{docstring}"""\n'
    else:
        text = f'{inner}"""' + f"\n{inner}".join(wrapped) + f'\n{inner}"""\n'
    return f"{place.lead}{signature}\n{text}{inner}"


def _imperative(verb: str) -> str:
    """The verb without the ending of its third person: "returns" is "return"."""
    if re.search(r"[^aeiou]ies$", verb):
        return verb[:-3] + "y"
    if re.search(r"(?:ss|sh|ch|x|zz|[^aeiou]o)es$", verb):
        return verb[:-2]
    return verb[:-1] if len(verb) > 3 and re.search(r"[^s]s$", verb) else verb


def _name_of(docstring: str) -> str:
    words = [word for word in re.findall(r"[a-z][a-z0-9]*", docstring.lower()) if word not in _SMALL_WORDS]
    return "_".join(words[:_NAME_WORDS]) or "function"
