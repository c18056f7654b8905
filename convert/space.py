"""Whether what will be written has room, said before any work is done."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_phi.errors import EdgePhiError


def check_space(out: Path, needed: int) -> None:
    """See that the disk of `out`, which need not be there, has `needed` bytes free.

    Raises:
        EdgePhiError: it has fewer.
    """
    try:
        free = shutil.disk_usage(next(folder for folder in out.absolute().parents if folder.is_dir())).free
    except (OSError, StopIteration):  # no drive of that name
        return  # what cannot be known is not said
    if free < needed:
        raise EdgePhiError(
            f"{out}: needs {needed / 1e6:.0f} MB of space and {free / 1e6:.0f} MB are free: free some, or choose "
            "another folder or a smaller type"
        )
