"""`edge-phi models`: what is listed is there, and one changed bit anywhere is found."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import write_sharded, write_tiny_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi import store
from edge_phi.checkpoint import weights_files
from edge_phi.cli import main
from edge_phi.inventory import verify_model
from edge_phi.lineage import read_lineage, sha256_of, write_checkpoint_lineage, write_lineage
from edge_phi.store import find_model

pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")
pytest.importorskip("onnx", reason="onnx, of the extra 'convert', is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint in two shards, and what was converted from it. Shared: leave it as it is."""
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("made") / "models" / "tiny-phi", layers=1)
    write_sharded(folder, 2)
    write_checkpoint_lineage(folder, {"made_by": "a test", "recipe": {"name": "tiny"}, "result": {"loss": 1.5}})
    assert main(["convert", str(folder), "--to", "gguf:f16,onnx:float32,onnx:int4"]) == 0
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with only that model; its folder."""
    monkeypatch.setattr(store, "bundled_folder", lambda: tmp_path / "none")
    monkeypatch.setenv("EDGE_PHI_HOME", str(tmp_path))
    return Path(shutil.copytree(made, tmp_path / "models" / "tiny-phi"))


def test_every_form_is_listed_with_size_precision_and_origin(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    header, *rows = (line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines())
    assert header == ["model", "form", "MB", "precision", "made"]
    assert {row[1]: row[3] for row in rows} == {
        "torch:float32": "float32", "onnx:float32": "float32", "onnx:int4": "int4", "gguf:f16": "f16"
    }  # fmt: skip
    assert rows[0][4] == "trained by a test, recipe tiny"
    assert all(row[4].startswith("from weights ") for row in rows[1:])
    assert main(["models", "list", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    sizes = {form["form"]: form["file_bytes"] for form in model["forms"]}
    shards = sum(file.stat().st_size for file in home.glob("model-*.safetensors"))
    index = (home / "model.safetensors.index.json").stat().st_size
    assert sizes["torch:float32"] == shards + index
    assert sizes["onnx:float32"] == shards + index + (home / "model.onnx").stat().st_size
    assert sizes["gguf:f16"] == (home / "tiny-phi.f16.gguf").stat().st_size
    everything = {"config.json", "lineage.json", "tokenizer.json", *weights_files(home)}
    assert [set(form["lineage"]["source"]) for form in model["forms"][1:]] == [everything] * 3


def test_one_model_is_shown_with_its_geometry_and_the_hashes_of_its_making(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "show", "tiny-phi"]) == 0
    out = capsys.readouterr().out
    assert "hidden_size              256" in out and str(home / "onnx-int4") in out
    assert main(["models", "show", "tiny-phi", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["geometry"]["num_hidden_layers"] == 1 and document["notes"] == []
    for form in document["forms"]:
        for digest in form["lineage"]["files"].values():
            assert digest in out
    assert document["forms"][0]["lineage"]["result"] == {"loss": 1.5}


def test_what_cannot_be_read_is_listed_with_the_reason(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "model-00002-of-00002.safetensors").unlink()
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.count("model-00002-of-00002.safetensors: missing") == 2
    assert main(["models", "show", "tiny-phi"]) == 0


def test_what_is_as_it_was_written_passes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["tiny-phi"], [str(home)], [str(home / "onnx-int4"), str(home / "tiny-phi.f16.gguf")]):
        assert main(["models", "verify", *arguments]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "tiny-phi  torch:float32  as it was written: 5 files" and err == ""
    assert main(["models", "verify", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    counts = {form["form"]: (form["files"], form["damage"]) for form in model["forms"]}
    assert counts == {"torch:float32": (5, ""), "onnx:float32": (4, ""), "onnx:int4": (5, ""), "gguf:f16": (1, "")}


def flip(file: Path, place: int) -> None:
    """Turn one bit of a file over."""
    with file.open("r+b") as opened:
        opened.seek(place // 8)
        byte = opened.read(1)[0]
        opened.seek(place // 8)
        opened.write(bytes([byte ^ 1 << place % 8]))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_anywhere_is_caught_and_its_file_named(made: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(path for path in made.rglob("*") if path.is_file())))
    place = data.draw(st.integers(0, file.stat().st_size * 8 - 1))
    flip(file, place)
    try:
        damage = [verdict.damage for verdict in verify_model(find_model(made)) if verdict.damage]
    finally:
        flip(file, place)
    assert damage and all(line.startswith(f"{file}: ") and "\n" not in line for line in damage)


def test_a_flipped_bit_ends_the_command_with_1_and_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(home / "onnx-int4/onnx/model_q4.onnx_data", 12345)
    flip(home / "tiny-phi.f16.gguf", 0)
    assert main(["models", "verify"]) == 1
    out, err = capsys.readouterr()
    assert err == f"edge-phi: {out.splitlines()[2].partition('onnx:int4')[2].strip()} (and 1 more)\n"
    assert err.startswith(f"edge-phi: {home / 'onnx-int4/onnx/model_q4.onnx_data'}: has changed")


def test_a_missing_and_an_added_file_are_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tokenizer.json", "onnx-int4/config.json", "lineage.json", "tiny-phi.f16.gguf.lineage.json"):
        raw = (home / name).read_bytes()
        (home / name).unlink()
        assert main(["models", "verify"]) == 1
        assert str(home / name) in capsys.readouterr().err
        (home / name).write_bytes(raw)
    (home / "onnx-int4" / "more.json").touch()
    assert main(["models", "verify", "--json"]) == 1
    out, err = capsys.readouterr()
    assert "onnx-int4/more.json: was not there" in err
    assert [bool(form["damage"]) for form in json.loads(out)["models"][0]["forms"]] == [False, False, True, False]


def test_a_checkpoint_without_a_lineage_is_known_by_what_was_made_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "hub", layers=1)
    assert main(["models", "verify", str(folder)]) == 1
    assert f"{folder / 'lineage.json'}: missing" in capsys.readouterr().err
    assert main(["convert", str(folder), "--to", "gguf:f16"]) == 0
    assert [verdict.damage for verdict in verify_model(find_model(folder))] == ["", ""]
    write_tiny_checkpoint(folder, layers=1, seed=8)
    capsys.readouterr()
    assert main(["models", "verify", str(folder)]) == 1
    assert "model.safetensors: has changed since hub.f16.gguf was made from it" in capsys.readouterr().out


def test_a_wrong_name_is_a_wrong_call(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "tiny-fi"]) == 2
    assert "did you mean tiny-phi?" in capsys.readouterr().err


def test_made_again_the_same_bytes_come_out_or_it_is_said_what_differs(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["models", "verify", "tiny-phi", "--rederive"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all("made again, the same bytes" in line for line in lines)

    # A file with a true lineage that does not come from this checkpoint as the lineage says: a form under another name.
    shutil.copy(home / "tiny-phi.f16.gguf", tmp_path / "kept")
    assert main(["convert", str(home), "--to", "gguf:f32"]) == 0
    shutil.move(home / "tiny-phi.f32.gguf", home / "tiny-phi.f16.gguf")
    lineage = read_lineage(home / "tiny-phi.f32.gguf")
    changed = replace(lineage, form="gguf:f16", files={"tiny-phi.f16.gguf": sha256_of(home / "tiny-phi.f16.gguf")})
    write_lineage(changed, home / "tiny-phi.f16.gguf")
    assert main(["models", "verify", "tiny-phi"]) == 0
    assert main(["models", "verify", "tiny-phi", "--rederive"]) == 1
    assert "other bytes came out (by the same versions of its tools)" in capsys.readouterr().err


def test_what_cannot_be_made_again_says_why(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    artifact = home / "tiny-phi.f16.gguf"
    text = tmp_path / "mine.txt"
    text.write_text("one")
    arguments = {"method": "compensated", "calibration": "mine.txt", "calibration_sha256": sha256_of(text)}
    write_lineage(replace(read_lineage(artifact), arguments=arguments), artifact)
    text.write_text("two")
    assert main(["models", "verify", "tiny-phi", "--rederive", "--calibration", str(text)]) == 1
    assert "calibrated on mine.txt with sha256" in capsys.readouterr().err
    (home / "model.safetensors.index.json").unlink()
    for shard in home.glob("model-*.safetensors"):
        shard.unlink()
    assert main(["models", "verify", "tiny-phi", "--rederive"]) == 2
    assert "holds no checkpoint" in capsys.readouterr().err
