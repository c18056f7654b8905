"""The files below a folder, without those that nobody edits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.style import Style
from rich.text import Text
from textual.widgets import DirectoryTree
from textual.widgets._directory_tree import DirEntry
from textual.widgets.tree import TreeNode

from ..characters import one_line

_HIDDEN = frozenset(["__pycache__", "node_modules"])


class ProjectTree(DirectoryTree):
    """Folders are read in a thread when they are opened. Names are shown as text, whatever is in them."""

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """Leave out what begins with a dot, and caches."""
        return [path for path in paths if not path.name.startswith(".") and path.name not in _HIDDEN]

    def process_label(self, label: object) -> Text:
        """A name as plain text: Textual would read markup in it, and draw control characters as they are."""
        return Text(one_line(str(label)), no_wrap=True, end="")

    def render_label(self, node: TreeNode[DirEntry], base_style: Style, style: Style) -> Text:
        """The name with a sign for folders; Textual's own emoji are two cells wide in some terminals only."""
        sign = ("▾ " if node.is_expanded else "▸ ") if node.allow_expand else "  "
        return Text.assemble((sign, base_style), (one_line(str(node.label)), style), no_wrap=True, end="")
