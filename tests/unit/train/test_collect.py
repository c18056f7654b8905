"""What is collected, what is left out, and how it is packed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edge_phi.errors import InvalidCall
from edge_phi.train.data.collect import Document, collect, standard_library, text_folder, write_documents
from edge_phi.train.data.pack import pack, train_tokenizer

PROSE = "A list keeps its items in the order in which they were added, and may hold the same item more than once. "


def document(path: str, text: str) -> Document:
    return Document(f"set/{path}", "set", path, "MIT", text)


def test_unfit_documents_are_dropped_and_counted() -> None:
    long_line = "x = [" + "1, " * 2000 + "]\n"
    found = collect(
        [
            [
                document("good.py", f'"""{PROSE}"""\n'),
                document("good.md", PROSE),
                document("copy.md", PROSE),
                document("broken.py", f"def f(:\n    {PROSE}"),
                document("minified.py", long_line),
                document("short.md", "hello"),
                document("binary.md", PROSE + "\0"),
            ]
        ]
    )
    assert [kept.path for kept in found.documents] == ["good.py", "good.md"]
    assert found.dropped == {
        "an exact copy of another": 1,
        "does not parse as Python": 1,
        "empty, unreadable or under 80 characters": 1,
        "holds NUL characters": 1,
        "minified or generated": 1,
    }
    assert found.manifest["sources"]["set"]["documents"] == 2


def test_overlap_with_a_benchmark_is_left_out(tmp_path: Path) -> None:
    problem = "write a function that takes seven green bottles and counts how many of them are still standing"
    (tmp_path / "humaneval").mkdir()
    (tmp_path / "mbpp").mkdir()
    with gzip.open(tmp_path / "humaneval" / "HumanEval.jsonl.gz", "wt") as file:
        file.write(json.dumps({"prompt": problem, "canonical_solution": "    return 7\n"}) + "\n")
    (tmp_path / "mbpp" / "mbpp.jsonl").write_text(json.dumps({"task_id": 11, "text": "t", "code": "c"}) + "\n")
    found = collect(
        [[document("a.md", f"{PROSE} Now {problem.upper()}!"), document("b.md", PROSE)]], benchmarks=tmp_path
    )
    assert [kept.path for kept in found.documents] == ["b.md"]
    with pytest.raises(InvalidCall, match="humaneval"):
        collect([[document("b.md", PROSE)]], benchmarks=tmp_path / "nowhere")


def test_known_contaminated_sets_are_found(evaluation_data: Path) -> None:
    corpus = evaluation_data / "corpus"
    sets = {"interactive_coding_challenges", "python_docs_3.11", "byte_of_python"}
    documents = [found for found in text_folder(corpus) if found.source in sets]
    kept = {found.id for found in collect([documents], benchmarks=evaluation_data / "eval").documents}
    lost = {found.source for found in documents if found.id not in kept and len(found.text) > 80}
    assert {"interactive_coding_challenges", "python_docs_3.11"} <= lost
    assert "byte_of_python" not in lost


def test_the_standard_library_without_its_tests() -> None:
    paths = {found.path for found in standard_library()}
    assert "argparse.py" in paths
    assert not any(path.startswith(("test/", "site-packages/")) for path in paths)


def test_documents_written_are_read_back(tmp_path: Path) -> None:
    documents = [document("a.md", PROSE), document("b.md", "é" + PROSE)]
    (tmp_path / "set").mkdir()
    write_documents(tmp_path / "set" / "d.jsonl.gz", documents)
    with gzip.open(tmp_path / "set" / "d.jsonl.gz", "ab") as file:
        file.write(b"{broken\n[1]\n")
    again = list(text_folder(tmp_path))
    assert again[:2] == documents
    assert [found.text for found in again[2:]] == ["", ""]  # dropped later, and counted
    with pytest.raises(InvalidCall, match="holds no"):
        list(text_folder(tmp_path / "set"))


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
        made.append(train_tokenizer([PROSE * 3], vocab_size=300))
    return made[0]
