"""Programs that reach for files: to read them, to change them, to fill the disk."""

from __future__ import annotations

from .program import LEAKED, REACHED, Hostile

PROGRAMS = (
    Hostile(
        "read_secret",
        "reads a file of the user's",
        """
def f(x):
    return open(SECRET_FILE).read()
""",
        tests=LEAKED,
        fools=True,
    ),
    Hostile(
        "read_system",
        "reads the system's files and the processes'",
        """
import glob, os

def f(x):
    names = [
        "/etc/passwd",
        "/etc/hostname",
        "/proc",
        "/proc/1/environ",
        "/proc/self/maps",
        f"/proc/{HOST_PID}/environ",
        "/sys",
        "/var",
        "/bin/sh",
        "/dev/shm",
        "/dev/mem",
    ]
    return caught(
        *[
            lambda n=n: (os.listdir(n) if os.path.isdir(n) else open(n, "rb").read(1)) and n
            for n in names
        ]
    )
""",
        tests=REACHED,
        fools=True,
    ),
    Hostile(
        "read_environment",
        "reads the environment, in the C library's memory too",
        """
import ctypes, os

def f(x):
    block = (ctypes.POINTER(ctypes.c_char_p)).in_dll(ctypes.CDLL(None), "environ")
    found, i = dict(os.environ), 0
    while block and block[i]:
        found[i] = block[i]
        i += 1
    return found
""",
        tests=LEAKED,
        fools=True,
    ),
    Hostile(
        "write_sentinel",
        "writes over a file of the user's",
        """
def f(x):
    open(SENTINEL, "w").write("harm")
""",
    ),
    Hostile(
        "symlink",
        "writes and reads through a symbolic link",
        """
import os

def g():
    os.symlink(SENTINEL, "link")
    open("link", "w").write("harm")

def h():
    os.symlink(SECRET_FILE, "other")
    return open("other").read()

def f(x):
    return caught(g, h)
""",
        tests=LEAKED,
    ),
    Hostile(
        "hard_link",
        "writes through hard links and renamed paths",
        """
import os

def g():
    os.link(SENTINEL, "link")
    open("link", "w").write("harm")

def h():
    os.rename(SENTINEL, "link")
    open("link", "w").write("harm")

def f(x):
    return caught(g, h) and 0
""",
    ),
    Hostile(
        "climb",
        "climbs out of its folder",
        """
import os

def g():
    fd = os.open("/", os.O_RDONLY)
    return os.open("../" * 30 + SENTINEL.lstrip("/"), os.O_WRONLY, dir_fd=fd)

def h():
    os.chdir("../" * 30 + FOLDER.lstrip("/"))
    open("sentinel", "w").write("harm")

def f(x):
    return caught(g, h)
""",
        tests=REACHED,
    ),
    Hostile(
        "chmod",
        "changes the modes, times and owners of files",
        """
import os

def f(x):
    names = [SENTINEL, FOLDER]
    return caught(
        *[
            lambda n=n, c=c: c(n) or n
            for n in names
            for c in (
                lambda n: os.chmod(n, 0o777),
                lambda n: os.utime(n, (1, 1)),
                lambda n: os.chown(n, 0, 0),
                lambda n: os.truncate(n, 0),
                lambda n: os.setxattr(n, "user.x", b"x"),
            )
        ]
    )
""",
        tests=REACHED,
    ),
    Hostile(
        "remove_everything",
        "removes a folder that everybody may write to",
        """
import shutil

def f(x):
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0
""",
    ),
    Hostile(
        "poisoned_library",
        "writes to Python's own files",
        """
import os

def f(x):
    return caught(
        lambda: open(os.__file__, "a"),
        lambda: os.rename(os.__file__, os.__file__),
        lambda: open(os.path.join(os.path.dirname(os.__file__), "harmless.txt"), "w").write(
            "harm"
        ),
    )
""",
        tests=REACHED,
    ),
    Hostile(
        "devices",
        "makes devices, FIFOs and sockets",
        """
import os, stat

def f(x):
    return caught(
        *[
            lambda k=k: os.mknod(str(k), k | 0o666, os.makedev(1, 1)) or k
            for k in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)
        ]
    )
""",
        tests=REACHED,
    ),
    Hostile(
        "disk_filler",
        "fills the disk with one file, and with many",
        """
import os

def f(x):
    written = 0
    try:
        for n in range(100_000):
            with open(str(n), "wb") as out:
                written += out.write(bytes(1 << 20))
    except OSError:
        pass
    try:
        for n in range(1_000_000):
            open("e" + str(n), "w").close()
    except OSError:
        pass
    return written > (64 << 20) or n > 50_000
""",
        tests=REACHED,
    ),
    Hostile(
        "sparse_file",
        "makes a file of a terabyte",
        """
def f(x):
    with open("x", "wb") as out:
        return out.truncate(1 << 40)
""",
        tests=REACHED,
    ),
)
