"""What code near a cursor needs of a file's part that the model cannot see: imports, and how things are called.

Found by patterns, line by line: the file is being edited, so it often does not parse.
"""

from __future__ import annotations

import re

_IMPORT = re.compile(r"(?:from[ \t]+\S+[ \t]+)?import[ \t]+(?:\([^()]*\)|[^\n()\\]+)")
# A header on one line, or one whose parameters stand on lines of their own.
_HEADER = re.compile(
    r"""(?:async[ \t]+)?(?:def|class)[ \t]+(?P<name>\w+)
    (?: [^\n]*: | [^\n]*\(\n(?:[ \t]+[^\n]*\n)*\)[^\n]*: )[ \t]*(?:\#[^\n]*)?$""",
    re.MULTILINE | re.VERBOSE,
)
_NAME = re.compile(r"[^\W\d]\w*")
_BOUND = re.compile(r"(?P<name>[^\W\d]\w*)(?:\.\w+)*(?:[ \t]+as[ \t]+(?P<other>\w+))?")
_LONGEST = 400  # characters of one statement


def needed(above: str, near: str) -> list[str]:
    """Statements of `above` at the top level that bind a name which occurs in `near`, in their order.

    Imports are whole lines, definitions their headers with "..." for a body; each ends in a newline.
    """
    names = set(_NAME.findall(near))
    found = []
    start = 0
    while start < len(above):
        newline = above.find("\n", start)
        end = newline if newline >= 0 else len(above)
        if above[start : start + 1].isalpha():
            if imported := _IMPORT.match(above, start):
                if imported.end() - start <= _LONGEST and names & _bound(imported[0]):
                    found.append(imported[0].rstrip() + "\n")
                end = max(end, imported.end())
            elif (header := _HEADER.match(above, start)) and len(header[0]) <= _LONGEST and header["name"] in names:
                found.append(f"{header[0]}\n    ...\n")
                end = max(end, header.end())
        start = end + 1
    return list(dict.fromkeys(found))


def _bound(statement: str) -> set[str]:
    """The names that an import gives to the file."""
    names = statement.partition("import")[2] if statement.startswith("import") else statement.split("import", 1)[1]
    return {match["other"] or match["name"] for match in _BOUND.finditer(names)}
