from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_phi import store
from edge_phi.checkpoint import open_checkpoint
from edge_phi.cli import main
from edge_phi.convert.cli import FORMS, SHIPPED, convert
from edge_phi.convert.imatrix import read_imatrix
from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.lineage import verify
from edge_phi.store import find_model, load_tokenizer_for

pytest.importorskip("gguf", reason="the gguf package, of the extra 'convert', is not installed")


@pytest.fixture
def bundled(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model as one that came with the package, and an empty folder of the user's."""
    folder = tmp_path / "package" / "tiny-phi"
    shutil.copytree(tiny_checkpoint, folder)
    monkeypatch.setattr(store, "bundled_folder", lambda: folder.parent)
    monkeypatch.setenv("EDGE_PHI_HOME", str(tmp_path / "home"))
    return folder


def test_a_bundled_models_artifacts_go_to_the_user_and_are_found_there(
    bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(bundled.iterdir())
    convert("tiny-phi", ["gguf:f16", "GGUF:F32, gguf:f16"])
    home = tmp_path / "home" / "models" / "tiny-phi"
    f16, f32 = home / "tiny-phi.f16.gguf", home / "tiny-phi.f32.gguf"
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(f16), str(f32)]
    assert len(printed.err.splitlines()) == 2
    assert sorted(bundled.iterdir()) == before
    artifact = find_model("tiny-phi").artifact("gguf:f16")
    assert artifact.path == f16
    assert load_tokenizer_for(artifact).encode("def") == load_tokenizer_for(find_model(bundled).artifact()).encode(
        "def"
    )
    lineage = verify(f16)
    assert (lineage.form, list(lineage.files)) == ("gguf:f16", ["tiny-phi.f16.gguf"])
    assert lineage.source == verify(f32).source


def test_a_model_given_by_path_keeps_its_artifacts_and_all_means_what_ships(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    pytest.importorskip("onnx", reason="onnx, of the extra 'convert', is not installed")
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "mine")
    monkeypatch.chdir(folder)
    convert(".", ["all"])
    model = find_model(folder)
    assert {artifact.name for artifact in model.artifacts} == {"torch:float32", *SHIPPED}
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == [
        "model.onnx", "onnx-int4", "mine.f16.gguf", "mine.q8_0.gguf", "mine.q4_k_m.gguf", "mine.q4_0.gguf"
    ]  # fmt: skip
    for path, form in zip(paths, SHIPPED, strict=True):
        assert verify(path).form == form
    assert set(verify(folder / "model.onnx").files) == {"model.onnx", "model.safetensors"}
    assert "llama-cpp-python" in verify(folder / "mine.q4_0.gguf").tools


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [("gguf:q4km", "gguf:q4_k_m"), ("q8", "gguf:q8_0"), ("onnx:int44", "onnx:int4"), ("f32", "gguf:f32")],
)
def test_an_unknown_form_names_the_nearest_and_makes_nothing(bundled: Path, wanted: str, nearest: str) -> None:
    with pytest.raises(InvalidCall, match=f"did you mean {nearest}"):
        convert("tiny-phi", [f"gguf:f16,{wanted}"])
    assert not find_model("tiny-phi").folder.parent.joinpath("home").exists()


def test_wrong_calls(bundled: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCall, match="names nothing"):
        convert("tiny-phi", [","])
    with pytest.raises(InvalidCall, match="did you mean tiny-phi"):
        convert("tiny-fi", ["gguf:f16"])
    convert("tiny-phi", ["gguf:f16"], tmp_path / "only")
    with pytest.raises(InvalidCall, match="a GGUF file is only made smaller"):
        convert(str(tmp_path / "only" / "tiny-phi.f16.gguf"), ["gguf:f32"])
    (tmp_path / "file").touch()
    with pytest.raises(EdgePhiError, match="--out"):
        convert("tiny-phi", ["gguf:f16"], tmp_path / "file" / "below")
    assert "gguf:q4_k_m" in FORMS


def test_an_old_lineage_does_not_outlive_its_artifact(bundled: Path, tmp_path: Path) -> None:
    convert("tiny-phi", ["gguf:f16"], tmp_path / "out")
    lineage = tmp_path / "out" / "tiny-phi.f16.gguf.lineage.json"
    assert lineage.exists()
    (bundled / "tokenizer.json").write_text("{}")
    with pytest.raises(EdgePhiError):
        convert("tiny-phi", ["gguf:f16"], tmp_path / "out")
    assert not lineage.exists()


def test_a_damaged_checkpoint_makes_nothing(bundled: Path, tmp_path: Path) -> None:
    weights = bundled / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InvalidFile, match=r"model\.safetensors: damaged or truncated"):
        convert("tiny-phi", ["all"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _without_a_tensor(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file({name: weights[name] for name in weights if name != "lm_head.bias"}, folder / "model.safetensors")


def _not_a_number(folder: Path) -> None:
    at = open_checkpoint(folder).tensors["model.layers.1.self_attn.v_proj.bias"].offset
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(at)
        file.write(b"\0\0\xc0\x7f")


def _config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize("form", ["gguf:f16", "gguf:q4_0", "onnx:float32", "onnx:int4"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_pickled, "pytorch_model.bin: pickled weights can run code"),
        (_without_a_tensor, "model.safetensors: tensor lm_head.bias is missing"),
        (_config(intermediate_size=1000), "mlp.fc1.weight has shape [1024, 256], config.json says [1000, 256]"),
        (_not_a_number, "tensor model.layers.1.self_attn.v_proj.bias holds values that are not finite"),
        (_config(model_type="llama"), "config.json: model_type is 'llama': only 'phi'"),
        (_config(quantization_config={"quant_method": "awq"}), "config.json: quantization_config is {'quant_method'"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_one_line_and_nothing_is_made(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None],
    words: str, form: str,
) -> None:  # fmt: skip
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    damage(folder)
    assert main(["convert", str(folder), "--to", form, "--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    (line,) = [line for line in err.splitlines() if not line.endswith(f"making {form}")]
    assert line.startswith(f"edge-phi: {folder}") and words in line and out == ""
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_how_weights_are_rounded_is_asked_for_and_said_in_the_lineage(bundled: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    text = tmp_path / "mine.txt"
    text.write_text("def area(width, height):\n    return width * height\n" * 400)
    out = tmp_path / "out"
    methods = {}
    for name, options in {
        "plain": {"calibration": "none"},
        "compensated": {"calibration": str(text)},
        "importance": {"imatrix": out / "tiny-phi.imatrix"},
    }.items():
        if name == "importance":
            convert("tiny-phi", ["imatrix"], out, calibration=str(text))
        convert("tiny-phi", ["gguf:q4_0"], out, **options)  # type: ignore[arg-type]
        lineage = verify(out / "tiny-phi.q4_0.gguf")
        methods[name] = (out / "tiny-phi.q4_0.gguf").read_bytes()
        assert lineage.arguments["method"] == name
        if name == "compensated":
            assert lineage.arguments["calibration"] == "mine.txt" and lineage.arguments["calibration_tokens"] > 1000
            digest = hashlib.sha256(text.read_bytes()).hexdigest()
            assert lineage.arguments["calibration_sha256"] == digest
        if name == "importance":
            imatrix = read_imatrix(out / "tiny-phi.imatrix", open_checkpoint(bundled))
            assert lineage.arguments["imatrix_sha256"] == imatrix.digest
    assert len(set(methods.values())) == 3 and len({len(data) for data in methods.values()}) == 1

    convert("tiny-phi", ["gguf:f16"], out, calibration=str(text))
    assert verify(out / "tiny-phi.f16.gguf").arguments == {"method": "plain"}  # which no text decides

    size = len(methods["plain"]) + 20_000
    convert("tiny-phi", None, out, calibration=str(text), budget=f"{size / 1e6:.3f} MB")
    (mixed,) = out.glob("*.mix*.gguf")
    assert mixed.stat().st_size <= size and verify(mixed).arguments["types"]
    assert find_model(mixed).artifact().quant == mixed.name.split(".")[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "gguf:q4_0", "--budget", "small"], "give a number and MB or GB"),
        (["--budget", "0.01MB"], "too small"),
        (["--to", "gguf:q4_0", "--calibration", "nothing.txt"], "nothing.txt"),
        (["--to", "gguf:q4_0", "--imatrix", "i", "--calibration", "none"], "two ways of rounding"),
        (["--to", "onnx:int4", "--imatrix", "i"], "--imatrix is for GGUF"),
        (["--to", "imatrix", "--calibration", "none"], "computed from text"),
    ],
)
def test_wrong_ways_of_rounding(
    bundled: Path, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp, of the extra 'gguf', is not installed")
    assert main(["convert", "tiny-phi", "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert said in error
    assert not list(tmp_path.glob("out/*.gguf"))


def test_an_empty_calibration_file_is_refused(
    bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").touch()
    assert main(["convert", "tiny-phi", "--to", "gguf:q4_0", "--calibration", str(tmp_path / "empty.txt")]) == 1
    assert "empty.txt: empty: give text" in capsys.readouterr().err
