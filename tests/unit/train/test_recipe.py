"""Recipes and their overrides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.train import recipe as recipe_module
from edge_phi.train.recipe import Recipe, Stage, load_recipe

RECIPES = sorted(path.stem for path in (Path(recipe_module.__file__).parent / "recipes").glob("*.toml"))

# The published geometries, from microsoft/phi-1, phi-1_5 and phi-2 and section 2.3 of arXiv 2306.11644.
PARAMETERS = {
    "phi-1-base": 1_418_270_720,
    "phi-1": 1_418_270_720,
    "phi-1-small-base": 356_794_368,
    "phi-1-small": 356_794_368,
    "phi-1.5": 1_418_270_720,
    "phi-2": 2_779_683_840,
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_sound(name: str) -> None:
    of_any_checkpoint = {"start_from": "phi-1-nano"} if name == "quantize-aware" else None
    recipe = load_recipe(name, of_any_checkpoint)
    assert recipe.name == name
    config = recipe.config(vocab_size=recipe.model.get("vocab_size", recipe.vocabulary), eos_token_id=0)
    if name in PARAMETERS:
        assert config.parameters == PARAMETERS[name]
        assert (config.vocab_size, recipe.length) == (51_200, 2048)
    assert config.rotary_dim == 32  # in all of the family
    # The best checkpoint is known only by a loss that was measured where it was kept.
    assert not recipe.keep_every or recipe.keep_every % recipe.validate_every == 0


def test_the_recipes_are_the_papers() -> None:
    """Sections 2.3 of arXiv 2306.11644 and 2309.05463; ends of runs in tokens."""

    def billions_of_tokens(recipe: Recipe) -> float:
        return recipe.last_step * recipe.batch * recipe.length / 1e9

    def rates(recipe: Recipe) -> tuple[float, int]:
        (stage,) = recipe.stages
        return stage.peak_rate, round(stage.warmup * recipe.steps)

    for name in ("phi-1-base", "phi-1-small-base"):
        base = load_recipe(name)
        assert (base.steps, base.batch, base.weight_decay, base.optimizer) == (36_000, 1024, 0.1, "adamw")
        assert rates(base) == (1e-3, 750)
    for name in ("phi-1", "phi-1-small"):
        finetuned = load_recipe(name)
        assert (finetuned.steps, finetuned.batch, finetuned.weight_decay, finetuned.keep_every) == (
            6000,
            256,
            0.01,
            1000,
        )
        assert rates(finetuned) == (1e-4, 50)
        assert finetuned.start_from == f"runs/{name}-base/checkpoint"
        assert finetuned.model == load_recipe(f"{name}-base").model
    assert load_recipe("phi-1-base").last_step == 24_000
    assert billions_of_tokens(load_recipe("phi-1-base")) == pytest.approx(50.33, abs=0.01)
    later = load_recipe("phi-1.5")
    assert (later.beta1, later.beta2, later.eps, later.weight_decay, later.batch) == (0.9, 0.98, 1e-7, 0.1, 2048)
    assert rates(later) == (2e-4, 0)
    assert later.stages[0].final_rate == 2e-4  # constant
    assert billions_of_tokens(later) == pytest.approx(150, rel=1e-4)
    assert billions_of_tokens(load_recipe("phi-2")) == pytest.approx(1400, rel=1e-4)
    assert load_recipe("phi-2").grow_from == "runs/phi-1.5/checkpoint"


def test_the_bundled_models_recipe_stays_as_it_was_trained() -> None:
    recipe = load_recipe("phi-1-nano")
    assert (recipe.steps, recipe.batch, recipe.length, recipe.optimizer, recipe.beta2) == (1150, 4, 1024, "muon", 0.98)
    assert (recipe.weight_decay, recipe.clip, recipe.exercises, recipe.seed) == (0.1, 1.0, 15_000, 1)
    assert recipe.stages == (
        Stage("pretrain", 0.75, 3e-3, 6e-4, 0.03,
              {"python": 0.5, "textbooks": 0.3, "reference": 0.1, "exercises": 0.1}),
        Stage("finetune", 0.25, 6e-4, 2e-5, 0.0, {"python": 0.25, "textbooks": 0.05, "exercises": 0.7}),
    )  # fmt: skip


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
        ("phi-1.4", {}, "did you mean phi-1"),
        ("phi-1-base", {"micro-bach": "4"}, "unknown key 'micro_bach': did you mean micro_batch"),
        ("phi-1-base", {"batch": "2.5"}, "batch is '2.5': it takes a whole number"),
        ("phi-1-base", {"clip": "nan"}, "clip is 'nan': it takes a number"),
        ("phi-1-base", {"clip": "0"}, "clip is 0.0: it must be more than 0"),
        ("phi-1-base", {"beta2": "1"}, "beta2 is 1.0: it must be at least 0 and less than 1"),
        ("phi-1-base", {"stop": "36001"}, "the schedule ends at step 36000"),
        ("phi-2", {"start_from": "there"}, "start_from and grow_from exclude each other"),
    ],
)
def test_wrong_calls_name_the_key_and_the_nearest_known_one(name: str, overrides: dict, message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        load_recipe(name, overrides)


EDITS = [
    ("hidden_size = 256", "hiden_size = 256", "unknown key 'hiden_size' in model: did you mean hidden_size"),
    ("hidden_size = 256", "", "model has no hidden_size"),
    ("hidden_size = 256", 'hidden_size = "wide"', "model's hidden_size is 'wide': it takes a whole number"),
    ("peak_rate = 3e-3", 'peak_rate = "fast"', "a stage's peak_rate is 'fast': it takes a number"),
    ("peak_rate = 3e-3", "peek_rate = 3e-3", "unknown key 'peek_rate' in a stage: did you mean peak_rate"),
    ("peak_rate = 3e-3", "", "a stage has no peak_rate"),
    ("warmup = 0.03", "warmup = 1.5", "warmup is 1.5: it is a share of the stage's steps"),
    ("share = 0.75", "share = 0.8", "shares do not add up to 1"),
    ("python = 0.50", "python = -0.50", "stage pretrain has a number below 0"),
]


@pytest.mark.parametrize(("old", "new", "message"), EDITS)
def test_a_recipe_of_ones_own_is_checked(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (Path(recipe_module.__file__).parent / "recipes" / "phi-1-nano.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidCall, match=message):
        load_recipe(str(path))


@given(key=st.sampled_from([*Recipe.__dataclass_fields__]), value=st.text(max_size=12))
def test_any_override_is_taken_or_refused_in_one_line(key: str, value: str) -> None:
    try:
        load_recipe("phi-1-nano", {key: value})
    except EdgePhiError as error:
        assert len(str(error).splitlines()) == 1
