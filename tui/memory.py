"""What the app remembers from one start to the next: the theme, and that the tour was seen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from edge_phi.atomic import write_bytes
from edge_phi.errors import EdgePhiError


@dataclass
class Memory:
    """Read at the start, written when something changes; what cannot be kept is forgotten without a word."""

    path: Path | None = None  # None: nothing is kept
    theme: str = ""
    tour_seen: bool = False

    def keep(self) -> None:
        """Write it down."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            what = {name: value for name, value in asdict(self).items() if name != "path"}
            write_bytes(self.path, (json.dumps(what) + "\n").encode())
        except (OSError, EdgePhiError):
            pass  # a full disk must not end an editor


def memory_file() -> Path:
    """Where it is kept."""
    return Path(platformdirs.user_state_dir("edge-phi", appauthor=False)) / "tui.json"


def recall(path: Path) -> Memory:
    """What was kept in `path`; what is not understood counts as never kept."""
    try:
        found = json.loads(path.read_bytes())
        theme, seen = found.get("theme"), found.get("tour_seen")
    except (OSError, ValueError, AttributeError, RecursionError):
        return Memory(path)
    return Memory(path, theme if isinstance(theme, str) else "", seen is True)
