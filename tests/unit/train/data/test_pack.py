"""Record shards become token shards: grouped by source, joined by the end of text, some documents held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edge_phi.errors import InvalidCall
from edge_phi.train.data.gather import gather
from edge_phi.train.data.pack import pack, pack_records, train_tokenizer
from edge_phi.train.data.records import Record, write_records
from edge_phi.train.data.shards import read_shards
from edge_phi.train.data.steps import Step, run_step

ARRAYS = {"python": ["library"], "textbooks": ["*"]}


def corpus(folder: Path, documents: int = 400) -> Path:
    """Two shards; every third document is a textbook, the others code."""
    folder.mkdir()
    for shard in range(2):
        records = []
        for number in range(shard, documents, 2):
            source = "books" if number % 3 == 0 else "library"
            text = (
                f"def f{number}(x):\n    return x + {number}\n" if source == "library" else f"Chapter {number}: adding"
            )
            records.append(Record(f"{source}/{number}", source, str(number), "MIT", text, 10))
        write_records(folder / f"{shard:05}.parquet", records, {}, seen=lambda _: None)
    return folder


def run(source: Path, out: Path, **changes: object) -> None:
    arguments = {
        "arrays": ARRAYS,
        "held_out": "python",
        "tokenizer": None,
        "vocabulary": 300,
        "manifest": {"made": "in a test"},
        "workers": 1,
        "say": lambda _: None,
        "work": out.with_name(out.name + "-work"),
        **changes,
    }
    pack_records(source, out, **arguments)


def texts(shards: object, tokens: np.ndarray) -> list[str]:
    ends = np.flatnonzero(tokens == shards.tokenizer.token_to_id("<|endoftext|>"))
    return [shards.tokenizer.decode(part.tolist()) for part in np.split(tokens, ends + 1)[:-1]]


def test_every_document_is_in_its_array_or_held_out_once(tmp_path: Path) -> None:
    run(corpus(tmp_path / "in"), tmp_path / "out")
    shards = read_shards(tmp_path / "out")
    python, books = (texts(shards, np.concatenate(shards.arrays[name].parts)) for name in ARRAYS)
    held = texts(shards, np.concatenate(shards.validation.parts))
    assert all(text.startswith("Chapter") for text in books) and len(books) == 134
    assert held and all(text.startswith("def") for text in held)
    assert len(python) + len(held) == 266 and not set(python) & set(held)
    assert shards.manifest == {"made": "in a test"}


def test_neither_workers_nor_going_on_change_a_byte(tmp_path: Path) -> None:
    source = corpus(tmp_path / "in")
    run(source, tmp_path / "one")
    run(source, tmp_path / "two", workers=2)
    (tmp_path / "two-work" / "encoded" / "00001.npz").unlink()
    run(source, tmp_path / "two")
    for file in sorted((tmp_path / "one").iterdir()):
        assert (tmp_path / "two" / file.name).read_bytes() == file.read_bytes(), file.name


def test_too_few_documents_still_leave_one_to_validate_on(tmp_path: Path) -> None:
    run(corpus(tmp_path / "in", 5), tmp_path / "out")
    shards = read_shards(tmp_path / "out")
    assert len(texts(shards, np.concatenate(shards.validation.parts))) == 1
    with pytest.raises(InvalidCall, match="nothing in it for the array 'python'"):
        run(corpus(tmp_path / "less", 1), tmp_path / "none")


def test_what_is_packed_is_counted_in_its_own_tokens(tmp_path: Path) -> None:
    source = corpus(tmp_path / "in")
    counts = pack_records(
        source, tmp_path / "out", tmp_path / "work", arrays={"python": ["library"]}, held_out=None, tokenizer=None,
        vocabulary=300, manifest={}, workers=1, say=lambda _: None,
    )  # fmt: skip
    shards = read_shards(tmp_path / "out")
    assert counts.tokens_out == len(shards.arrays["python"]) + len(shards.validation)
    assert counts.dropped == {"of a source that no array takes": 134}


def test_another_tokenizer_is_not_taken_for_the_one_of_before(tmp_path: Path) -> None:
    source = corpus(tmp_path / "in")
    run(source, tmp_path / "out")
    run(source, tmp_path / "out", vocabulary=280)
    assert read_shards(tmp_path / "out").tokenizer.get_vocab_size() == 280
    with pytest.raises(InvalidCall, match="holds no token shards"):
        run(source, source)


def test_gathered_folders_are_read_as_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_step(
            Step(name, {}, lambda records, _: records), corpus(tmp_path / f"{name}-in", 9), tmp_path / name,
            workers=1, say=lambda _: None,
        )  # fmt: skip
    counts = gather([tmp_path / "a", tmp_path / "b"], tmp_path / "both", say=lambda _: None)
    assert counts.records_out == 18 and counts.sources["books"]["records"] == 6
    for number, name in enumerate(["a", "a", "b", "b"]):
        shard = tmp_path / "both" / f"{number:05}.parquet"
        assert shard.read_bytes() == (tmp_path / name / f"{number % 2:05}.parquet").read_bytes()


@given(texts=st.lists(st.text(max_size=40), max_size=4))
def test_packing_joins_by_end_of_text_and_loses_nothing(texts: list[str]) -> None:
    tokenizer = _tokenizer()
    tokens = pack(texts, tokenizer)
    end = tokenizer.token_to_id("<|endoftext|>")
    assert (tokens == end).sum() == len(texts)
    runs = np.split(tokens, np.flatnonzero(tokens == end) + 1)[:-1]
    assert [tokenizer.decode([int(token) for token in run[:-1]]) for run in runs] == texts


def test_end_of_text_written_in_a_document_is_text() -> None:
    tokenizer = _tokenizer()
    tokens = pack(["a <|endoftext|> b"], tokenizer)
    assert (tokens == tokenizer.token_to_id("<|endoftext|>")).sum() == 1


def _tokenizer(made: list[Tokenizer] = []) -> Tokenizer:  # noqa: B006 - trained once
    if not made:
        made.append(
            train_tokenizer(["A list keeps its items in the order in which they were added. " * 3], vocab_size=300)
        )
    return made[0]
