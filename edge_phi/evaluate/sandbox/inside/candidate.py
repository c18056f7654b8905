"""The process that runs an untrusted solution.

It runs the solution's source, then answers the examiner: it calls, looks up, iterates. From the moment the source runs,
nothing here can be relied on; whatever it says is taken as what the solution said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from . import wire
from .protocol import (
    CALL,
    ERROR,
    LOAD,
    LOOK_UP,
    OPERATIONS,
    RAISE,
    RESULT,
    RETURN,
    TOKEN_BYTES,
    read_operands,
    write_operands,
)  # fmt: skip
from .reading import Reader
from .writing import Unsendable, Writer

_HandleOf = Callable[[Any], tuple[bytes, int]]

_MAX_REQUEST = (1 << 31) - 1  # the examiner may pass what it likes
_MAX_MESSAGE = 1000


class Candidate:
    """Answers what comes from one pipe on another."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self._namespace: dict[str, Any] = {}
        self._kept: list[Any] = []  # what the examiner holds handles of
        self._numbers: dict[int, int] = {}
        self._token = b""

    def serve(self) -> Any:
        """Answer until the examiner answers a call of ours, and return or raise what it answers."""
        while True:
            frame = wire.receive(self._requests, _MAX_REQUEST)
            token, kind, body = frame[:TOKEN_BYTES], frame[TOKEN_BYTES : TOKEN_BYTES + 1], frame[TOKEN_BYTES + 1 :]
            reader = Reader(body, self._stand_in)
            if kind == RETURN:
                return reader.read()
            if kind == RAISE:
                raise Exception(reader.text())
            before, self._token = self._token, token
            self._answer(kind, reader)
            self._token = before

    def call(self, function: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Have the examiner call the function that it passed under that number."""
        writer = Writer(self.handle)
        writer.data += CALL + function.to_bytes(4, "little")
        write_operands(writer, arguments, keywords)
        wire.send(self._replies, self._token, writer.data)
        return self.serve()

    def _answer(self, kind: bytes, reader: Reader) -> None:
        passed = _Passed(self.handle, [], {}, None)
        try:
            if kind == LOAD:
                source = reader.text()
                exec(compile(source, "<solution>", "exec", dont_inherit=True), self._namespace)
                value: Any = None
            elif kind == LOOK_UP:
                value = {name: self._namespace[name] for name in reader.items() if name in self._namespace}
            else:
                operation = OPERATIONS[reader.read()][1]
                reader.mark()
                operands, keywords = read_operands(reader)
                passed = _Passed(self.handle, operands, keywords, reader)
                value = operation(*operands, **keywords)
            writer = passed.reply(RESULT)
            writer.write(value)
        except BaseException as error:
            try:
                writer = passed.reply(ERROR)
            except Unsendable:
                writer = _Passed(self.handle, [], {}, None).reply(ERROR)
            self._write_error(writer, error)
        wire.send(self._replies, self._token, writer.data)

    def _write_error(self, writer: Writer, error: BaseException) -> None:
        mark = len(writer.data)
        try:
            writer.items([kind.__name__ for kind in type(error).__mro__])
            writer.write(error.args)
        except BaseException:
            del writer.data[mark:]
            writer.items([kind.__name__ for kind in type(error).__mro__])
            writer.write(())
        message = ""
        with contextlib.suppress(BaseException):
            message = str(error)[:_MAX_MESSAGE]
        writer.text(message)

    def handle(self, value: Any) -> tuple[bytes, int]:
        """The tag and the number under which the examiner knows `value`."""
        if type(value) is PassedFunction:
            return b"h", value.number
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._kept)
            self._kept.append(value)
        return b"H", number

    def _stand_in(self, tag: bytes, number: int) -> Any:
        return self._kept[number] if tag == b"h" else PassedFunction(self, number)


class PassedFunction:
    """A function of the tests that the solution was given to call."""

    def __init__(self, candidate: Candidate, number: int) -> None:
        self.number = number
        self._candidate = candidate

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Have the examiner call it."""
        return self._candidate.call(self.number, arguments, keywords)


class _Passed:
    """Operands as they came, to tell what an operation made of the containers among them."""

    def __init__(self, handle: _HandleOf, operands: list[Any], keywords: dict[str, Any], reader: Reader | None) -> None:
        self._handle = handle
        self._operands = operands
        self._keywords = keywords
        self._reader = reader

    def reply(self, kind: bytes) -> Writer:
        """The start of a reply: the new contents of all containers, unless they are as they came."""
        if self._reader is None or not self._reader.containers:
            writer = Writer(self._handle)
            writer.data += kind + b"0"
            return writer
        now = Writer(self._handle)
        write_operands(now, self._operands, self._keywords)
        writer = Writer(self._handle, self._reader.containers)
        if self._reader.rest == now.data:
            writer.data += kind + b"0"
            return writer
        writer.data += kind + b"1"
        for container in self._reader.containers:
            writer.contents(container)
        return writer
