"""Programs that reach for other processes, for networks and for the kernel."""

from __future__ import annotations

from .program import REACHED, Hostile

PROGRAMS = (
    Hostile(
        "kill_everybody",
        "signals all it can name, with signal 0, so that a wall that leaks costs no machine",
        """
import os

def f(x):
    return caught(*[lambda p=p: os.kill(p, 0) or p for p in (-1, HOST_PID, *range(2, 200))])
""",
        tests=REACHED,
        spawns=True,
    ),
    Hostile(
        "other_signals",
        "signals by thread, by descriptor, by file ownership",
        """
import ctypes, fcntl, os, signal

libc = ctypes.CDLL(None)

def g(n):
    r = libc.syscall(*n)
    if r < 0:
        raise OSError
    return n

def h():
    r, w = os.pipe()
    fcntl.fcntl(r, fcntl.F_SETOWN, HOST_PID)
    return "owner"

def f(x):
    return caught(
        lambda: g((200, HOST_PID, 9)),
        lambda: g((234, HOST_PID, HOST_PID, 9)),
        lambda: os.pidfd_open(HOST_PID),
        h,
    )
""",
        tests=REACHED,
    ),
    Hostile(
        "trace_parent",
        "traces its parent and reads its memory",
        """
import ctypes, os

libc = ctypes.CDLL(None)

def f(x):
    buffer = ctypes.create_string_buffer(64)
    return [
        n
        for n, r in (
            ("attach", libc.ptrace(16, HOST_PID, 0, 0)),
            ("seize", libc.ptrace(0x4206, os.getppid(), 0, 0)),
            ("read", libc.process_vm_readv(HOST_PID, buffer, 1, buffer, 1, 0)),
        )
        if r >= 0
    ]
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_ipv4",
        "opens a socket: ipv4",
        """
import socket

def g():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(1)
    s.connect(("127.0.0.1", PORT))
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_ipv4_datagram",
        "opens a socket: ipv4_datagram",
        """
import socket

def g():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.sendto(b"x", ("127.0.0.1", PORT))
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_ipv6",
        "opens a socket: ipv6",
        """
import socket

def g():
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.settimeout(1)
    s.connect(("::1", PORT))
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_unix",
        "opens a socket: unix",
        """
import socket

def g():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(1)
    s.connect(UNIX_SOCKET)
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_abstract",
        "opens a socket: abstract",
        """
import socket

def g():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(1)
    s.connect(ABSTRACT_SOCKET)
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_listen",
        "opens a socket: listen",
        """
import socket

def g():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(1)
    s.bind(("127.0.0.1", 0))
    s.listen()
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_raw",
        "opens a socket: raw",
        """
import socket

def g():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW)
    s.settimeout(1)
    pass
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_netlink",
        "opens a socket: netlink",
        """
import socket

def g():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    s.settimeout(1)
    pass
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_packet",
        "opens a socket: packet",
        """
import socket

def g():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.settimeout(1)
    pass
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socket_vsock",
        "opens a socket: vsock",
        """
import socket

def g():
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.settimeout(1)
    pass
    return True

def f(x):
    return caught(g)
""",
        tests=REACHED,
    ),
    Hostile(
        "socketpair",
        "makes a pair of sockets",
        """
import socket

def f(x):
    return caught(socket.socketpair)
""",
        tests=REACHED,
        fools=True,
    ),
    Hostile(
        "privileges",
        "becomes root, raises its limits, leaves its root",
        """
import os, resource

def limit(kind):
    resource.setrlimit(kind, (resource.RLIM_INFINITY,) * 2)
    return kind

def f(x):
    return caught(
        lambda: os.setuid(0) or 1,
        lambda: os.setgid(0) or 1,
        lambda: os.setgroups([0]) or 1,
        lambda: os.chroot("/tmp") or 1,
        lambda: os.nice(-5) or 1,
        lambda: limit(resource.RLIMIT_AS),
        lambda: limit(resource.RLIMIT_CPU),
        lambda: limit(resource.RLIMIT_FSIZE),
    )
""",
        tests=REACHED,
    ),
    Hostile(
        "mounts",
        "mounts, and makes namespaces",
        """
import ctypes, os

libc = ctypes.CDLL(None)

def f(x):
    r = [
        libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        libc.mount(b"proc", b"/tmp", b"proc", 0, None),
        libc.umount2(b"/tmp", 2),
        libc.pivot_root(b"/tmp", b"/tmp"),
    ]
    r += [libc.unshare(flag) for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000)]
    return [x for x in r if x >= 0]
""",
        tests=REACHED,
    ),
    Hostile(
        "rare_calls",
        "calls what has had the most holes: io_uring, bpf, userfaultfd, perf, keys, kexec, modules, memfd, clone3",
        """
import ctypes, os, platform

libc = ctypes.CDLL(None)

def f(x):
    if platform.machine() != "x86_64":
        return []
    attr = ctypes.create_string_buffer(256)
    return [
        n
        for n in (
            425, 426, 427, 321, 323, 298, 248, 249, 250, 246, 320, 175, 313,
            319, 435, 165, 272, 308, 310, 311, 312, 155, 161, 169, 438
        )
        if libc.syscall(n, attr, 128, 0, 0, 0, 0) >= 0
    ]
""",
        tests=REACHED,
    ),
)
