"""Recipes and their overrides."""

from __future__ import annotations

import pytest

from edge_phi.errors import InvalidCall
from edge_phi.train.recipe import load_recipe


def test_the_bundled_recipe_with_overrides() -> None:
    recipe = load_recipe("phi-1-nano", {"steps": "50", "optimizer": "adamw", "beta2": "0.9"})
    assert (recipe.steps, recipe.optimizer, recipe.beta2) == (50, "adamw", 0.9)
    config = recipe.config(vocab_size=8192, eos_token_id=0)
    assert config.hidden_size % 256 == 0
    assert config.rotary_dim == 32


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("phi-1-nanp", {}, "did you mean phi-1-nano"),
        ("phi-1-nano", {"step": "5"}, "unknown key 'step': did you mean steps"),
        ("phi-1-nano", {"steps": "many"}, "steps is 'many': it takes a whole number"),
        ("phi-1-nano", {"steps": "0"}, "steps is 0: it must be at least 1"),
        ("phi-1-nano", {"length": "4096"}, "the model's context is 1024"),
        ("phi-1-nano", {"optimizer": "adam"}, "did you mean adamw"),
        ("phi-1-nano", {"compile": "maybe"}, "compile is 'maybe': it takes true or false"),
        ("phi-1-nano", {"model": "x"}, "copy the recipe's file"),
    ],
)
def test_wrong_calls_name_the_key_and_the_nearest_known_one(name: str, overrides: dict, message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        load_recipe(name, overrides)
