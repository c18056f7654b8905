"""What can go wrong, each with one line for the user: what, where, what to do."""

from __future__ import annotations


class EdgePhiError(Exception):
    """The work failed. Its message is one line, and the command ends with `exit_code`."""

    exit_code = 1


class InvalidCall(EdgePhiError):
    """The call was wrong: a missing file, an unknown model, a cursor beyond the end. Exit code 2."""

    exit_code = 2


class InvalidFile(EdgePhiError):
    """A file from outside is damaged, truncated or hostile, and was not loaded."""


class MissingExtra(EdgePhiError):
    """An engine or a command needs a package that is not installed; the message says which extra brings it."""


class Cancelled(EdgePhiError):
    """The caller set the cancel event; the work stopped and left a usable runtime behind."""
