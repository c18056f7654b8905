"""A table whose keys come from where all keys do."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import DataTable

from ..keys import bindings


class Table(DataTable[str], inherit_bindings=False):
    """Rows to choose from; Enter is the screen's."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("table")]

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True)
