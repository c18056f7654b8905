"""Line endings: the model reads and writes "\\n", a buffer has its own, perhaps several."""

from __future__ import annotations


def newline_at(before: str, after: str) -> str:
    """What ends lines where a cursor is: as the line above it, else as the cursor's own; "\\n" if there is but one."""
    feed = before.rfind("\n")
    if feed >= 0:
        return "\r\n" if before[:feed].endswith("\r") else "\n"
    feed = after.find("\n")
    if feed >= 0:
        return "\r\n" if after[:feed].endswith("\r") else "\n"
    return "\r" if "\r" in before or "\r" in after else "\n"


def to_feeds(text: str, newline: str) -> str:
    """`text` with "\\n" for "\\r\\n", and for `newline`."""
    return text.replace("\r\n", "\n").replace(newline, "\n")


def from_feeds(text: str, newline: str) -> str:
    """`text`, in which a line ends in "\\n" or "\\r\\n", with `newline` for both."""
    return text.replace("\r\n", "\n").replace("\n", newline)
