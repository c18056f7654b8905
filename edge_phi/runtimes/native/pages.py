"""Which pages of the key-value cache hold which tokens: a tree, so that what sequences have in common is kept once.

A page holds the keys and values of some positions, which depend on all tokens up to there: so a page belongs to one
path from the root. The sequence that is being computed is a path too; other paths are what was computed before it
turned off. A page that others follow is copied before it changes; of a last page only the newest tokens are kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class _Page:
    number: int
    tokens: list[int] = field(default_factory=list)  # that are computed; at most a page of them
    next: list[_Page] = field(default_factory=list)
    used: int = 0  # when it was last computed with


class Pages:
    """A sequence that grows and is rewound, and every other one there was room to remember."""

    def __init__(self, size: int, longest: int, spare: int, copy: Callable[[int, int], None]) -> None:
        """Begin with an empty sequence.

        Args:
            size: positions in a page.
            longest: pages of the longest sequence.
            spare: pages beyond those, at least 1.
            copy: copies a page's contents, given its number and that of a page to change.
        """
        self.length = 0  # tokens of the sequence
        self.table = np.zeros(longest, np.int32)  # numbers of its pages
        self._size = size
        self._copy = copy
        self._free = list(range(longest + spare))
        self._root = _Page(-1)
        self._path: list[_Page] = []
        self._clock = itertools.count(1)

    @property
    def tokens(self) -> list[int]:
        """Those of the sequence."""
        return list(itertools.chain.from_iterable(page.tokens for page in self._path))[: self.length]

    def rewind(self, length: int) -> None:
        """Shorten the sequence."""
        self.length = length
        del self._path[-(-length // self._size) :]

    def reuse(self, tokens: Sequence[int]) -> int:
        """Become the longest start of `tokens` that is computed, and return its length."""
        self.rewind(0)
        common = self._size
        while common == self._size:
            part = list(tokens[self.length : self.length + self._size])
            page = max(self._last.next, key=lambda page: _common(page.tokens, part), default=None)
            common = _common(page.tokens, part) if page else 0
            if page and common:
                self._follow(page)
                self.length += common
        return self.length

    def reserve(self, tokens: Sequence[int]) -> None:
        """Find pages for tokens that are about to be computed; what they hold from here on may be overwritten."""
        used = self.length % self._size
        if used and len(self._last.tokens) > used and not _agree(self._last.tokens[used:], tokens):
            if self._last.next:
                old = self._path.pop()
                page = self._new_page()
                self._copy(old.number, page.number)
                page.tokens = old.tokens[:used]
                self._follow(page)
            else:
                del self._last.tokens[used:]
        for start in range(self._size - used if used else 0, len(tokens), self._size):
            part = list(tokens[start : start + self._size])
            known = next((page for page in self._last.next if _agree(page.tokens, part)), None)
            self._follow(known or self._new_page())

    def keep(self, tokens: Sequence[int]) -> None:
        """Lengthen the sequence by the tokens that `reserve` was called with: they are computed."""
        start = 0
        while start < len(tokens):
            page, used = self._path[self.length // self._size], self.length % self._size
            part = tokens[start : start + self._size - used]
            if len(page.tokens) < used + len(part):
                page.tokens[used:] = part
            start += len(part)
            self.length += len(part)

    @property
    def _last(self) -> _Page:
        return self._path[-1] if self._path else self._root

    def _follow(self, page: _Page) -> None:
        page.used = next(self._clock)
        self.table[len(self._path)] = page.number
        self._path.append(page)

    def _new_page(self) -> _Page:
        """An empty page after the last of the sequence; if need be, in place of the one that is longest out of use."""
        if not self._free:
            leaves = ((parent, page) for parent, page in self._all(self._root) if not page.next)
            parent, page = min(((a, b) for a, b in leaves if b is not self._last), key=lambda pair: pair[1].used)
            parent.next.remove(page)
            self._free.append(page.number)
        page = _Page(self._free.pop())
        self._last.next.append(page)
        return page

    def _all(self, parent: _Page) -> Iterator[tuple[_Page, _Page]]:
        stack = [parent]
        while stack:
            parent = stack.pop()
            stack += parent.next
            yield from ((parent, page) for page in parent.next)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _agree(a: Sequence[int], b: Sequence[int]) -> bool:
    return _common(a, b) == min(len(a), len(b))
