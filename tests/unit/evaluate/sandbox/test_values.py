"""Values cross between the processes unchanged, and whatever else comes across is refused."""

from __future__ import annotations

import array
import collections
import contextlib
import datetime
import enum
import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.evaluate.sandbox.inside.reading import Reader, Unreadable
from edge_phi.evaluate.sandbox.inside.writing import MAX_DEPTH, Unsendable, Writer


def across(value: Any) -> Any:
    writer = Writer(lambda one: (b"H", 0))
    writer.write(value)
    return Reader(bytes(writer.data), lambda tag, number: (tag, number)).read()


HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 2000), max_value=1 << 2000),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.fractions(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.lists(inner).map(collections.deque),
        st.dictionaries(HASHABLE, inner),
        st.dictionaries(HASHABLE, inner).map(collections.OrderedDict),
        st.sets(HASHABLE),
        st.frozensets(HASHABLE),
        st.binary().map(bytearray),
        st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=9),
        st.lists(st.floats(allow_nan=False), min_size=9),
    ),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_plain_values_keep_value_and_type(value: Any) -> None:
    def shape(one: Any) -> Any:
        if isinstance(one, dict):
            return type(one), [(shape(key), shape(held)) for key, held in one.items()]
        if isinstance(one, (set, frozenset)):
            return type(one), one, {type(member) for member in one}
        return (
            (type(one), [shape(member) for member in one])
            if isinstance(one, (list, tuple, collections.deque))
            else (type(one), one)
        )

    assert shape(across(value)) == shape(value)


@pytest.mark.parametrize(
    "value",
    [
        range(3, 20, 4), slice(1, None, 2), ..., NotImplemented, int, ValueError, collections.Counter("aab"), math.sqrt,
        datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))), array.array("d", [1, 2]),
        float("inf"), True, 1 << 63, -(1 << 63), -(1 << 63) - 1, {"a": 1}.keys(), {"a": 1}.items(),
    ],
    ids=repr,
)  # fmt: skip
def test_other_values_of_the_standard_library(value: Any) -> None:
    assert across(value) == value
    assert type(across(value)) is type(value)


def test_nan_zero_and_default_factories() -> None:
    assert math.isnan(across(float("nan"))) and math.copysign(1, across(-0.0)) == -1
    back = across(collections.defaultdict(list, a=[1]))
    assert back == {"a": [1]} and back["b"] == []
    assert across(collections.deque([1, 2], maxlen=2)).maxlen == 2


def test_subclasses_cross_as_the_plain_value_they_stand_for() -> None:
    class Lie(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    class Colour(enum.IntEnum):
        RED = 3

    class Text(str):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    for value, kind in ((Lie(7), int), (Colour.RED, int), (Text("x"), str)):
        assert type(across(value)) is kind
        assert across(value) != 99
    assert across([Lie(7)] * 20) == [7] * 20


class Point(NamedTuple):
    x: int
    y: int


def test_named_tuples_keep_their_fields() -> None:
    back = across(Point(1, 2))
    assert back == (1, 2) and back.y == 2 and type(back).__name__ == "Point"
    assert across(collections.namedtuple("_P", "a")(1)) == (1,)


def test_cycles_and_identity_of_containers() -> None:
    inner: list[Any] = []
    outer = [inner, inner, {"again": inner}]
    inner.append(outer)
    back = across(outer)
    assert back[0] is back[1] is back[2]["again"] and back[0][0] is back


def test_everything_else_is_a_number() -> None:
    assert across([object, object()])[1] == (b"H", 0)
    assert across(lambda: 1) == (b"H", 0)


def test_what_nests_too_deeply_is_not_sent() -> None:
    deep: list[Any] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    with pytest.raises(Unsendable):
        across(deep)
    with pytest.raises(Unreadable):
        Reader(b"(\1\0\0\0*" * 5000 + b"N", lambda *_: None).read()


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_value_or_unreadable(data: bytes) -> None:
    with contextlib.suppress(Unreadable):
        Reader(data, lambda tag, number: (tag, number)).read()


@given(VALUES, st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_values_are_values_or_unreadable(value: Any, data: st.DataObject) -> None:
    writer = Writer(lambda one: (b"H", 0))
    writer.write(value)
    raw = bytearray(writer.data)
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Unreadable):
        Reader(bytes(raw), lambda tag, number: (tag, number)).read()


@pytest.mark.parametrize("head", [b"[", b"(", b"s", b"b", b"I", b"<", b"{\0", b"d" + bytes(8)])
def test_an_announced_count_takes_no_memory(head: bytes) -> None:
    for kind in (b"*", b"i", b"f"):
        with pytest.raises(Unreadable):
            Reader(head + b"\xff\xff\xff\x7f" + kind + b"NN", lambda *_: None).read()
