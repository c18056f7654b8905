"""The options that every command with an endpoint has."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[str, typer.Option("--endpoint", help="Base of an OpenAI-compatible API, as http://localhost:8000/v1.")]
Model = Annotated[str, typer.Option(help="The name that the endpoint knows the model by.")]
Concurrency = Annotated[int, typer.Option(help="Requests at a time.")]
Timeout = Annotated[float, typer.Option(help="Seconds for one answer.")]
Patience = Annotated[float, typer.Option(help="Seconds to go on trying while the endpoint is away or failing.")]
MaxTokensTotal = Annotated[int | None, typer.Option(help="Of prompts and answers in the journal together; then stop.")]
MaxCost = Annotated[float | None, typer.Option(help="Of the same, in the currency of the prices.")]
PromptPrice = Annotated[float, typer.Option(help="Of a million tokens.")]
CompletionPrice = Annotated[float, typer.Option(help="Of a million tokens.")]
License = Annotated[str, typer.Option("--license", help="What the endpoint's terms allow for its answers, as SPDX.")]
Seed = Annotated[int, typer.Option(help="The same seed asks the same questions.")]
Temperature = Annotated[float, typer.Option(help="0 for the likeliest answer.")]
MaxTokens = Annotated[int, typer.Option(help="Of one answer.")]
Workers = Annotated[int, typer.Option(help="Processes that check the answers.")]
