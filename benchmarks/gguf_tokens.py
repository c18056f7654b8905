"""Does llama.cpp split text by a GGUF file of ours as the Hugging Face tokenizer it was made from does?

    python benchmarks/gguf_tokens.py --tokenizer FOLDER [--tokenizer FOLDER ...] [--count 20000]

The snippets are drawn with a fixed seed: prose and code, every plane of Unicode, combining marks and joined emoji,
digits, contractions, tabs, runs of up to 64 spaces, line ends of all kinds, NUL and other control characters, and the
end-of-text token written out. Both ways of reading special tokens are compared: as text, and as tokens.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from revision import commit
from safetensors.numpy import save_file

from edge_phi.atomic import write_bytes
from edge_phi.checkpoint import PhiConfig
from edge_phi.convert.gguf import export_gguf
from edge_phi.runtimes.llama_cpp import load_llama_cpp

RESULTS = Path(__file__).parent / "results"
END_OF_TEXT = "<|endoftext|>"

# Blocks of Unicode from which characters are drawn, first and last; the last is all there is.
BLOCKS = (
    (0x00, 0x1F), (0x20, 0x7E), (0x7F, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF),
    (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1EFF),
    (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2500, 0x27BF), (0x3000, 0x30FF),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xFB00, 0xFB4F), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF),
    (0x10000, 0x100FF), (0x1D400, 0x1D7FF), (0x1F100, 0x1F1FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF),
    (0xE0000, 0xE007F), (0x0, 0x10FFFF),
)  # fmt: skip
SPACES = (
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\v",
    "\f",
    "\u0085",
    "\u00a0",
    "\u1680",
    "\u2003",
    "\u2028",
    "\u3000",
    "\ufeff",
)
WORDS = (
    "def", "return", "self", "import numpy as np", "isinstance", "lambda", "the", "don't", "we'll", "I'VE", "it's",
    "O'Neil", "''", "'s", "'S", "3.14159", "1_000_000", "0xDEADBEEF", "12,345", "²³", "½", "Ⅷ", "٣٤", "x1y2",
    "__init__", "->", "!=", "**", "#", '"""', "naïve", "straße", "Ελλάδα", "привет",
    "日本語", "한국어", "ภาษา", "हिन्दी", "עברית",
    "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "❤️", "é", "e\u0301", "\u200b", "\u202e", "\0", "\x1b[0m", END_OF_TEXT, "<|", "|>",
)  # fmt: skip


def snippets(count: int, seed: int = 20) -> Iterator[str]:
    """Texts of up to some hundred characters; the first are every run of spaces and of tabs up to 64."""
    drawn = random.Random(seed)
    runs = [f"{before}{kind * length}{after}" for kind in " \t" for length in range(1, 65)
            for before, after in (("", ""), ("x", "y"), ("\n", "def"))]  # fmt: skip
    yield from runs[:count]
    for _ in range(count - len(runs)):
        yield "".join(_part(drawn) for _ in range(drawn.randint(1, 12)))


def _part(drawn: random.Random) -> str:
    kind = drawn.random()
    if kind < 0.25:
        return drawn.choice(SPACES[:2] if drawn.random() < 0.7 else SPACES) * drawn.choice(
            (1, 1, 2, 4, 8, drawn.randint(1, 64))
        )
    if kind < 0.65:
        return drawn.choice(WORDS)
    first, last = drawn.choice(BLOCKS)
    characters = (chr(drawn.randint(first, last)) for _ in range(drawn.randint(1, 8)))
    return "".join(character for character in characters if not 0xD800 <= ord(character) <= 0xDFFF)


@dataclass(frozen=True)
class Difference:
    """A text that is split in two ways."""

    text: str
    special: bool  # whether special tokens in it count as such
    ours: list[int]  # llama.cpp's, by the GGUF file
    theirs: list[int]  # the Hugging Face tokenizer's


def compare(gguf: Path, tokenizer_file: Path, texts: Iterator[str]) -> list[Difference]:
    """Every difference there is."""
    engine = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    differences = []
    with _vocabulary(gguf) as (llama, vocabulary):
        for text in texts:
            for special in (False, True):
                engine.encode_special_tokens = not special
                theirs = engine.encode(text, add_special_tokens=False).ids
                ours = _tokenize(llama, vocabulary, text.encode(), special)
                if ours != theirs:
                    differences.append(Difference(text, special, ours, theirs))
    return differences


@contextmanager
def _vocabulary(gguf: Path) -> Iterator[tuple[Any, Any]]:
    llama = load_llama_cpp()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    model = llama.llama_model_load_from_file(str(gguf).encode(), parameters)
    try:
        yield llama, llama.llama_model_get_vocab(model)
    finally:
        llama.llama_model_free(model)


def _tokenize(llama: Any, vocabulary: Any, raw: bytes, special: bool) -> list[int]:
    buffer = (ctypes.c_int32 * (len(raw) + 1))()
    count = llama.llama_tokenize(vocabulary, raw, len(raw), buffer, len(buffer), False, special)
    assert count >= 0, f"llama_tokenize gave {count}"
    return list(buffer[:count])


def write_gguf_of(tokenizer_folder: Path, folder: Path) -> Path:
    """A GGUF file with this tokenizer and a model of zeros."""
    tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    end = tokenizer.token_to_id(END_OF_TEXT)
    words = tokenizer.get_vocab_size()
    config = PhiConfig(words + -words % 256, 32, 32, 1, 1, 64, eos_token_id=end)
    save_file(
        {name: np.zeros(shape, np.float16) for name, shape in config.tensor_shapes().items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    shutil.copyfile(tokenizer_folder / "tokenizer.json", folder / "tokenizer.json")
    export_gguf(folder, "f16", folder / "model.gguf")
    return folder / "model.gguf"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, action="append", required=True, help="a folder with tokenizer.json")
    parser.add_argument("--count", type=int, default=20_000, help="snippets")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for gguf_tokens.json")
    arguments = parser.parse_args()
    found = {}
    for folder in arguments.tokenizer:
        with tempfile.TemporaryDirectory() as scratch:
            differences = compare(
                write_gguf_of(folder, Path(scratch)), folder / "tokenizer.json", snippets(arguments.count)
            )
        for difference in differences[:20]:
            print(difference, file=sys.stderr)
        found[folder.resolve().name] = len(differences)
        print(f"{folder.resolve().name}: {arguments.count} snippets, both ways: {len(differences)} differences")
    names = " ".join(f"--tokenizer {name}" for name in found)
    report = {
        "command": f"python benchmarks/gguf_tokens.py {names} --count {arguments.count}",
        "commit": commit(),
        "tools": {package: version(package) for package in ("llama-cpp-python", "tokenizers")},
        "snippets": arguments.count,
        "differences": found,
    }
    write_bytes(arguments.out / "gguf_tokens.json", (json.dumps(report, indent=2) + "\n").encode())
    write_bytes(arguments.out / "gguf_tokens.md", _page(report).encode())
    sys.exit(1 if any(found.values()) else 0)


def _page(report: dict[str, Any]) -> str:
    tools = ", ".join(f"{name} {number}" for name, number in report["tools"].items())
    rows = "".join(f"| {name} | {report['snippets']:,} | {count} |\n" for name, count in report["differences"].items())
    return f"""# Token ids: llama.cpp by our GGUF files against the Hugging Face tokenizer

`{report["command"]}`, commit {report["commit"]}, {tools}.
Each snippet is split twice: special tokens that are written out in it are text, and are tokens.

| tokenizer | snippets | differences |
|---|---|---|
{rows}"""


if __name__ == "__main__":
    main()
