"""Values as they come from the other process.

Safe against a hostile writer: tags and names are looked up in fixed tables, counts are checked against what is there,
depth is bounded, and nothing that was sent is ever called.
"""

from __future__ import annotations

import collections
import datetime
import functools
import keyword
import struct
from collections.abc import Callable, Sequence
from typing import Any

from .names import DICTS, NAMED, VALUES
from .writing import MAX_DEPTH

_MAX_FIELDS = 255  # of a named tuple
_MAX_NAME = 200


class Unreadable(Exception):
    """What was sent is damaged or breaks a bound."""


class Reader:
    """Reads the values that a `Writer` wrote, in its order.

    Args:
        data: what was written.
        handle: gives what stands for the tag b"H" (the writer's) or b"h" (ours) and a number.
        containers: mutable containers that the writer has numbered before, in its order.
    """

    def __init__(self, data: bytes, handle: Callable[[bytes, int], Any], containers: Sequence[Any] = ()) -> None:
        self.containers = list(containers)
        self._data = data
        self._at = self._mark = 0
        self._handle = handle
        self._depth = 0

    def mark(self) -> None:
        """Remember this place."""
        self._mark = self._at

    @property
    def rest(self) -> bytes:
        """What was written from the marked place on."""
        return self._data[self._mark :]

    def read(self) -> Any:
        """The next value.

        Raises:
            Unreadable: there is none, or none that a `Writer` writes.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable
        read = _READERS.get(self._take(1))
        if read is None:
            raise Unreadable
        value = read(self)
        self._depth -= 1
        return value

    def refill(self, value: Any) -> None:
        """Let the container `value` hold what comes next, and nothing else.

        Raises:
            Unreadable: nothing it can hold comes next.
        """
        if isinstance(value, bytearray):
            value[:] = self._raw()
        elif isinstance(value, dict):
            keys, held = self.items(), self.items()
            if len(keys) != len(held):
                raise Unreadable
            value.clear()
            for key, one in zip(keys, held, strict=True):
                value[self._hashed(key)] = one
        elif isinstance(value, set):
            members = self.items()
            value.clear()
            value.update(map(self._hashed, members))
        else:
            members = self.items()
            value.clear()
            value.extend(members)

    def items(self) -> list[Any]:
        """The next values, as many as were written together."""
        count = self._count()
        kind = self._take(1)
        if kind == b"f" or kind == b"i":
            return list(struct.unpack(f"<{count}{'d' if kind == b'f' else 'q'}", self._take(8 * count)))
        if kind != b"*" or count > len(self._data) - self._at:
            raise Unreadable
        return [self.read() for _ in range(count)]

    def text(self) -> str:
        """The next string that was written without a tag."""
        try:
            return self._raw().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Unreadable from None

    @staticmethod
    def _hashed(key: Any) -> Any:
        try:
            hash(key)
        except TypeError:
            raise Unreadable from None
        return key

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise Unreadable
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _count(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _raw(self) -> bytes:
        return self._take(self._count())

    def _int(self) -> int:
        return int.from_bytes(self._take(8), "little", signed=True)

    def _big(self) -> int:
        return int.from_bytes(self._raw(), "little", signed=True)

    def _float(self) -> float:
        value: float = struct.unpack("<d", self._take(8))[0]
        return value

    def _complex(self) -> complex:
        return complex(*struct.unpack("<dd", self._take(16)))

    def _named_tuple(self) -> Any:
        name, fields = self.text(), tuple(self.items())
        values = self.items()
        words = (name, *fields)
        if len(fields) > _MAX_FIELDS or len(values) != len(fields) or not all(type(word) is str for word in words):
            raise Unreadable
        if len(set(fields)) != len(fields) or not all(map(_is_name, words)):
            return tuple(values)
        return _named_tuple(name, fields)(*values)

    def _container(self, value: Any) -> Any:
        self.containers.append(value)
        self.refill(value)
        return value

    def _dict(self) -> Any:
        kind = self._take(1)[0]
        if kind >= len(DICTS):
            raise Unreadable
        if DICTS[kind] is collections.defaultdict:
            factory = NAMED.get(self.text())
            return self._container(collections.defaultdict(factory if isinstance(factory, type) else None))
        return self._container(DICTS[kind]())

    def _deque(self) -> Any:
        size = self._int()
        return self._container(collections.deque(maxlen=None if size < 0 else size))

    def _reference(self) -> Any:
        number = self._count()
        if number >= len(self.containers):
            raise Unreadable
        return self.containers[number]

    def _pairs(self) -> dict[Any, Any]:
        value: dict[Any, Any] = {}
        self.refill(value)
        return value

    def _fields(self) -> list[Any]:
        count = self._count()
        if count > _MAX_FIELDS:
            raise Unreadable
        return [self.read() for _ in range(count)]

    def _range(self) -> range:
        fields = self._fields()
        if len(fields) != 3 or not all(type(field) is int for field in fields) or fields[2] == 0:
            raise Unreadable
        return range(*fields)

    def _slice(self) -> slice:
        fields = self._fields()
        if len(fields) != 3:
            raise Unreadable
        return slice(*fields)

    def _value(self) -> Any:
        number = self._take(1)[0]
        fields = self._fields()
        if number >= len(VALUES) or any(type(field) not in _FIELDS for field in fields):
            raise Unreadable
        try:
            return VALUES[number](*fields)
        except (TypeError, ValueError, ArithmeticError):
            raise Unreadable from None

    def _name(self) -> Any:
        try:
            return NAMED[self.text()]
        except KeyError:
            raise Unreadable from None

    def _module(self) -> Any:
        return Module(self.text())


class Module:
    """A module that the other side's value is; which one is up to the reader to believe."""

    def __init__(self, name: str) -> None:
        self.name = name


_FIELDS = (
    int, float, str, list, type(None), datetime.timedelta, datetime.timezone,
)  # fmt: skip

_READERS: dict[bytes, Callable[[Reader], Any]] = {
    b"N": lambda _: None,
    b"T": lambda _: True,
    b"F": lambda _: False,
    b"i": Reader._int,
    b"I": Reader._big,
    b"f": Reader._float,
    b"c": Reader._complex,
    b"s": Reader.text,
    b"b": Reader._raw,
    b"m": lambda self: memoryview(self._raw()),
    b"(": lambda self: tuple(self.items()),
    b"n": Reader._named_tuple,
    b">": lambda self: frozenset(map(self._hashed, self.items())),
    b"[": lambda self: self._container([]),
    b"<": lambda self: self._container(set()),
    b"a": lambda self: self._container(bytearray()),
    b"d": Reader._deque,
    b"{": Reader._dict,
    b"&": Reader._reference,
    b"r": Reader._range,
    b"S": Reader._slice,
    b"k": lambda self: dict.fromkeys(map(self._hashed, self.items())).keys(),
    b"v": lambda self: dict(enumerate(self.items())).values(),
    b"p": lambda self: self._pairs().items(),
    b"V": Reader._value,
    b"M": Reader._module,
    b"=": Reader._name,
    b"H": lambda self: self._handle(b"H", self._count()),
    b"h": lambda self: self._handle(b"h", self._count()),
}


def _is_name(word: str) -> bool:
    return len(word) <= _MAX_NAME and word.isidentifier() and not keyword.iskeyword(word) and not word.startswith("_")


@functools.lru_cache(maxsize=64)
def _named_tuple(name: str, fields: tuple[str, ...]) -> Any:
    return collections.namedtuple(name, fields)  # type: ignore[misc]
