"""The files a program can see: the standard library, /dev/null, and a folder of its own."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from . import kernel

# A program's own folder, which hides what is below it elsewhere: where `tempfile` looks, but not where Python is.
FOLDER = "/var/tmp" if any(path.startswith("/tmp/") for path in sys.path) else "/tmp"
_NULL = "/dev/null"
_HIDDEN = ("site-packages", "dist-packages")  # inside the standard library's folder, and no part of it
_LOCKED = {os.ST_NODEV: kernel.MS_NODEV, os.ST_NOSUID: kernel.MS_NOSUID, os.ST_NOEXEC: kernel.MS_NOEXEC}
_ROOT_OPTIONS = "mode=755,size=1m,nr_inodes=1000"


def readable() -> list[str]:
    """The folders of the standard library, outermost only."""
    folders = sorted({path for path in sys.path if os.path.isdir(path)})  # noqa: PTH112
    return [path for path in folders if not any(path.startswith(f"{other}/") for other in folders)]


def enter() -> None:
    """Let this process, in a mount namespace of its own, see nothing but that.

    Raises:
        OSError: the kernel does not let us.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (*readable(), _NULL)}
    root = FOLDER  # any folder: the new root is mounted over it, and soon the root itself
    kernel.mount("none", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _ROOT_OPTIONS)
    for path, fd in sources.items():
        _show(path, fd, root)
        os.close(fd)
    Path(root + FOLDER).mkdir(exist_ok=True, parents=True)
    kernel.make_root(root)
    _freeze("/")


def make_folder(size: int) -> None:
    """Mount an empty folder that holds `size` bytes, in a mount namespace of this program's own."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("none", FOLDER, "tmpfs", flags, f"mode=700,size={size},nr_inodes=4096")


def _show(path: str, fd: int, root: str) -> None:
    """Mount what `fd` is at the same path below `root`, read-only."""
    target = Path(root + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(f"/proc/self/fd/{fd}"):  # noqa: PTH112
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.mount(f"/proc/self/fd/{fd}", str(target), None, kernel.MS_BIND)
    if path == _NULL:
        return
    _freeze(str(target))
    for name in _HIDDEN:
        if (target / name).is_dir():
            kernel.mount("none", str(target / name), "tmpfs", kernel.MS_RDONLY, "size=4k,nr_inodes=2")


def _freeze(path: str) -> None:
    """Make a mount read-only, keeping what the kernel would not let us loosen."""
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    with contextlib.suppress(OSError):
        have = os.statvfs(path).f_flag
        flags |= sum(flag for bit, flag in _LOCKED.items() if have & bit and not flags & flag)
    kernel.mount(None, path, None, flags)
