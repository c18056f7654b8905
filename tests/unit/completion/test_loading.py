"""An engine and a tokenizer are loaded at the same time, and whichever fails, nothing stays open."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from scripted import LearnedRuntime

from edge_phi.completion import loading
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.store import Artifact
from edge_phi.tokenizer import Tokenizer, load_tokenizer

ARTIFACT = Artifact("m", "onnx", "int4", Path("m"), Path("m"))


class Closing(LearnedRuntime):
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def tokenizer(tiny_checkpoint: Path) -> Tokenizer:
    return load_tokenizer(tiny_checkpoint)


@pytest.fixture
def runtime(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> Closing:
    runtime = Closing(tokenizer, "x")
    monkeypatch.setattr(loading, "open_runtime", lambda artifact, *, threads: runtime)
    monkeypatch.setattr(loading, "open_tokenizer", lambda artifact: tokenizer)
    return runtime


def test_each_begins_before_the_other_is_done(
    runtime: Closing, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(loading, "open_runtime", lambda artifact, *, threads: (both.wait(), runtime)[1])
    monkeypatch.setattr(loading, "open_tokenizer", lambda artifact: (both.wait(), tokenizer)[1])
    loaded, words, vocabulary = loading.load(ARTIFACT, 1)
    assert (loaded, words, runtime.closed) == (runtime, tokenizer, False)
    assert tokenizer.encode("def")[0] in vocabulary.starting_with(b"d")


def test_without_a_tokenizer_the_engine_is_closed(runtime: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(artifact: Artifact) -> Tokenizer:
        raise InvalidCall("no tokenizer")

    monkeypatch.setattr(loading, "open_tokenizer", fail)
    with pytest.raises(InvalidCall, match="no tokenizer"):
        loading.load(ARTIFACT, 1)
    assert runtime.closed


def test_without_an_engine_its_error_is_raised(runtime: Closing, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(artifact: Artifact, *, threads: int) -> Closing:
        raise EdgePhiError("no engine")

    monkeypatch.setattr(loading, "open_runtime", fail)
    with pytest.raises(EdgePhiError, match="no engine"):
        loading.load(ARTIFACT, 1)


def test_a_tokenizer_with_more_words_than_the_model_is_another_models(
    runtime: Closing, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.info = runtime.info.__class__(**{**runtime.info.__dict__, "vocab_size": tokenizer.vocab_size - 1})
    with pytest.raises(InvalidFile, match="do not belong together"):
        loading.load(ARTIFACT, 1)
    assert runtime.closed
