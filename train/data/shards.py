"""Token shards: the folder that packing writes and training reads, as small as text and read without being loaded.

index.json        what is there: the vocabulary's size and every array's parts with their tokens and largest id
tokenizer.json    made the tokens
manifest.json     where the text came from, licences and hashes
NAME-00000.npy    uint16 [tokens], documents joined by the end-of-text token; "validation" is held out
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile

END_OF_TEXT = "<|endoftext|>"
VALIDATION = "validation"
INDEX_FILE = "index.json"
MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"
_FORMAT = 1
_TOKENS_PER_PART = 2**27  # 256 MB


@dataclass(frozen=True)
class TokenArray:
    """One named array in one or more parts; a sequence never runs from one part into the next."""

    name: str
    parts: tuple[npt.NDArray[np.uint16], ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))


@dataclass(frozen=True)
class Shards:
    """Token arrays by name, with the tokenizer that made them."""

    tokenizer: Any  # a tokenizers.Tokenizer
    arrays: dict[str, TokenArray]
    validation: TokenArray  # of documents that no other array holds
    manifest: dict[str, Any]


class ShardWriter:
    """Writes a shards folder: arrays one after the other, the index last.

    Args:
        folder: an empty folder; see `edge_phi.atomic.atomic_folder`.
        tokenizer: made the tokens.
    """

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        self._folder = folder
        self._tokenizer = tokenizer
        self._arrays: dict[str, list[dict[str, Any]]] = {}

    def write(self, name: str, pieces: Iterable[npt.NDArray[np.uint16]]) -> int:
        """Write one array and return how many tokens it holds; each part ends with a piece, from about 2**27 tokens on.

        Raises:
            InvalidCall: `name` cannot be a file's name.
            EdgePhiError: the folder cannot be written to.
        """
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name):
            raise InvalidCall(f"array {name!r}: a name has letters, digits, '_', '.' and '-'")
        entries = self._arrays.setdefault(name, [])
        remaining = filter(len, pieces)
        while (first := next(remaining, None)) is not None:
            file = f"{name}-{len(entries):05}.npy"
            entries.append({"file": file, **_write_part(self._folder / file, first, remaining)})
        return sum(entry["tokens"] for entry in entries)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the tokenizer, the manifest and the index."""
        self._tokenizer.save(str(self._folder / TOKENIZER_FILE))
        _write_json(self._folder / MANIFEST_FILE, manifest)
        _write_json(
            self._folder / INDEX_FILE,
            {"format": _FORMAT, "vocab_size": self._tokenizer.get_vocab_size(), "arrays": self._arrays},
        )


def read_shards(folder: Path) -> Shards:
    """Memory-map a shards folder.

    Raises:
        InvalidCall: no shards there, or a part that the index names is missing.
        InvalidFile: damaged, truncated, of another type, or with token ids beyond the vocabulary.
    """
    index = read_json(folder / INDEX_FILE)
    manifest = read_json(folder / MANIFEST_FILE)
    tokenizer = read_tokenizer(folder / TOKENIZER_FILE)
    try:
        if index["format"] != _FORMAT:
            raise InvalidFile(f"{folder / INDEX_FILE}: format {index['format']}, not {_FORMAT}: pack the text again")
        size = int(index["vocab_size"])
        if size != tokenizer.get_vocab_size():
            raise InvalidFile(
                f"{folder}: packed for {size} token ids, its tokenizer has {tokenizer.get_vocab_size()}: pack it again"
            )
        arrays = {
            str(name): TokenArray(str(name), tuple(_read_part(folder, entry, size) for entry in entries))
            for name, entries in index["arrays"].items()
            if entries
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidFile(f"{folder / INDEX_FILE}: damaged ({error!r}): pack the text again") from error
    if VALIDATION not in arrays:
        raise InvalidFile(f"{folder}: holds no array 'validation': pack it again with some text held out")
    return Shards(tokenizer, arrays, arrays.pop(VALIDATION), manifest)


def read_json(path: Path) -> dict[str, Any]:
    """An object from one of the folder's JSON files.

    Raises:
        InvalidCall: no such file.
        InvalidFile: no JSON object in it.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidCall(f"{path}: missing: no token shards here, make them with 'edge-phi data pack'") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: damaged ({error}): remove {path.parent} and make it again") from error
    if not isinstance(value, dict):
        raise InvalidFile(f"{path}: damaged (no JSON object): remove {path.parent} and make it again")
    return value


def read_tokenizer(path: Path) -> Any:
    """A `tokenizers.Tokenizer` that knows the end-of-text token.

    Raises:
        InvalidCall: no such file.
        InvalidFile: damaged, or without it.
    """
    from tokenizers import Tokenizer

    if not path.is_file():
        raise InvalidCall(f"{path}: missing: give the folder that holds it")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the engine raises bare Exception
        raise InvalidFile(f"{path}: damaged ({error}): give a tokenizer.json") from error
    if tokenizer.token_to_id(END_OF_TEXT) is None:
        raise InvalidFile(f"{path}: has no {END_OF_TEXT}: pack the text with a tokenizer that has")
    return tokenizer


def _write_part(path: Path, first: npt.NDArray[np.uint16], more: Iterator[npt.NDArray[np.uint16]]) -> dict[str, Any]:
    """Write pieces to a .npy file as they come, so that memory holds one of them: what the index says of the part."""
    tokens, largest = 0, 0
    with path.open("wb") as file:
        _write_header(file, 0)
        start = file.tell()
        for piece in itertools.chain([first], more):
            file.write(np.ascontiguousarray(piece, dtype="<u2").data)
            tokens, largest = tokens + len(piece), max(largest, int(piece.max()))
            if tokens >= _TOKENS_PER_PART:
                break
        file.seek(0)
        _write_header(file, tokens)
        if file.tell() != start:
            raise EdgePhiError(f"{path}: this numpy's .npy headers grow with the array: install numpy 1.23 or later")
    return {"tokens": tokens, "largest": largest}


def _write_header(file: BinaryIO, tokens: int) -> None:
    header = {"descr": "<u2", "fortran_order": False, "shape": (tokens,)}
    np.lib.format.write_array_header_1_0(file, header)


def _read_part(folder: Path, entry: dict[str, Any], vocab_size: int) -> npt.NDArray[np.uint16]:
    name = str(entry["file"])
    path = folder / name
    if Path(name).name != name:
        raise InvalidFile(f"{folder / INDEX_FILE}: names {name!r}, outside the folder: pack the text again")
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InvalidCall(f"{path}: missing, the index names it: copy it here or pack the text again") from error
    except (OSError, ValueError) as error:
        raise InvalidFile(f"{path}: damaged or truncated ({error}): pack the text again") from error
    if tokens.dtype != np.uint16 or tokens.ndim != 1 or len(tokens) != entry["tokens"]:
        raise InvalidFile(
            f"{path}: holds {tokens.dtype} {tokens.shape}, not {entry['tokens']} uint16 tokens: pack it again"
        )
    if int(entry["largest"]) >= vocab_size:
        raise InvalidFile(f"{path}: token {entry['largest']} is beyond the vocabulary of {vocab_size}: pack it again")
    return tokens  # type: ignore[no-any-return]


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
