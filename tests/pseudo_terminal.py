"""A pseudo-terminal in which a command runs, and every byte that the command writes to it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

PATIENCE_S = 120  # for a program to start on a busy machine


class PseudoTerminal:
    """Of 120 columns and 40 lines; with `tells` it is its command's own, which gets a signal when it closes."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], *, tells: bool = True
    ) -> None:
        import fcntl
        import termios

        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

        def take_terminal() -> None:
            os.setsid()
            if tells:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            preexec_fn=take_terminal,
        )
        os.close(slave)
        self.written = b""
        self._read_to = 0

    def send(self, keys: str) -> None:
        """Press keys, as the bytes that a terminal sends for them."""
        os.write(self._master, keys.encode())

    def until(self, *texts: str) -> None:
        """Wait until all `texts` have been written since what the last call waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(text.encode() in self.written[self._read_to :] for text in texts):
            if not self._read(0.1) or time.monotonic() > deadline:
                plain = re.sub(rb"\x1b\[[0-9;]*m", b"", self.written[self._read_to :])
                pytest.fail(f"waited in vain for {texts}: {plain[-3000:]!r}")
        self._read_to = len(self.written)

    def close(self) -> int:
        """Close the terminal and wait for the command; returns its exit status."""
        os.close(self._master)
        return self.process.wait(PATIENCE_S)

    def end(self) -> int:
        """Wait for the command, taking in what it still writes; returns its exit status."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(0.1) and time.monotonic() < deadline:
            if self.process.poll() is not None and not select.select([self._master], [], [], 0)[0]:
                break
        return self.close()

    def _read(self, seconds: float) -> bool:
        """Take in what is written within `seconds`; False once nobody has the other side any more."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(self._master, 1 << 16)
        self.written += data
        return bool(data)
