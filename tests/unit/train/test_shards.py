"""Token shards: written once, read as they are or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.train.data.own_text import pack_own
from edge_phi.train.data.pack import pack, train_tokenizer
from edge_phi.train.data.shards import ShardWriter, read_shards

TEXTS = [f"def add_{number}(value):\n    return value + {number}\n" for number in range(400)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, vocab_size=300)


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    out = tmp_path / "shards"
    out.mkdir()
    writer = ShardWriter(out, tokenizer)
    parts = [pack(TEXTS[:150], tokenizer), pack(TEXTS[150:], tokenizer)]
    assert writer.write("code", parts) == len(pack(TEXTS, tokenizer))
    writer.write("validation", [pack(TEXTS[:10], tokenizer)])
    writer.finish({"documents": {"sha256": "of a test"}})
    return out


def test_what_was_written_is_read(folder: Path, tokenizer: Tokenizer) -> None:
    shards = read_shards(folder)
    assert list(shards.arrays) == ["code"]
    assert np.array_equal(np.concatenate(shards.arrays["code"].parts), pack(TEXTS, tokenizer))
    assert np.array_equal(shards.validation.parts[0], pack(TEXTS[:10], tokenizer))
    assert shards.tokenizer.get_vocab_size() == 300
    assert shards.manifest == {"documents": {"sha256": "of a test"}}


def test_a_large_array_is_cut_into_parts_that_numpy_would_write(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_phi.train.data.shards._TOKENS_PER_PART", 5)
    pieces = [np.arange(start, stop, dtype=np.uint16) for start, stop in [(0, 3), (3, 3), (3, 7), (7, 9)]]
    writer = ShardWriter(tmp_path, tokenizer)
    assert writer.write("code", iter(pieces)) == 9
    writer.write("validation", pieces[:1])
    writer.finish({})
    assert [part.tolist() for part in read_shards(tmp_path).arrays["code"].parts] == [[*range(7)], [7, 8]]
    np.save(tmp_path / "expected.npy", np.arange(7, dtype=np.uint16))
    assert (tmp_path / "code-00000.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    with pytest.raises(InvalidFile, match="beyond"):
        _edit_index(tmp_path, lambda index: index["arrays"]["code"][0].update(largest=300))
        read_shards(tmp_path)


def _edit_index(folder: Path, change: object) -> None:
    index = json.loads((folder / "index.json").read_text())
    change(index)  # type: ignore[operator]
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "code-00000.npy").unlink(), "code-00000.npy: missing, the index names it"),
        (
            lambda folder: (folder / "code-00000.npy").write_bytes((folder / "code-00000.npy").read_bytes()[:-100]),
            "code-00000.npy: damaged or truncated",
        ),
        (lambda folder: np.save(folder / "code-00000.npy", np.zeros(9, np.float32)), r"holds float32 \(9,\)"),
        (lambda folder: np.save(folder / "code-00000.npy", np.zeros(9, np.uint16)), r"holds uint16 \(9,\)"),
        (lambda folder: np.save(folder / "code-00000.npy", np.array([{}])), "Python objects in dtype"),
        (
            lambda folder: _edit_index(folder, lambda index: index["arrays"]["code"][0].update(largest=300)),
            "token 300 is beyond the vocabulary of 300",
        ),
        (lambda folder: _edit_index(folder, lambda index: index.update(vocab_size=400)), "packed for 400 token ids"),
        (lambda folder: _edit_index(folder, lambda index: index.update(format=9)), "format 9, not 1"),
        (lambda folder: _edit_index(folder, lambda index: index["arrays"].pop("validation")), "no array 'validation'"),
        (
            lambda folder: _edit_index(folder, lambda index: index["arrays"]["code"][0].update(file="../c.npy")),
            "outside the folder",
        ),
        (lambda folder: _edit_index(folder, lambda index: index.pop("arrays")), "index.json: damaged"),
        (lambda folder: (folder / "index.json").write_text("[1]"), "no JSON object"),
        (lambda folder: (folder / "index.json").unlink(), "make them with 'edge-phi data pack'"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json: damaged"),
    ],
)  # fmt: skip
def test_damage_is_named_in_a_line(folder: Path, harm: object, message: str) -> None:
    harm(folder)  # type: ignore[operator]
    with pytest.raises((InvalidCall, InvalidFile), match=message) as caught:
        read_shards(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_of_text_becomes_shards(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    (source / ".hidden").mkdir(parents=True)
    for number in range(40):
        text = f'"""Module {number}."""\n' + "".join(TEXTS[number * 10 : number * 10 + 10])
        (source / f"module_{number}.py").write_text(text)
    (source / "broken.py").write_text("def broken(:\n" * 20)
    (source / ".hidden" / "secret.py").write_text("password = 1\n" * 20)
    said: list[str] = []

    def run(out: str, tokenizer: Path | None = None, **sources: Path) -> None:
        pack_own(
            tmp_path / out, {name: str(path) for name, path in sources.items()}, tmp_path / f"{out}-work",
            tokenizer=tokenizer, vocabulary=300, benchmarks=None, workers=1, say=said.append,
        )  # fmt: skip

    run("out", code=source)
    shards = read_shards(tmp_path / "out")
    decoded = shards.tokenizer.decode(np.concatenate(shards.arrays["code"].parts).tolist())
    assert decoded.count('"""Module') + len(_documents(shards.validation.parts[0])) == 40
    assert "password" not in decoded
    assert any("does not parse as Python" in line for line in said)

    # the same tokenizer again, and nothing but shards is replaced
    words = tmp_path / "out" / "tokenizer.json"
    run("again", words, code=source)
    for file in (tmp_path / "out").glob("*.npy"):
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(InvalidCall, match="holds no token shards"):
        run("mine", words, code=source)

    # what a step has left is packed as it is
    run("steps", words, code=tmp_path / "out-work" / "dedup")
    assert (tmp_path / "steps" / "code-00000.npy").read_bytes() == (tmp_path / "out" / "code-00000.npy").read_bytes()
    with pytest.raises(InvalidCall, match="code is a source in two"):
        run("twice", words, a=tmp_path / "out-work" / "dedup", b=tmp_path / "out-work" / "collect-code")


@pytest.mark.parametrize("name", ["../code", "", "a/b", "x" * 200])
def test_an_array_cannot_leave_the_folder_by_its_name(tmp_path: Path, tokenizer: Tokenizer, name: str) -> None:
    with pytest.raises(EdgePhiError, match="a name has letters"):
        ShardWriter(tmp_path, tokenizer).write(name, [np.ones(3, np.uint16)])


def test_who_brings_shards_needs_nothing_that_makes_them() -> None:
    code = "import sys, edge_phi.train.run; print(*({'datatrove', 'pyarrow', 'sklearn'} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def _documents(tokens: np.ndarray) -> list[np.ndarray]:
    end = tokens[-1]
    return np.split(tokens, np.flatnonzero(tokens == end) + 1)[:-1]
