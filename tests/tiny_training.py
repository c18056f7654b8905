"""A recipe and data so small that a run takes seconds; also for the processes that tests start."""

from __future__ import annotations

from pathlib import Path

from edge_phi.train.data.pack import pack, train_tokenizer
from edge_phi.train.data.shards import Shards, ShardWriter, read_shards
from edge_phi.train.recipe import Recipe, Stage

TEXTS = [f"def add_{number}(value):\n    return value + {number}\n" for number in range(400)]


def recipe(**changes: object) -> Recipe:
    """Two layers of width 64, 30 steps of 4 x 32 tokens."""
    values: dict = {
        "name": "tiny",
        "model": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
        },
        "data": {},
        "stages": (Stage("only", 1.0, peak_rate=3e-3, final_rate=1e-3, warmup=0.1, mixture={"code": 1.0}),),
        "steps": 30,
        "batch": 4,
        "length": 32,
        "optimizer": "muon",
        "validate_every": 10,
        "save_every": 10,
    }
    return Recipe(**{**values, **changes})


def write_shards(folder: Path, *, texts: list[str] = TEXTS) -> Path:
    """Token shards of small functions, some of them held out."""
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(TEXTS, vocab_size=300)
    writer = ShardWriter(folder, tokenizer)
    writer.write("code", [pack(texts, tokenizer)])
    writer.write("validation", [pack(TEXTS[:40], tokenizer)])
    writer.finish({"documents": {"sha256": "of a test"}})
    return folder


def shards(folder: Path, *, texts: list[str] = TEXTS) -> Shards:
    """The same, read."""
    return read_shards(write_shards(folder, texts=texts))
