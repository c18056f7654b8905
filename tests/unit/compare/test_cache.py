from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_phi.compare.cache import Cache
from edge_phi.errors import EdgePhiError

KEY = {"form": "onnx:int4", "files": {"a": "00"}, "round": 1}


def test_what_was_put_is_found_by_another_process(tmp_path: Path) -> None:
    put = Cache(tmp_path / "cache").put("timing", KEY, {"load_ms": 1.5})
    cache = Cache(tmp_path / "cache")
    assert cache.get("timing", dict(reversed(KEY.items()))) == put and cache.found == 1
    assert put.result == {"load_ms": 1.5} and put.measured.endswith("Z")
    for other in ({**KEY, "round": 2}, {**KEY, "files": {"a": "01"}}):
        assert cache.get("timing", other) is None
    assert cache.get("fidelity", KEY) is None and cache.found == 1


def test_a_fresh_cache_finds_nothing_and_keeps_what_comes(tmp_path: Path) -> None:
    Cache(tmp_path).put("timing", KEY, 1)
    fresh = Cache(tmp_path, fresh=True)
    assert fresh.get("timing", KEY) is None
    fresh.put("timing", KEY, 2)
    found = Cache(tmp_path).get("timing", KEY)
    assert found is not None and found.result == 2


def test_a_damaged_result_counts_as_none(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("timing", KEY, {"load_ms": 125.0})
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:-30], whole.replace(b"125.0", b"126.0"), b"[" * 100_000, b'{"result": 1}', b"\xff"):
        file.write_bytes(damaged)
        assert cache.get("timing", KEY) is None
    entry = json.loads(whole)
    file.write_text(json.dumps(entry | {"key": {}}))
    assert cache.get("timing", KEY) is None and cache.found == 0
    file.write_bytes(whole)
    assert cache.get("timing", KEY) is not None


def test_a_place_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EdgePhiError, match="cannot be made"):
        Cache(tmp_path / "file" / "cache")
