"""Characters a terminal obeys or hides instead of showing: kept out of what is drawn, never lost from a file."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from edge_phi.errors import InvalidFile

# C0 but tab and newline, DEL and C1, line and paragraph separators, bidi controls, zero-width and other
# default-ignorable characters (Unicode 16, DerivedCoreProperties), lone surrogates, tags and variation
# selectors of plane 14. U+FE0F stays: emoji need it and terminals draw it.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
SAFE_LINE = f"(?:(?!{_UNSAFE.pattern})[^\\n])*"  # a regular expression for the whole of a text without them

_PRIVATE_USE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_UNNAMED = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """`text` without the unsafe characters; one at a time, so a sequence split across chunks is no way around it."""
    return _UNSAFE.sub("", text)


def one_line(text: str) -> str:
    """`text` for a title or a message: unsafe characters shown as pictures, any run of white space as one space."""
    return _UNSAFE.sub(lambda match: _picture(match[0]), " ".join(text.split()))


def visible(text: str) -> str:
    """`text` with its lines as they are, for a pane: unsafe characters shown as pictures."""
    return _UNSAFE.sub(lambda match: _picture(match[0]), text.replace("\r\n", "\n"))


class StandIns:
    """Lets an editor hold a text with unsafe characters: each is a private-use character that the text does not use.

    `restore(hide(text)) == text` for every text, and what `hide` returns has no unsafe character. The stand-ins are
    three bytes in UTF-8 while there are any left, as are their pictures, so byte offsets hold for what is drawn.
    """

    def __init__(self) -> None:
        self._hidden: dict[int, str] = {}  # unsafe character -> stand-in
        self._real: dict[int, str] = {}  # stand-in -> unsafe character
        self._used: set[int] = set()  # private-use characters that stand for themselves
        self._free: Iterator[int] = itertools.chain(*_PRIVATE_USE)

    def hide(self, text: str) -> str:
        """`text` with stand-ins.

        Raises:
            InvalidFile: it uses so much of the private-use area that none is free.
        """
        if text.isascii() and not _UNSAFE.search(text):
            return text
        own = {ord(character) for character in _PRIVATE.findall(text)}
        clashing = own & self._real.keys()  # these mean themselves here, and something else in the editor
        self._used |= own - clashing
        for code in sorted({ord(character) for character in _UNSAFE.findall(text)} | clashing):
            if code not in self._hidden:
                stand_in = self._next_free()
                self._hidden[code] = stand_in
                self._real[ord(stand_in)] = chr(code)
        return text.translate(self._hidden)

    def restore(self, text: str) -> str:
        """The true text behind stand-ins."""
        return text.translate(self._real)

    def pictures(self, line: str) -> tuple[str, list[int]]:
        """`line` as it is drawn, character for character, and where in it the pictures are."""
        if not self._real or line.isascii():
            return line, []
        drawn = {stand_in: _picture(real) for stand_in, real in self._real.items()}
        return line.translate(drawn), [index for index, character in enumerate(line) if ord(character) in drawn]

    def _next_free(self) -> str:
        for code in self._free:
            if code not in self._used:
                return chr(code)
        raise InvalidFile("the text uses every private-use character, so its control characters cannot be shown")


def _picture(character: str) -> str:
    """The control pictures of U+2400 for C0 and DEL, U+FFFD for what has none; itself for what is safe."""
    code = ord(character)
    if not _UNSAFE.match(character):
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else _UNNAMED
