"""Collect training documents: Python's standard library as installed here, and folders of licensed text.

Every document is one record (id, source, path, license, text). What is left out is counted under its reason. Python
that does not parse, generated or minified files and exact copies are dropped, and so is every document that shares
13 words in a row with a benchmark's docstrings or solutions (section 5 of "Textbooks Are All You Need" looks for
13-gram overlap); a benchmark is only ever compared with, never collected.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import re
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_phi.errors import InvalidCall

_LONGEST_LINE = 1_000  # characters; longer ones are data or minified code
_LONGEST_TEXT = 1_000_000  # characters
_NGRAM_WORDS = 13
_SKIPPED_FOLDERS = {
    "encodings",
    "pydoc_data",
    "site-packages",
    "test",
    "tests",
    "idle_test",
    "__pycache__",
    "lib2to3",
    "turtledemo",
}


@dataclass(frozen=True)
class Document:
    """One text to train on, and where it came from."""

    id: str
    source: str
    path: str
    license: str
    text: str


@dataclass(frozen=True)
class Collection:
    """What was kept, and how many documents were dropped for which reason."""

    documents: tuple[Document, ...]
    dropped: dict[str, int]

    @property
    def manifest(self) -> dict[str, Any]:
        """Documents, characters and licences of each source, and one sha256 over every document's id and text."""
        digest = hashlib.sha256()
        sources: dict[str, dict[str, Any]] = {}
        for document in self.documents:
            digest.update(f"{document.id}\0{document.text}\0".encode("utf-8", "surrogatepass"))
            source = sources.setdefault(document.source, {"documents": 0, "characters": 0, "licenses": []})
            source["documents"] += 1
            source["characters"] += len(document.text)
            if document.license not in source["licenses"]:
                source["licenses"].append(document.license)
        return {"sha256": digest.hexdigest(), "sources": sources, "dropped": self.dropped}


def collect(sources: Iterable[Iterable[Document]], *, benchmarks: Path | None = None) -> Collection:
    """Gather documents, keep each text once and only what is fit to train on.

    Args:
        sources: as `standard_library` and `text_folder` give them.
        benchmarks: the folder of HumanEval and MBPP, to leave out what overlaps with them; not checked if None.
    """
    kept: list[Document] = []
    dropped: Counter[str] = Counter()
    seen: set[bytes] = set()
    forbidden = benchmark_ngrams(benchmarks) if benchmarks else frozenset()
    for source in sources:
        for document in source:
            digest = hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).digest()
            reason = _unfit(document) or (digest in seen and "an exact copy of another") or None
            if reason is None and forbidden and not forbidden.isdisjoint(_ngrams(document.text)):
                reason = "13 words in a row shared with a benchmark"
            if reason:
                dropped[reason] += 1
                continue
            seen.add(digest)
            kept.append(document)
    return Collection(tuple(kept), dict(sorted(dropped.items())))


def standard_library() -> Iterator[Document]:
    """The running Python's standard library, its own tests left out. Licence: PSF-2.0."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if _SKIPPED_FOLDERS.isdisjoint(relative.parts):
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                text = ""
            yield _document("standard_library", str(relative), "PSF-2.0", text)


def text_folder(folder: Path) -> Iterator[Document]:
    """Documents of `folder`/*/*.jsonl.gz, lines of {path, license, text}; broken or foreign lines come out empty.

    Raises:
        InvalidCall: there is no such folder, or no .jsonl.gz in it.
    """
    files = sorted(folder.glob("*/*.jsonl.gz"))
    if not files:
        raise InvalidCall(f"{folder}: holds no SET/*.jsonl.gz: give a folder of text sets")
    for file in files:
        yield from text_lines(file, source=file.parent.name)


def text_lines(file: Path, *, source: str) -> Iterator[Document]:
    """Documents of one .jsonl.gz, lines of {path, license, text}; broken or foreign lines come out empty.

    Raises:
        InvalidCall: no such file, or it is not compressed with gzip.
    """
    try:
        with gzip.open(file, "rb") as lines:
            for number, line in enumerate(lines):
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if not isinstance(record, dict) or not isinstance(record.get("text"), str):
                    yield _document(source, f"line {number + 1}", "", "")
                    continue
                path, license_ = str(record.get("path", number)), str(record.get("license", "unknown"))
                yield _document(source, path, license_, record["text"])
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidCall(f"{file}: not readable as gzipped JSON lines ({error})") from error


def source_files(folder: Path) -> Iterator[Document]:
    """The .py, .md, .rst and .txt files below a folder, hidden folders left out; licence as the user knows it.

    Raises:
        InvalidCall: none there.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".md", ".rst", ".txt")
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise InvalidCall(f"{folder}: holds no .py, .md, .rst or .txt: give a folder of text")
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text = ""
        yield _document(folder.name, str(path.relative_to(folder)), "unknown", text)


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write documents as gzipped JSON lines, the same bytes for the same documents."""
    from edge_phi.atomic import atomic_file

    with atomic_file(path) as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        for document in documents:
            file.write(json.dumps(document.__dict__, ensure_ascii=True).encode() + b"\n")


def benchmark_ngrams(folder: Path) -> frozenset[int]:
    """Hashes of every 13 words in a row in the problems and solutions of HumanEval and MBPP's test split.

    Raises:
        InvalidCall: the folder does not hold both.
    """
    texts: list[str] = []
    try:
        with gzip.open(folder / "humaneval" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                problem = json.loads(line)
                texts += [problem["prompt"], problem["canonical_solution"]]
        for line in (folder / "mbpp" / "mbpp.jsonl").read_text(encoding="utf-8").splitlines():
            problem = json.loads(line)
            if 11 <= problem["task_id"] <= 510:
                texts += [problem["text"], problem["code"]]
    except OSError as error:
        raise InvalidCall(f"{folder}: {error}: give the folder that holds humaneval/ and mbpp/") from error
    return frozenset(ngram for text in texts for ngram in _ngrams(text))


def _ngrams(text: str) -> Iterator[int]:
    words = re.findall(r"\w+", text.lower())
    for start in range(len(words) - _NGRAM_WORDS + 1):
        yield hash(tuple(words[start : start + _NGRAM_WORDS]))


def _document(source: str, path: str, license_: str, text: str) -> Document:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Document(f"{source}/{path}", source, path, license_, text)


def _unfit(document: Document) -> str | None:
    """Why not to train on this document, or None."""
    text = document.text
    if len(text) < 80:
        return "empty, unreadable or under 80 characters"
    if len(text) > _LONGEST_TEXT:
        return "over a million characters"
    if "\0" in text:
        return "holds NUL characters"
    if document.path.endswith(".py"):
        if max(map(len, text.splitlines()), default=0) > _LONGEST_LINE:
            return "minified or generated"
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return "does not parse as Python"
    return None
