"""What is written reaches the terminal at once, or later, but in order."""

from __future__ import annotations

import os
import sys
import threading

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

import tty

from edge_phi.tui.terminal import Outlet


def test_a_frame_needs_no_thread() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    with os.fdopen(slave, "w", encoding="utf-8") as file:
        outlet = Outlet(file)  # not started
        outlet.write("§ und mehr")
        assert os.read(master, 100).decode() == "§ und mehr"
        assert os.get_blocking(file.fileno())  # whose it is waits for it
        os.close(master)
        outlet.write("nobody looks")


def test_what_a_terminal_does_not_take_comes_later_and_in_order() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    frames = [f"<{number}>" * 200 for number in range(200)]
    written = "".join(frames).encode()
    with os.fdopen(slave, "w", encoding="utf-8") as file:
        outlet = Outlet(file)
        outlet.start()
        for frame in frames:  # far more than a terminal takes while nobody reads
            outlet.write(frame)
        read = b""

        def read_all() -> None:
            nonlocal read
            while len(read) < len(written):
                read += os.read(master, 1000)

        reader = threading.Thread(target=read_all)
        reader.start()
        outlet.stop()
        reader.join(60)
    os.close(master)
    assert read == written
