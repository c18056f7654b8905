"""`edge-phi doctor`: what this machine has, where things are, and whether programs nobody has read can be run on it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import platformdirs
import typer

from . import lineage, store
from .engines import ENGINES
from .errors import EdgePhiError, MissingExtra
from .evaluate.sandbox import Isolation, probe
from .measure.machine import Machine, this_machine


@dataclass(frozen=True)
class Examined:
    """All that was looked at."""

    machine: Machine
    places: dict[str, str]
    damage: str  # what is wrong with the bundled model, empty if nothing is
    isolation: Isolation


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the lines.")] = False,
) -> None:
    """Say what this machine has: engines, models, and what its sandbox is made of.

    Ends with 1 if the bundled model is damaged. A sandbox that is not enough is no failure: what needs one refuses.
    """
    examined = examine()
    typer.echo(json.dumps(_document(examined), indent=2) if as_json else "\n".join(_lines(examined)))
    if examined.damage:
        raise EdgePhiError(examined.damage)


def examine() -> Examined:
    """Look at this machine; nothing heavy is imported."""
    places = {
        "bundled models": str(store.bundled_folder()),
        "models": str(store.user_folder()),
        "cache": platformdirs.user_cache_dir("edge-phi", appauthor=False),
        "data": os.environ.get("EDGE_PHI_DATA", "not set: EDGE_PHI_DATA names it"),
    }
    return Examined(this_machine(), places, _damage(), probe())


def _damage() -> str:
    """Why the bundled model is not as it was shipped, or nothing."""
    folder = store.bundled_folder() / store.DEFAULT_MODEL
    try:
        for artifact in ("model.onnx", "onnx-int4"):
            lineage.verify(folder / artifact)
    except EdgePhiError as error:
        return str(error)
    return ""


def _document(examined: Examined) -> dict[str, Any]:
    return {
        "machine": asdict(examined.machine),
        "places": examined.places,
        "bundled_model": {"name": store.DEFAULT_MODEL, "damage": examined.damage or None},
        "sandbox": {
            "enough": examined.isolation.enough,
            "mechanisms": [asdict(one) for one in examined.isolation.mechanisms],
        },
    }


def _lines(examined: Examined) -> list[str]:
    machine = examined.machine
    memory = f"{machine.memory_bytes / 1e9:.0f} GB" if machine.memory_bytes else "of unknown size"
    sets = f" ({', '.join(machine.instruction_sets)})" if machine.instruction_sets else ""
    rows = [
        ("edge-phi", machine.edge_phi),
        ("Python", machine.python),
        ("system", machine.system),
        ("processor", f"{machine.cpu}, {machine.cores} cores usable{sets}"),
        ("memory", memory),
        *((f"engine {engine}", _engine(engine, machine)) for engine in ENGINES),
        *examined.places.items(),
        (store.DEFAULT_MODEL, examined.damage or "as it was shipped, by its hashes"),
        *(
            (f"sandbox: {one.name}", one.detail if one.present else f"no: {one.detail}")
            for one in examined.isolation.mechanisms
        ),
        ("sandbox", _verdict(examined.isolation)),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {said}" for name, said in rows]


def _engine(name: str, machine: Machine) -> str:
    from .runtimes import instruction_set  # with numpy, which nothing else here needs

    packages, extra = ENGINES[name].packages, ENGINES[name].extra
    if not all(package in machine.engines for package in packages):
        return f"not installed: pip install 'edge-phi[{extra}]'" if extra else "missing: install edge-phi again"
    try:
        chosen = instruction_set(name)
    except MissingExtra as error:
        return f"not there: {error}"
    versions = ", ".join(f"{package} {machine.engines[package]}" for package in packages)
    return versions + (f", computes with {chosen}" if chosen else "")


def _verdict(isolation: Isolation) -> str:
    if isolation.enough:
        return "enough to run programs that nobody has read"
    return "not enough: programs that nobody has read are refused here (docs/sandbox.md says what is needed)"
