"""The Python in an answer: fenced blocks, and whether they parse."""

from __future__ import annotations

import ast
import doctest
import re
import warnings
from dataclasses import dataclass

MAX_CODE = 20_000  # characters; the parser's memory and stack are not tried with more
_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$")
_PYTHON = frozenset({"", "python", "python3", "py", "pycon", "pycon3"})


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        code: between the fences.
        language: as it is written after the opening fence, in lower case.
    """

    code: str
    language: str

    @property
    def is_python(self) -> bool:
        """It says so, or says nothing."""
        return self.language in _PYTHON


def blocks(text: str) -> list[Block]:
    """All fenced blocks, in order; the last one may have no end."""
    found: list[Block] = []
    fence, language, lines = "", "", list[str]()
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if not fence:
            if match:
                fence, language, lines = match[1], match[2].lower(), []
        elif match and match[1].startswith(fence) and not match[2]:
            found.append(Block("\n".join(lines) + "\n", language))
            fence = ""
        else:
            lines.append(line)
    if fence:
        found.append(Block("\n".join(lines) + "\n", language))
    return found


def parse(code: str) -> ast.Module | None:
    """The syntax tree, None where there is none, or it is too large or too deep."""
    if len(code) > MAX_CODE:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that are none
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def parses(block: Block) -> bool:
    """Whether a block is Python; of a session at the prompt, what was typed."""
    code = block.code
    if ">>> " in code:
        try:
            code = "".join(example.source for example in doctest.DocTestParser().get_examples(code))
        except ValueError:
            return False
    tree = parse(code)
    return tree is not None and bool(tree.body)
