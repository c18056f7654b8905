"""The examiner's side of the conversation: what the solution has, as far as tests can hold it.

What the candidate says is never more than data: it cannot decide a comparison with a value of ours. A handle equals
another handle if the candidate says so, and never anything else; it adds to and compares with handles only; membership
is decided here, over what iterating gives.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import types
from collections.abc import Iterator
from typing import Any, TypeVar

from . import wire
from .protocol import (
    CALL,
    ERROR,
    LOAD,
    LOOK_UP,
    NUMBERS,
    OPERATE,
    RAISE,
    RESULT,
    RETURN,
    TOKEN_BYTES,
    read_operands,
    write_operands,
)  # fmt: skip
from .reading import Module, Reader, Unreadable
from .writing import Unsendable, Writer

_Plain = TypeVar("_Plain")

_MAX_BASES = 50
_PASSED = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
# What `getattr` may be asked of the candidate: no protocol of Python's own starts from these.
_FORWARDED = ("__name__", "__qualname__", "__doc__", "__module__", "__dict__", "__annotations__")


class ProtocolBroken(Exception):
    """The candidate answered with what no candidate of ours writes."""


class Conversation:
    """Asks the candidate, one question at a time.

    Every method raises `wire.Closed` when the candidate is gone, `ProtocolBroken` when it does not keep to the
    protocol, and otherwise what the solution raised: an exception of the same builtin type, or of a new type derived
    from the nearest.
    """

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self._passed: list[Any] = []  # functions of the tests that the candidate may call
        self._handles: dict[int, Handle] = {}
        self._token = int.from_bytes(os.urandom(TOKEN_BYTES - 1), "little")

    def load(self, source: str) -> None:
        """Run the solution's source."""
        writer = Writer(self._handle)
        writer.text(source)
        self._ask(LOAD, writer)

    def look_up(self, names: list[str]) -> dict[str, Any]:
        """What the solution's namespace has under those names."""
        writer = Writer(self._handle)
        writer.items(names)
        found = self._ask(LOOK_UP, writer)
        if type(found) is not dict:
            raise ProtocolBroken("the candidate names nothing")
        return {
            name: _module(name, value) if isinstance(value, Module) else value
            for name, value in found.items()
            if name in names
        }

    def operate(self, operation: str, /, *operands: Any, **keywords: Any) -> Any:
        """One of `protocol.OPERATIONS`, done by the candidate; mutable operands are what it made of them."""
        writer = Writer(self._handle)
        writer.write(NUMBERS[operation])
        write_operands(writer, operands, keywords)
        return self._ask(OPERATE, writer)

    def _ask(self, kind: bytes, question: Writer) -> Any:
        self._token += 1
        token = self._token.to_bytes(TOKEN_BYTES, "little")
        wire.send(self._requests, token, kind, question.data)
        while True:
            try:
                frame = wire.receive(self._replies)
            except wire.Oversized:
                raise ProtocolBroken("the candidate says more than is allowed at once") from None
            if frame[:TOKEN_BYTES] != token:
                raise ProtocolBroken("the candidate answers what was not asked")
            kind, body = frame[TOKEN_BYTES : TOKEN_BYTES + 1], frame[TOKEN_BYTES + 1 :]
            try:
                if kind == CALL:
                    self._call_back(token, body)
                    continue
                reader = Reader(body[1:], self._stand_in, question.containers)
                if body[:1] == b"1":
                    for container in question.containers:
                        reader.refill(container)
                if kind == RESULT:
                    return reader.read()
                if kind == ERROR:
                    raised = _exception(reader)
                    break
            except Unreadable:
                pass
            raise ProtocolBroken("the candidate answers what no program can mean")
        raise raised

    def _call_back(self, token: bytes, body: bytes) -> None:
        """Call a function of the tests for the candidate."""
        number = int.from_bytes(body[:4], "little")
        if len(body) < 4 or number >= len(self._passed):
            raise Unreadable
        operands, keywords = read_operands(Reader(body[4:], self._stand_in))
        writer = Writer(self._handle)
        kind = RETURN
        try:
            writer.write(self._passed[number](*operands, **keywords))
        except (ProtocolBroken, wire.Closed):
            raise
        except Exception as error:
            kind, writer = RAISE, Writer(self._handle)
            writer.text(f"{type(error).__name__}: {error}")
        wire.send(self._requests, token, kind, writer.data)

    def _handle(self, value: Any) -> tuple[bytes, int]:
        if type(value) is Handle:
            return b"h", value._number
        if not isinstance(value, _PASSED):
            raise Unsendable(f"tests cannot pass a {type(value).__name__} to a solution")
        self._passed.append(value)
        return b"H", len(self._passed) - 1

    def _stand_in(self, tag: bytes, number: int) -> Any:
        if tag == b"h":
            if number >= len(self._passed):
                raise Unreadable
            return self._passed[number]
        if number not in self._handles:
            self._handles[number] = Handle(self, number)
        return self._handles[number]


class Handle:
    """Something the candidate has: a function, a class, an instance of one, an iterator."""

    __slots__ = ("_conversation", "_number")
    _conversation: Conversation
    _number: int

    def __init__(self, conversation: Conversation, number: int) -> None:
        object.__setattr__(self, "_conversation", conversation)
        object.__setattr__(self, "_number", number)

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        """What the candidate's function returns or raises."""
        return self._conversation.operate("call", self, *arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _FORWARDED:
            raise AttributeError(name)
        return self._conversation.operate("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._conversation.operate("setattr", self, name, value)

    def __iter__(self) -> Iterator[Any]:
        steps = self._conversation.operate("iter", self)
        return iter(steps) if not isinstance(steps, Handle) else _Steps(steps)

    def __next__(self) -> Any:
        return self._conversation.operate("next", self)

    def __contains__(self, value: Any) -> bool:
        return any(one is value or one == value for one in self)

    def __len__(self) -> int:
        return _exact(int, self._conversation.operate("len", self))

    def __bool__(self) -> bool:
        return _exact(bool, self._conversation.operate("bool", self))

    def __getitem__(self, key: Any) -> Any:
        return self._conversation.operate("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._conversation.operate("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._conversation.operate("delitem", self, key)

    def __str__(self) -> str:
        return _exact(str, self._conversation.operate("str", self))

    def __repr__(self) -> str:
        return _exact(str, self._conversation.operate("repr", self))

    def __format__(self, form: str) -> str:
        return _exact(str, self._conversation.operate("format", self, form))

    def __hash__(self) -> int:
        return _exact(int, self._conversation.operate("hash", self))

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, Handle) and _exact(bool, self._conversation.operate("isinstance", value, self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and bool(self._conversation.operate("eq", self, other))

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, Handle) or bool(self._conversation.operate("ne", self, other))

    def __lt__(self, other: Any) -> Any:
        return self._with("lt", other)

    def __le__(self, other: Any) -> Any:
        return self._with("le", other)

    def __gt__(self, other: Any) -> Any:
        return self._with("gt", other)

    def __ge__(self, other: Any) -> Any:
        return self._with("ge", other)

    def __add__(self, other: Any) -> Any:
        return self._with("add", other)

    def __sub__(self, other: Any) -> Any:
        return self._with("sub", other)

    def __mul__(self, other: Any) -> Any:
        return self._with("mul", other)

    def _with(self, operation: str, other: Any) -> Any:
        if not isinstance(other, Handle):
            return NotImplemented
        return self._conversation.operate(operation, self, other)


class _Steps:
    """An iterator of the candidate's, taken one step at a time: it may have no end."""

    def __init__(self, steps: Handle) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._steps)


def _exact(kind: type[_Plain], value: Any) -> _Plain:
    if type(value) is not kind:
        raise TypeError(f"a {kind.__name__} was expected of the solution, not a {type(value).__name__}")
    plain: _Plain = value
    return plain


def _module(name: str, module: Module) -> Any:
    """Our own copy of a module of the standard library that the solution imported under its name."""
    if module.name != name or name not in sys.stdlib_module_names:
        raise ProtocolBroken(f"the candidate offers a module as {name}")
    return importlib.import_module(name)


def _exception(reader: Reader) -> BaseException:
    """What the solution raised, in a type of ours that tests can expect."""
    names, arguments, message = reader.items(), reader.read(), reader.text()
    if not names or len(names) > _MAX_BASES or not all(type(name) is str for name in names):
        raise Unreadable
    for name in names:
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            break
    else:
        raise Unreadable
    try:
        if kind.__name__ != names[0]:
            kind = type(names[0], (kind,), {})
        raised: BaseException = kind(*arguments)
    except Exception:
        return Exception(message)
    return raised
