"""A session in a process of its own: the interpreter that draws the screen runs no engine, and survives its crash."""

from __future__ import annotations

import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from edge_phi import errors
from edge_phi.completion.settings import GREEDY, DecodeSettings
from edge_phi.completion.suggestion import Step, Suggestion, Timing
from edge_phi.errors import EdgePhiError
from edge_phi.measure.process import python, why_it_ended

from .frames import read_frame, write_frame

if TYPE_CHECKING:
    from edge_phi.completion.cancel import Cancel

_CHILD = "from edge_phi.tui.session_child import main; main()"
_CLOSE_SECONDS = 2.0  # for the process to end by itself once it is told
_STDERR_BYTES = 4096  # of its last words, that are looked at when it has ended


class SessionProcess:
    """Completes as `edge_phi.completion.session.Session` does. Calls from several threads run one after the other.

    Who calls only waits for what the process tells. A cancel is sent by a thread of its own, for whoever sets it may
    not wait until the pipe takes it.
    """

    def __init__(self, model: str, form: str, *, keep: bool, niceness: int) -> None:
        """Start the process, and wait until it has loaded the model.

        Args:
            model: as `open_session` takes it.
            form: which form of it.
            keep: what was read of a file is kept on disk, and taken from there.
            niceness: by how much the process comes after others.

        Raises:
            EdgePhiError: it cannot be started, it ended, or the model cannot be loaded.
        """
        self._one_call, self._sending, self._listening = threading.Lock(), threading.Lock(), threading.Lock()
        self._last_call = 0
        self._cancels: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._closing = False
        self._ended = ""  # why, once it has
        self._listeners: list[Callable[[str], None]] = []
        self._end_told = threading.Event()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        command = python(_CHILD, model, form, "keep" if keep else "forget", str(niceness))
        try:
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        except OSError as error:
            self._errors.close()
            raise EdgePhiError(f"the engine's process cannot be started ({error.strerror})") from error
        threading.Thread(target=self._watch, name="engine's end", daemon=True).start()
        threading.Thread(target=self._send_cancels, name="engine's cancels", daemon=True).start()
        try:
            loaded = self._receive()
            self._raise_error(loaded)
        except BaseException:
            self.close()
            raise
        self.load_ms = float(loaded["loaded_ms"])

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def when_it_ends(self, tell: Callable[[str], None]) -> None:
        """Call `tell` once the process has ended without having been told to; see `MayEnd`."""
        with self._listening:
            self._listeners.append(tell)
            ended = self._ended
        if ended:
            tell(ended)

    def complete(
        self,
        before: str,
        after: str = "",
        *,
        settings: DecodeSettings = GREEDY,
        cancel: Cancel | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Suggestion:
        """Continue `before`; see `Session.complete`. Several steps may come at once, from this thread.

        Raises:
            EdgePhiError: the model fails, or the process has ended.
        """
        head = {"kind": "complete", "settings": asdict(settings), "tells": on_step is not None}
        answer = self._call(head, [before, after], cancel, on_step)
        fields = answer["suggestion"]
        return Suggestion(**{**fields, "timing": Timing(**fields["timing"])})

    def use_idle_time(self, cancel: Cancel) -> None:
        """Do what makes later suggestions faster; see `Session.use_idle_time`.

        Raises:
            EdgePhiError: the engine fails, or the process has ended.
        """
        self._call({"kind": "idle", "settings": {}, "tells": False}, [], cancel, None)

    def close(self) -> None:
        """End the process; a second call does nothing."""
        self._closing = True
        self._cancels.put(None)
        with suppress(OSError, ValueError):
            self._stdin.close()
        if not self._end_told.wait(_CLOSE_SECONDS):
            self._child.kill()
            self._end_told.wait()
        with suppress(OSError, ValueError):
            self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._child.stdin is not None
        return self._child.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._child.stdout is not None
        return self._child.stdout

    def _call(
        self,
        head: dict[str, Any],
        texts: list[str],
        cancel: Cancel | None,
        on_step: Callable[[Step], None] | None,
    ) -> dict[str, Any]:
        with self._one_call:
            self._last_call = number = self._last_call + 1
            self._send({**head, "call": number}, *texts)
            with cancel.calling(partial(self._cancels.put, number)) if cancel is not None else nullcontext():
                while True:
                    told = self._receive()
                    if told["call"] != number:
                        continue  # of a call that was left
                    if on_step is not None:
                        for step in told["steps"]:
                            on_step(Step(*step))
                    if "done" in told:
                        self._raise_error(told)
                        return told

    def _send(self, head: dict[str, Any], *texts: str) -> None:
        try:
            with self._sending:
                write_frame(self._stdin, head, *texts)
        except (OSError, ValueError) as error:
            raise self._gone() from error

    def _receive(self) -> dict[str, Any]:
        try:
            return read_frame(self._stdout)[0]
        except (EOFError, OSError, ValueError) as error:
            raise self._gone() from error

    def _gone(self) -> EdgePhiError:
        """What to raise once the pipe is: why the process ended, which those who listen have been told before."""
        self._end_told.wait(_CLOSE_SECONDS)
        return EdgePhiError(self._ended or "the engine's process was ended")

    @staticmethod
    def _raise_error(told: dict[str, Any]) -> None:
        if "error" in told:
            kind = getattr(errors, told["error_kind"], EdgePhiError)
            raise kind(told["error"])

    def _send_cancels(self) -> None:
        while (number := self._cancels.get()) is not None:
            with suppress(EdgePhiError):
                self._send({"kind": "cancel", "call": number})

    def _watch(self) -> None:
        code = self._child.wait()
        if not self._closing:
            with self._listening:
                self._ended = f"the engine's process ended: {why_it_ended(code, self._last_words())}"
                listeners = tuple(self._listeners)
            for tell in listeners:
                tell(self._ended)
        self._end_told.set()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(max(0, self._errors.seek(0, 2) - _STDERR_BYTES))
        return self._errors.read().decode(errors="replace")
