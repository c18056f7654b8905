"""What docs/training-phi-1.md says a run takes is what --dry-run says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_phi.train.dry_run import plan_run
from edge_phi.train.recipe import load_recipe

PAGE = Path(__file__).parents[3] / "docs" / "training-phi-1.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| phi-") and "e+" in line
]
HOURS = (0.3, 0.4, 0.5, 0.6)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_page_says_what_the_dry_run_says(row: list[str]) -> None:
    name, parameters, flops_per_token, tokens, flops, *hours, gpus, time, memory = row
    recipe = load_recipe(name)
    for mfu, said in zip(HOURS, hours, strict=True):
        planned = plan_run(recipe, gpus=int(gpus), gpu="H100", mfu=mfu)
        assert f"{planned.gpu_hours:,.0f}" == said
    planned = plan_run(recipe, gpus=int(gpus), gpu="H100", mfu=0.4)
    assert planned.fits
    assert f"{planned.parameters / 1e6:,.1f} M" == parameters
    assert f"{planned.flops_per_token:.3e}" == flops_per_token
    assert f"{planned.tokens / 1e9:,.1f} B" == tokens
    assert f"{planned.tokens * planned.flops_per_token:.2e}" == flops
    assert f"{planned.hours:,.1f} h" == time
    assert f"{planned.needed_bytes / 1e9:.0f} GB" == memory


def test_it_says_so_of_the_whole_family() -> None:
    assert {row[0] for row in ROWS} == {"phi-1-small-base", "phi-1-small", "phi-1-base", "phi-1", "phi-1.5", "phi-2"}
