"""Resident memory of the process that asks.

Weights that an engine maps from their file count as resident once they were read, as they do in top(1).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int | None:
    """Memory now resident, in bytes; None where the system does not say (only Linux does)."""
    return _from_status("VmRSS")


def peak_resident_bytes() -> int | None:
    """The most memory that was resident at once, in bytes; None where the system does not say (Windows)."""
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":
        # Not ru_maxrss: it survives exec(), so that a child starts with the size of the process that made it.
        return _from_status("VmHWM")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def _from_status(field: str) -> int | None:
    try:
        status = _STATUS.read_text()
    except OSError:
        return None
    match = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(match[1]) * 1024 if match else None
