"""`edge-phi complete` read without Typer is the same call as with it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_phi import commands
from edge_phi.completion import cli, start
from edge_phi.errors import EdgePhiError

DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(start.start).parameters.items()}

values = st.sampled_from(["x.py", "3:4", "1", "0.5", "-1.5", "-2", "nan", "int4", "--json", "-m", "--seed", "", "1_0"])
options = st.sampled_from([*start._OPTIONS, "--json", "--help", "--at=1:2", "--", "-", "-x"])


@given(arguments=st.lists(st.one_of(options, values), max_size=6))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_begins_at_once_is_what_the_command_does(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    calls: list[dict[str, Any]] = []

    def called(file: Path | None = None, **given_: Any) -> None:
        calls.append({**DEFAULTS, "file": file, **given_})

    monkeypatch.setattr(start, "start", called)
    monkeypatch.setattr(cli, "start", called)
    at_once = start.quick(arguments)
    if at_once is None:
        assert not calls
        return
    command = commands._as_command(cli.complete, "complete")
    try:
        with command.make_context("complete", list(arguments)) as context:
            command.invoke(context)
    except EdgePhiError as error:
        pytest.fail(f"the command refuses {arguments}: {error}")
    assert len(calls) == 2
    assert repr(calls[0]) == repr(calls[1])  # nan is not itself


def test_help_and_what_is_wrong_are_left_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "start", lambda *_, **__: pytest.fail("it began"))
    for arguments in (["--help"], ["--at"], ["--max-tokens", "many"], ["a", "b"], ["--model", "-q"], ["--at=1:1"]):
        assert start.quick(arguments) is None
