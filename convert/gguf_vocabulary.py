"""The words, word types and merges that GGUF metadata wants, taken from a model's `tokenizer.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edge_phi.checkpoint import TOKENIZER_FILE, Checkpoint
from edge_phi.errors import InvalidCall, InvalidFile

# Token types of the GGUF format.
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5

_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Vocabulary:
    """One word and one type for every row of the embedding; merges in order of rank, as "left right"."""

    words: list[str]
    types: list[int]
    merges: list[str]


def read_vocabulary(checkpoint: Checkpoint) -> Vocabulary:
    """Read `tokenizer.json`; rows of the embedding that no word has become unused "[PADn]" words.

    Raises:
        InvalidCall: there is no `tokenizer.json`.
        InvalidFile: it is damaged, larger than the embedding, or not GPT-2's byte-level BPE.
    """
    path = checkpoint.folder / TOKENIZER_FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidFile(f"{path}: larger than {_MAX_BYTES >> 20} MiB: not a tokenizer")
        tokenizer = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidCall(f"{path}: {error.strerror}: a model needs its tokenizer beside it") from error
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{path}: not readable as JSON ({error}): get the model again") from error
    try:
        if not _is_gpt2(tokenizer):
            raise InvalidFile("only GPT-2's byte-level BPE can be written to a GGUF file")
        return _vocabulary(tokenizer, checkpoint)
    except InvalidFile as error:
        raise InvalidFile(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidFile(f"{path}: not a tokenizer ({error!r}): get the model again") from error


def _vocabulary(tokenizer: dict[str, Any], checkpoint: Checkpoint) -> Vocabulary:
    size, end_of_text = checkpoint.config.vocab_size, checkpoint.config.eos_token_id
    known = {int(id_): (str(word), NORMAL) for word, id_ in tokenizer["model"]["vocab"].items()}
    for token in tokenizer["added_tokens"]:
        known[int(token["id"])] = str(token["content"]), CONTROL if token["special"] else USER_DEFINED
    if min(known) < 0 or max(known) >= size:
        raise InvalidFile(f"ids from {min(known)} to {max(known)} do not fit the embedding of {size} rows")
    if end_of_text not in known:
        raise InvalidFile(f"the end of text, {end_of_text}, is not in it")
    known[end_of_text] = known[end_of_text][0], CONTROL
    rows = [known.get(id_, (f"[PAD{id_}]", UNUSED)) for id_ in range(size)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    return Vocabulary([word for word, _ in rows], [type_ for _, type_ in rows], merges)


def _is_gpt2(tokenizer: dict[str, Any]) -> bool:
    """Whether llama.cpp's `gpt-2` splits and merges text as this tokenizer does."""
    model, split = tokenizer["model"], tokenizer["pre_tokenizer"] or {}
    return (
        model.get("type", "BPE") == "BPE"
        and not any(model.get(key) for key in ("byte_fallback", "ignore_merges", "dropout", "continuing_subword_prefix",
                                               "end_of_word_suffix"))
        and tokenizer.get("normalizer") is None
        and split.get("type") == "ByteLevel"
        and not split.get("add_prefix_space")
        and split.get("use_regex", True)
    )  # fmt: skip
