"""The sub-commands: whatever packages register in the entry-point group `edge_phi.commands`.

An entry point is a Typer app or a function that Typer can make a command of. Its module is imported when the command
runs and when help lists it, so it keeps what is heavy inside functions.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from . import __version__
from .errors import EdgePhiError, InvalidCall, MissingExtra

_GROUP = "edge_phi.commands"
_DISTRIBUTION = "edge-phi"

# Recent Typer brings a click of its own, older ones use the package: either way BadParameter is a usage error.
_UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])
_ClickException = cast("type[Exception]", _UsageError.__bases__[0])


def run(arguments: list[str]) -> int:
    """Run the command that `arguments` name and return its exit code.

    Raises:
        InvalidCall: no such command or option, or a value out of range.
        MissingExtra: a package that the command needs is not installed.
        KeyboardInterrupt: the user gave up.
    """
    command = typer.main.get_command(_app)
    try:
        with command.make_context("edge-phi", arguments) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except ModuleNotFoundError as error:
        raise _missing(arguments[0], error) from error
    except _ClickException as error:
        raise _wrong_call(error, arguments) from error
    return 0


class _Commands(TyperGroup):
    """Finds commands by their entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return sorted(metadata.entry_points(group=_GROUP).names)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None if there is none."""
        for entry in metadata.entry_points(group=_GROUP, name=cmd_name):
            try:
                return _as_command(entry.load(), cmd_name)
            except ModuleNotFoundError as error:
                return _unavailable(cmd_name, _missing(cmd_name, error))
        return None


_app = typer.Typer(cls=_Commands, add_completion=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edge-phi {__version__}")
        raise typer.Exit


@_app.callback()
def _edge_phi(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Complete code locally with small quantized models. Without a command: the editor."""


def _as_command(target: Any, name: str) -> Any:
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(target)
        target = app
    command = typer.main.get_command(target)
    command.name = name
    return command


def _unavailable(name: str, error: EdgePhiError) -> Any:
    """Stands in for a command whose module cannot be imported: help lists it, running it says what is missing."""

    def fail() -> None:
        raise error

    fail.__doc__ = str(error)
    app = typer.Typer(add_completion=False)
    app.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(fail)
    return typer.main.get_command(app)


def _missing(command: str, error: ModuleNotFoundError) -> EdgePhiError:
    module = str(error.name or error).partition(".")[0]
    extra = _extra_of(module)
    if extra:
        return MissingExtra(f"{command} needs {module}, which is not installed: pip install '{_DISTRIBUTION}[{extra}]'")
    return EdgePhiError(f"{command} needs {error.name or error}, which is not installed: install {_DISTRIBUTION} again")


def _extra_of(module: str) -> str | None:
    """The extra whose packages bring `module`; a package is named as its module, or begins so."""
    for requirement in metadata.requires(_DISTRIBUTION) or []:
        match = re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", requirement)
        if match and f"{match[1].lower().replace('_', '-')}-".startswith(f"{module.lower().replace('_', '-')}-"):
            return match[2]
    return None


def _wrong_call(error: Exception, arguments: list[str]) -> EdgePhiError:
    # An app that was called without a command has shown its help, and has no message.
    message = str(cast(Any, error).format_message()).strip().rstrip(".") or "Missing command"
    context = getattr(error, "ctx", None)
    path = context.command_path if context else f"edge-phi {arguments[0]}"
    kind = InvalidCall if isinstance(error, _UsageError) else EdgePhiError
    return kind(f"{message}: see '{path} --help'")
