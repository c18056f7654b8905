"""Textual's driver for terminals, with two threads fewer between a key and its echo.

Textual reads keys in one thread and writes frames in another, and the one that draws stands between them. Each of them
waits for a core and for the interpreter; where the engines have all cores, that is most of what an echo takes.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import TextIO

from textual import constants
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

_READ_BYTES = 4096
_LATE_SECONDS = 0.005
_MOST_WAITING = 1 << 20  # bytes for a terminal that takes none; then who draws waits, as with Textual's own thread


class Outlet(threading.Thread):
    """Writes at once what the terminal takes at once; the rest is written by this thread. As Textual's WriterThread."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(daemon=True, name="terminal's rest")
        self._encoding, self._errors = file.encoding or "utf-8", file.errors or "strict"
        # Opened anew: stderr itself is the shell's, too, which wants to wait for it.
        self._terminal = os.open(os.ttyname(file.fileno()), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self._waiting = b""
        self._changed = threading.Condition()
        self._ending = False

    def write(self, text: str) -> None:
        """Write `text` after what was written before."""
        data = text.encode(self._encoding, self._errors)
        with self._changed:
            if not self._waiting:
                data = data[self._write_now(data) :]
            if data:
                self._waiting += data
                self._changed.notify_all()
                self._changed.wait_for(lambda: len(self._waiting) < _MOST_WAITING)

    def stop(self) -> None:
        """Write all there is, and end."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self.join()
        os.close(self._terminal)

    def run(self) -> None:
        """Write what the terminal did not take at once."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
            select.select([], [self._terminal], [])
            with self._changed:
                self._waiting = self._waiting[self._write_now(self._waiting) :]
                self._changed.notify_all()

    def _write_now(self, data: bytes) -> int:
        """How many bytes of `data` need not be written any more."""
        try:
            return os.write(self._terminal, data)
        except BlockingIOError:
            return 0
        except OSError:  # nobody looks at it any more
            return len(data)


class TerminalDriver(LinuxDriver):
    """Reads keys in the thread where they have their effect, and writes from there."""

    def start_application_mode(self) -> None:
        """Take the terminal."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        with suppress(OSError):  # where it cannot be opened anew, Textual's thread goes on
            assert self._file is not None and self._writer_thread is not None
            outlet = Outlet(self._file)
            self._writer_thread.stop()
            self._writer_thread = outlet  # type: ignore[assignment]
            outlet.start()

    def disable_input(self) -> None:
        """Read no more keys."""
        self._loop.remove_reader(self.fileno)
        super().disable_input()

    def send_message(self, message: Message) -> None:
        """Hand over what was read."""
        self._app.post_message(message)

    def _run_input_thread(self) -> None:
        """Textual's thread for keys only waits for their end, for which `disable_input` waits in turn."""
        self._loop.call_soon_threadsafe(self._begin_reading)
        self.exit_event.wait()

    def _begin_reading(self) -> None:
        if not self.exit_event.is_set():
            self._parser = linux_driver.XTermParser(self._debug)  # type: ignore[attr-defined]  # or alt_keys' in its place
            self._decode = getincrementaldecoder("utf-8")().decode
            self._loop.add_reader(self.fileno, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self.fileno, _READ_BYTES)
        except OSError:
            data = b""
        if not data:  # the terminal is gone; of one that is not the session's own no signal tells
            self._loop.remove_reader(self.fileno)
            signal.raise_signal(signal.SIGHUP)
            return
        if text := self._decode(data):  # not only a part of a character
            for message in self._parser.feed(text):
                self.process_message(message)
            self._loop.call_later(constants.ESCAPE_DELAY + _LATE_SECONDS, self._tick)

    def _tick(self) -> None:
        """An Esc that nothing has followed is the key."""
        for message in self._parser.tick():
            self.process_message(message)
