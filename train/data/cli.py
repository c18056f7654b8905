"""`edge-phi data`: the steps from raw text to what a model is trained on."""

from __future__ import annotations

import typer

from .collect.cli import collect
from .commands import pack, run
from .decontaminate.cli import decontaminate
from .deduplicate.cli import dedup
from .endpoint.cli import app as endpoint
from .exercises.cli import exercises
from .quality.cli import quality

app = typer.Typer(help="Make what a model is trained on: one command for all, or one a step.", no_args_is_help=True)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)
app.command()(collect)
app.command()(exercises)
app.command()(dedup)
app.command()(quality)
app.command()(decontaminate)
app.command()(pack)
app.add_typer(endpoint)
