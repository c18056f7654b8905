from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import write_tiny_checkpoint

from edge_phi.checkpoint import WEIGHTS_FILE
from edge_phi.errors import EdgePhiError, InvalidCall
from edge_phi.lineage import Lineage, sha256_of, write_lineage
from edge_phi.measure import forms, process
from edge_phi.measure.forms import STANDARD_FORMS, in_report_order, make_missing

TO_MAKE = list(STANDARD_FORMS[1:])  # the first is the checkpoint itself


class Notes(list[str]):
    def note(self, line: str) -> None:
        self.append(line)

    def working(self, what: str, done: int, total: int) -> None: ...

    def finished(self, line: str) -> None: ...


class Converter:
    """Stands in for the convert command: makes files with the right names, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fails_at: str | None = None) -> None:
        self.calls: list[list[str]] = []
        self.fails_at = fails_at
        monkeypatch.setattr(process, "run", self)

    def __call__(self, command: Sequence[str], *, stdin: str = "") -> str:
        arguments = list(command[command.index("convert") :])
        self.calls.append(arguments)
        form, folder = arguments[2], Path(arguments[4])
        format_, quant = form.split(":")
        if form == self.fails_at:
            raise EdgePhiError(f"edge-phi: {folder}/tiny.{quant}.gguf: install edge-phi[convert]")
        file = {
            "gguf": f"tiny.{quant}.gguf",
            "onnx": "model.onnx" if quant == "float32" else f"onnx-{quant}/model.onnx",
        }
        target = folder / file[format_]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        return ""


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of the user's own, known by the name "tiny"."""
    monkeypatch.setenv("EDGE_PHI_HOME", str(tmp_path))
    return write_tiny_checkpoint(tmp_path / "models/tiny", layers=1)


def test_missing_forms_of_a_small_model_are_made_and_named(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stored / "tiny.f16.gguf").touch()
    converter, notes = Converter(monkeypatch), Notes()
    model, left = make_missing("tiny", notes)
    wanted = [form for form in TO_MAKE if form != "gguf:f16"]
    assert converter.calls == [["convert", "--to", form, "--out", str(stored), "--", "tiny"] for form in wanted]
    assert notes == [f"{form}: not made yet: making it in {stored}" for form in wanted]
    assert [one.name for one in in_report_order(model.artifacts)] == list(STANDARD_FORMS)
    assert left == ()


def test_a_model_named_by_its_path_stays_in_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Path
) -> None:
    elsewhere = write_tiny_checkpoint(tmp_path / "elsewhere", layers=1)
    converter = Converter(monkeypatch)
    model, _ = make_missing(str(elsewhere), Notes())
    assert {call[4] for call in converter.calls} == {str(elsewhere)}
    assert len(model.artifacts) == len(STANDARD_FORMS)


def test_a_form_that_cannot_be_made_is_left_with_the_reason(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Converter(monkeypatch, fails_at="gguf:q8_0")
    notes = Notes()
    model, left = make_missing("tiny", notes)
    assert [(one.name, one.reason) for one in left] == [
        ("gguf:q8_0", "could not be made: tiny.q8_0.gguf: install edge-phi[convert]")
    ]
    assert notes[-1] == "gguf:q8_0: could not be made: tiny.q8_0.gguf: install edge-phi[convert]"
    assert len(model.artifacts) == len(STANDARD_FORMS) - 1


@pytest.mark.parametrize("why", ["too large", "no convert"])
def test_else_what_to_type_is_said_for_each(stored: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    converter, notes = Converter(monkeypatch), Notes()
    if why == "too large":
        monkeypatch.setattr(forms, "SMALL_CHECKPOINT_BYTES", 1000)
    else:
        monkeypatch.setattr(forms.importlib.metadata, "entry_points", lambda **_: ())
    model, left = make_missing("tiny", notes)
    assert converter.calls == [] and len(model.artifacts) == 1
    assert notes == [f"{form}: not made yet: 'edge-phi convert tiny --to {form}' makes it" for form in TO_MAKE]
    assert [one.name for one in left] == TO_MAKE


@pytest.mark.parametrize("can_convert", [True, False])
def test_a_form_of_older_weights_is_never_measured(
    stored: Path, monkeypatch: pytest.MonkeyPatch, can_convert: bool
) -> None:
    """An upgrade brings new weights; what was converted from the old ones still lies in the user's folder."""
    converter, notes = Converter(monkeypatch), Notes()
    for form, source in (("gguf:q4_0", "0" * 64), ("gguf:f16", sha256_of(stored / WEIGHTS_FILE))):
        converter(["convert", "--to", form, "--out", str(stored)])
        artifact = stored / f"tiny.{form.removeprefix('gguf:')}.gguf"
        write_lineage(Lineage(form, {}, {}, {WEIGHTS_FILE: source}, None, {artifact.name: "0"}), artifact)
    converter.calls.clear()
    if not can_convert:
        monkeypatch.setattr(forms, "SMALL_CHECKPOINT_BYTES", 1000)
    model, left = make_missing("tiny", notes)
    measured = [one.name for one in model.artifacts]
    state = "gguf:q4_0: made from other weights than the model has now: "
    assert "gguf:f16" in measured and not any(note.startswith("gguf:f16") for note in notes)
    if can_convert:
        assert "gguf:q4_0" in [call[2] for call in converter.calls] and "gguf:q4_0" in measured
        assert f"{state}making it in {stored}" in notes
    else:
        assert "gguf:q4_0" not in measured and "gguf:q4_0" in [one.name for one in left]
        assert f"{state}'edge-phi convert tiny --to gguf:q4_0' makes it" in notes


def test_of_a_lone_artifact_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.q4_0.gguf").touch()
    converter = Converter(monkeypatch)
    model, left = make_missing(str(tmp_path / "tiny.q4_0.gguf"), Notes())
    assert [one.name for one in model.artifacts] == ["gguf:q4_0"]
    assert converter.calls == [] and left == ()


def test_an_unknown_model_is_a_wrong_call(stored: Path) -> None:
    with pytest.raises(InvalidCall, match=r"did you mean tiny\?"):
        make_missing("tony", Notes())
