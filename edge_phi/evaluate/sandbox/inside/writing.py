"""Values on their way to the other process, by exact value.

Plain values, and the standard library's value types, are written out; an instance of a subclass is written as the plain
value it stands for, so that no method of it reaches the other side. Whatever else there is stays where it is and is
sent as a handle: a number. Mutable containers are numbered in the order in which they are met, which keeps cycles and
identity, and lets a reply say what became of an argument.
"""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import struct
import types
from collections.abc import Callable, Sequence
from typing import Any

from .names import DICTS, VALUES, name_of

MAX_DEPTH = 150  # five calls each, of the thousand that Python allows
_BLOCK = 8  # shorter sequences are not worth a look at their types


class Unsendable(Exception):
    """A value nests too deeply, or must not be sent."""


class Writer:
    """Writes values one after another into `data`.

    Args:
        handle: gives the tag and the number of a value that is not written out: b"H" and a number of this side's,
            b"h" and a number of the other side's.
        containers: mutable containers that the other side has already, in its order.
    """

    def __init__(self, handle: Callable[[Any], tuple[bytes, int]], containers: Sequence[Any] = ()) -> None:
        self.data = bytearray()
        self.containers = list(containers)  # holds them: a number is an identity as long as the object lives
        self._numbers = {id(value): number for number, value in enumerate(self.containers)}
        self._handle = handle
        self._depth = 0

    def write(self, value: Any) -> None:
        """Append `value`.

        Raises:
            Unsendable: it nests deeper than `MAX_DEPTH`.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unsendable("a value that nests too deeply")
        _EXACT.get(type(value), Writer._other)(self, value)
        self._depth -= 1

    def contents(self, value: Any) -> None:
        """Append what the mutable container `value` holds."""
        if isinstance(value, bytearray):
            self._raw(value)
        elif isinstance(value, dict):
            self.items(list(dict.keys(value)))
            self.items(list(dict.values(value)))
        else:
            self.items(list(value))

    def items(self, values: Sequence[Any]) -> None:
        """Append a count and that many values: numbers of one kind as one block, else one by one."""
        self._count(len(values))
        if len(values) > _BLOCK:
            kinds = set(map(type, values))
            if kinds == {float}:
                self.data += b"f" + struct.pack(f"<{len(values)}d", *values)
                return
            if kinds == {int} and min(values) >= -(1 << 63) and max(values) < 1 << 63:
                self.data += b"i" + struct.pack(f"<{len(values)}q", *values)
                return
        self.data += b"*"
        for value in values:
            self.write(value)

    def text(self, text: str) -> None:
        """Append a string without a tag."""
        self._raw(str.encode(text, "utf-8", "surrogatepass"))

    def _raw(self, raw: bytes | bytearray) -> None:
        self._count(len(raw))
        self.data += raw

    def _count(self, count: int) -> None:
        self.data += count.to_bytes(4, "little")

    def _none(self, _value: None) -> None:
        self.data += b"N"

    def _bool(self, value: bool) -> None:
        self.data += b"T" if value else b"F"

    def _int(self, value: int) -> None:
        bits = int.bit_length(value)
        if bits < 64:
            self.data += b"i" + int.to_bytes(value, 8, "little", signed=True)
        else:
            self.data += b"I"
            self._raw(int.to_bytes(value, bits // 8 + 1, "little", signed=True))

    def _float(self, value: float) -> None:
        self.data += b"f" + struct.pack("<d", value)

    def _complex(self, value: complex) -> None:
        self.data += b"c" + struct.pack("<dd", value.real, value.imag)

    def _str(self, value: str) -> None:
        self.data += b"s"
        self.text(value)

    def _bytes(self, value: bytes) -> None:
        self.data += b"b"
        self._raw(bytes.__getitem__(value, slice(None)))

    def _memoryview(self, value: memoryview) -> None:
        self.data += b"m"
        self._raw(value.tobytes())

    def _tuple(self, value: tuple[Any, ...]) -> None:
        fields = getattr(type(value), "_fields", None)
        if type(value) is not tuple and type(fields) is tuple and all(type(field) is str for field in fields):
            self.data += b"n"
            self.text(type(value).__name__)
            self.items(fields)
        else:
            self.data += b"("
        self.items(list(tuple.__iter__(value)))

    def _frozenset(self, value: frozenset[Any]) -> None:
        self.data += b">"
        self.items(list(frozenset.__iter__(value)))

    def _list(self, value: list[Any]) -> None:
        self._container(b"[", value)

    def _set(self, value: set[Any]) -> None:
        self._container(b"<", value)

    def _bytearray(self, value: bytearray) -> None:
        self._container(b"a", value)

    def _deque(self, value: collections.deque[Any]) -> None:
        size = -1 if value.maxlen is None else value.maxlen
        self._container(b"d" + size.to_bytes(8, "little", signed=True), value)

    def _dict(self, value: dict[Any, Any]) -> None:
        kind = next(number for number in (3, 2, 1, 0) if isinstance(value, DICTS[number]))
        self._container(b"{" + bytes([kind]), value)

    def _container(self, head: bytes, value: Any) -> None:
        number = self._numbers.get(id(value))
        if number is not None:
            self.data += b"&"
            self._count(number)
            return
        self._numbers[id(value)] = len(self.containers)
        self.containers.append(value)
        self.data += head
        if isinstance(value, collections.defaultdict):
            factory = name_of(value.default_factory)
            self.text(factory or "")
        self.contents(value)

    def _range(self, value: range) -> None:
        self.data += b"r"
        self._fields(value.start, value.stop, value.step)

    def _slice(self, value: slice) -> None:
        self.data += b"S"
        self._fields(value.start, value.stop, value.step)

    def _keys(self, value: Any) -> None:
        self.data += b"k"
        self.items(list(value))

    def _dict_values(self, value: Any) -> None:
        self.data += b"v"
        self.items(list(value))

    def _dict_items(self, value: Any) -> None:
        pairs = list(value)
        self.data += b"p"
        self.items([key for key, _ in pairs])
        self.items([held for _, held in pairs])

    def _fraction(self, value: fractions.Fraction) -> None:
        self._value(fractions.Fraction, value.numerator, value.denominator)

    def _decimal(self, value: decimal.Decimal) -> None:
        self._value(decimal.Decimal, decimal.Decimal.__str__(value))

    def _datetime(self, value: datetime.datetime) -> None:
        zone = self._zone(value)
        day = (value.year, value.month, value.day)
        self._value(datetime.datetime, *day, value.hour, value.minute, value.second, value.microsecond, zone)

    def _date(self, value: datetime.date) -> None:
        self._value(datetime.date, value.year, value.month, value.day)

    def _time(self, value: datetime.time) -> None:
        self._value(datetime.time, value.hour, value.minute, value.second, value.microsecond, self._zone(value))

    def _timedelta(self, value: datetime.timedelta) -> None:
        self._value(datetime.timedelta, value.days, value.seconds, value.microseconds)

    def _timezone(self, value: datetime.timezone) -> None:
        self._value(datetime.timezone, value.utcoffset(None))

    def _array(self, value: array.array[Any]) -> None:
        self._value(array.array, value.typecode, value.tolist())

    @staticmethod
    def _zone(value: datetime.datetime | datetime.time) -> datetime.timezone | None:
        offset = value.utcoffset()
        return None if offset is None else datetime.timezone(offset)

    def _value(self, kind: type, *fields: Any) -> None:
        self.data += b"V" + bytes([VALUES.index(kind)])
        self._fields(*fields)

    def _fields(self, *fields: Any) -> None:
        self._count(len(fields))
        for field in fields:
            self.write(field)

    def _module(self, value: types.ModuleType) -> None:
        self.data += b"M"
        self.text(str(getattr(value, "__name__", "")))

    def _other(self, value: Any) -> None:
        """By name, as the plain value it stands for, or as a handle."""
        name = name_of(value)
        if name is not None:
            self.data += b"="
            self.text(name)
            return
        for kind, write in _BASES:
            if isinstance(value, kind):
                write(self, value)
                return
        tag, number = self._handle(value)
        self.data += tag
        self._count(number)


_EXACT: dict[type, Callable[[Writer, Any], None]] = {
    type(None): Writer._none,
    bool: Writer._bool,
    int: Writer._int,
    float: Writer._float,
    complex: Writer._complex,
    str: Writer._str,
    bytes: Writer._bytes,
    memoryview: Writer._memoryview,
    tuple: Writer._tuple,
    frozenset: Writer._frozenset,
    list: Writer._list,
    dict: Writer._dict,
    set: Writer._set,
    bytearray: Writer._bytearray,
    collections.OrderedDict: Writer._dict,
    collections.Counter: Writer._dict,
    collections.defaultdict: Writer._dict,
    collections.deque: Writer._deque,
    range: Writer._range,
    slice: Writer._slice,
    type({}.keys()): Writer._keys,
    type({}.values()): Writer._dict_values,
    type({}.items()): Writer._dict_items,
    fractions.Fraction: Writer._fraction,
    decimal.Decimal: Writer._decimal,
    datetime.datetime: Writer._datetime,
    datetime.date: Writer._date,
    datetime.time: Writer._time,
    datetime.timedelta: Writer._timedelta,
    datetime.timezone: Writer._timezone,
    array.array: Writer._array,
    types.ModuleType: Writer._module,
}
_BASES = [
    (kind, _EXACT[kind])
    for kind in (
        int, float, complex, str, bytes, tuple, list, dict, set, frozenset, bytearray, collections.deque,
        fractions.Fraction, decimal.Decimal, datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
    )
]  # fmt: skip
