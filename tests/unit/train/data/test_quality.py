"""Educational value: labels by name, pieces of documents, classifiers that learn more than chance, and the step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.train.data.quality.classifiers import CLASSIFIERS, Samples, train
from edge_phi.train.data.quality.evaluation import cross_validate, held_out, majority
from edge_phi.train.data.quality.features import FEATURES, features_of
from edge_phi.train.data.quality.labels import BUNDLED, Example, Labels, read_labels
from edge_phi.train.data.quality.pieces import MOST_TO_LEARN_FROM, pieces_of
from edge_phi.train.data.quality.report import report
from edge_phi.train.data.quality.standard_library import module_of, source_of
from edge_phi.train.data.quality.step import quality, samples_of
from edge_phi.train.data.records import Record, read_records, shards_of, write_records
from edge_phi.train.data.steps import read_manifest

CLEAR = '''def bubble_sort(values):
    """Sort a list in place by exchanging neighbours."""
    for end in range(len(values) - 1, 0, -1):
        for i in range(end):
            if values[i] > values[i + 1]:
                values[i], values[i + 1] = values[i + 1], values[i]
    return values
'''
GLUE = """class _Handler(_Base):
    def __init__(self, host, port=0, *args, timeout=_GLOBAL_DEFAULT, **kwargs):
        _Base.__init__(self, host, port, *args, **kwargs)
        self._host = host
        self._port = port
        self._timeout = timeout
        self._sock = None
        self._closed = False
        self._log = _get_logger(__name__)
"""
SMALL = [  # of the bundled labels: enough to learn from, few enough to embed in a test
    each
    for each in BUNDLED.read_text().splitlines()[1:]
    if each.startswith(("c", "d", "e", "h", "r", "st")) and not each.startswith("encodings.")
]


def quiet(_: str) -> None: ...


def quiet_record(_: Record) -> None: ...


def test_names_are_found_where_python_is_installed() -> None:
    source = source_of("bisect.bisect_right")
    assert source is not None and source.startswith("def bisect_right(a, x") and source.endswith("return lo\n")
    method = source_of("email._parseaddr.AddrlistClass.getdelimited")
    assert method is not None and method.startswith("def getdelimited(self")
    decorated = source_of("ipaddress._BaseNetwork.is_global")
    assert decorated is not None and decorated.startswith("@property\ndef is_global")
    in_except = source_of("reprlib.recursive_repr")
    assert in_except is not None
    assert module_of("xml.etree.ElementTree.Element.iter") == "xml.etree.ElementTree"
    whole = source_of("colorsys")
    assert whole is not None and "\ndef rgb_to_hls" in whole and module_of("colorsys") == "colorsys"
    for unknown in ["no_module", "bisect.nothing", "bisect.bisect_right.lo", "no.module", "../etc/x.y", "", "os..path"]:
        assert source_of(unknown) is None


def test_no_module_is_imported_for_its_source() -> None:
    program = (
        "import sys; from edge_phi.train.data.quality.standard_library import source_of;"
        "assert source_of('antigravity.geohash') and source_of('turtledemo.minimal_hanoi.hanoi') or True;"
        "assert not {'antigravity', 'turtledemo', 'torch', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture(scope="module")
def bundled() -> Labels:
    return read_labels()


def test_the_bundled_labels_are_many_balanced_and_known(bundled: Labels) -> None:
    labels = bundled
    rows = [line.split("\t") for line in BUNDLED.read_text().splitlines()]
    assert rows[0] == ["name", "label", "reason"] and rows[1:] == sorted(rows[1:])
    assert len(labels.examples) >= 600 and len(labels.examples) + len(labels.unknown) == len(rows) - 1
    ones = sum(each.label for each in labels.examples)
    assert 0.4 < ones / len(labels.examples) < 0.6
    assert len({each.group for each in labels.examples}) > 150
    definitions = [each.text for each in labels.examples if each.id != each.group]
    assert all(text.startswith(("def ", "class ", "async def ", "@")) for text in definitions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no labels"),
        (b"name\tlabel\n", "holds no labels"),
        (b"bisect.insort_right\t1\n", "line 1: neither JSON nor the header"),
        (b"name\tlabel\nbisect.insort_right\tmaybe\n", "line 2: label 'maybe' is neither 0 nor 1"),
        (b"name\tlabel\nbisect.insort_right\n", "line 2: not a name, a tab and a label"),
        (b"name\tlabel\nbisect.insort_right\t1\nbisect.insort_right\t0\n", "is labelled 0 and 1"),
        (b"name\tlabel\nbisect.no_such\t1\ncopy.copy\t0\n", "1 of 2 names, such as 'bisect.no_such', are not"),
        (b"name\tlabel\ncopy.copy\t1\nbisect.bisect_left\t1\n", "0 with label 0: label at least two"),
        (b"name\tlabel\ncopy.copy\t1\nbisect.bisect_left\t1\ncopy.deepcopy\t0\n", "1 with label 0"),
        (b'{"id": "a", "text": "x", "label": 1}\n{"id": "b", "te', "line 2: broken JSON"),
        (b'{"id": "a", "text": "x", "label": "good"}\n', "line 1: label 'good'"),
        (b'{"id": "a", "text": 7, "label": 1}\n', "line 1: needs 'id' and 'label'"),
        (b'{"id": "a", "text": "x"}\n', "line 1: label 'None'"),
        (b"name\tlabel\n\xff\xfe\t1\n", "line 2: not UTF-8"),
        (b"[" * 100_000, "line 1: neither JSON nor"),
        (b'{"id": ' + b"[" * 100_000, "line 1: broken JSON"),
        (b"name\tlabel\n" + b"x" * (17 << 20), "line 2: longer than 16 MiB"),
    ],
)
def test_bad_labels_get_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "labels"
    file.write_bytes(content)
    with pytest.raises(InvalidFile, match=message) as caught:
        read_labels(file)
    assert "\n" not in str(caught.value)


def test_no_labels_get_one_line(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(InvalidCall, match="labels cannot be read"):
            read_labels(place)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_are_labels_or_one_line(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels"
        file.write_bytes(content)
        with pytest.raises(EdgePhiError):
            read_labels(file)


def test_labels_of_an_endpoint_are_read(tmp_path: Path) -> None:
    rows = [{"id": f"python/{i}.py", "text": CLEAR if i % 2 else GLUE, "label": i % 2} for i in range(6)]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "copy.copy", "label": 0}]))
    labels = read_labels(file)
    assert labels.examples[1] == Example("python/1.py", CLEAR, 1, "python/1.py")
    assert labels.examples[-1].group == "copy" and labels.examples[-1].text == source_of("copy.copy")


def test_documents_are_cut_into_definitions() -> None:
    methods = "".join(f"    def method_{i}(self):\n        return {i}\n\n" for i in range(40))
    end = "@property\ndef last():\n    pass\nx = 1\n"
    module = f'"""About."""\nimport os\n\n{CLEAR}\n\nclass Long:\n{methods}\n\n{end}'
    texts = [piece.text for piece in pieces_of(module)]
    assert texts[1] == CLEAR and texts[0].startswith('"""About')
    assert len(texts) == 32 and sum(piece.weight for piece in pieces_of(module)) == pytest.approx(1)
    short = pieces_of(module.replace(methods, methods[:84]))
    assert [piece.text.split("\n")[0] for piece in short] == [
        '"""About."""',
        "def bubble_sort(values):",
        "class Long:",
        "@property",
        "x = 1",
    ]
    assert "".join(piece.text for piece in short).split() == module.replace(methods, methods[:84]).split()
    assert [piece.text for piece in pieces_of(CLEAR)] == [CLEAR]


@settings(deadline=None, max_examples=60)
@given(
    st.text(max_size=200) | st.sampled_from(["", "\0", "(" * 5000, "-" * 90_000 + "1", "x" * 50_000, "def f(:\n" * 900])
)
def test_any_text_has_pieces_and_features(text: str) -> None:
    pieces = pieces_of(text)
    assert 1 <= len(pieces) <= 32 and sum(piece.weight for piece in pieces) == pytest.approx(1)
    rows = features_of([piece.text for piece in pieces])
    assert rows.shape == (len(pieces), len(FEATURES)) and np.isfinite(rows).all()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("labels") / "small.tsv"
    file.write_text("\n".join(["name\tlabel\treason", *SMALL]) + "\n")
    return file


def in_texts(labels: Labels) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(
        [number for number, each in enumerate(labels.examples) for _ in pieces_of(each.text, MOST_TO_LEARN_FROM)]
    )


def shuffled(samples: Samples, labels: Labels) -> Samples:
    dealt = np.random.default_rng(0).permutation([each.label for each in labels.examples])[in_texts(labels)]
    return replace(samples, labels=dealt)


def roc_auc(classifier: str, samples: Samples) -> float:
    probabilities = held_out(classifier, samples, seed=0)
    ones, zeros = (probabilities[samples.labels == label] for label in (1, 0))
    return float(np.mean(ones[:, None] > zeros) + np.mean(ones[:, None] == zeros) / 2)


def test_features_tell_modules_not_seen_and_shuffled_labels_do_not(bundled: Labels) -> None:
    samples = samples_of(bundled, "features")
    scores = cross_validate("features", samples, in_texts(bundled))
    assert scores.accuracy > majority(np.array([each.label for each in bundled.examples])) + 0.15
    assert scores.roc_auc > 0.8 and scores.average_precision > 0.8 and scores.brier < 0.2
    assert sum(each.texts for each in scores.calibration) == len(bundled.examples)
    assert roc_auc("features", shuffled(samples, bundled)) < 0.6


def test_hidden_states_tell_modules_not_seen_and_shuffled_labels_do_not(small: Path) -> None:
    pytest.importorskip("torch")
    labels = read_labels(small)
    samples = samples_of(labels, "forest")
    commoner = majority(np.array([each.label for each in labels.examples]))
    for name in ("forest", "linear"):
        probabilities = held_out(name, samples, seed=0)
        assert np.average((probabilities > 0.5) == samples.labels, weights=samples.weights) > commoner + 0.05
        assert roc_auc(name, samples) > 0.7 and roc_auc(name, samples) > roc_auc(name, shuffled(samples, labels)) + 0.15


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_training_twice_gives_the_same(name: str) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    vectors = (random.normal(size=(60, 8)) + labels[:, None]).astype(np.float32)
    samples = Samples(vectors, labels, np.ones(60, dtype=np.float32), np.array([str(i // 4) for i in range(60)]))
    once, again = train(name, samples), train(name, samples)
    assert once.predict(vectors).tobytes() == again.predict(vectors).tobytes()
    assert once.predict(vectors[5:6])[0] == once.predict(vectors)[5]  # whatever stands beside it
    assert np.mean((once.predict(vectors) > 0.5) == labels) > 0.7


def documents(folder: Path, shards: int = 3, each: int = 4) -> Path:
    folder.mkdir()
    for shard in range(shards):
        records = [
            Record(f"{shard}-{i}", "python", f"{shard}/{i}.py", "MIT", f"{(CLEAR, GLUE)[i % 2]}\n# {shard} {i}\n", 80)
            for i in range(each)
        ]
        records.append(Record(f"{shard}-text", "pages", "page.md", "MIT", "Lists are sequences.\n", 5))
        write_records(folder / f"{shard:05}.parquet", records, {}, seen=lambda _: None)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def kept(out: Path) -> list[Record]:
    return [record for shard in shards_of(out) for record in read_records(shard)]


def test_the_step_keeps_what_teaches_and_copies_the_rest(tmp_path: Path, small: Path) -> None:
    source = documents(tmp_path / "in")
    lines: list[str] = []
    counts = quality(source, tmp_path / "out", labels=small, classifier="features", say=lines.append)
    assert counts.dropped == {"low educational value": 6} and counts.records_out == 9
    for record in kept(tmp_path / "out"):
        assert (record.source == "pages") == (record.added["quality"] is None)
        assert record.source == "pages" or (CLEAR in record.text and record.added["quality"] >= 0.5)
    settings = read_manifest(tmp_path / "out")["settings"]
    assert (settings["classifier"], settings["judged"], settings["copied"]) == ("features", 12, 3)
    assert any("12 documents judged, 3 others copied" in line for line in lines)
    only = quality(source, tmp_path / "pages", labels=small, classifier="features", sources=["pages"], say=quiet)
    assert only.records_in == 15 and {r.source for r in kept(tmp_path / "pages") if r.added["quality"] is None} == {
        "python"
    }


def test_a_share_of_the_tokens_is_kept(tmp_path: Path, small: Path) -> None:
    (tmp_path / "in").mkdir()
    texts = [CLEAR + "\n" + "total = 0\n" * number for number in range(12)]
    records = [Record(f"{i}", "python", f"{i}.py", "MIT", text, 80) for i, text in enumerate(texts)]
    write_records(tmp_path / "in" / "00000.parquet", records, {}, seen=quiet_record)
    for keep, expected in [(0.25, 3), (0.5, 6), (1.0, 12)]:
        out = tmp_path / "out"
        counts = quality(tmp_path / "in", out, labels=small, classifier="features", keep=keep, say=quiet)
        assert (counts.records_out, counts.tokens_out) == (expected, 80 * expected)
        lowest = min(record.added["quality"] for record in kept(out))
        assert read_manifest(out)["settings"]["threshold"] == lowest


def test_workers_and_kills_change_no_byte(tmp_path: Path, small: Path) -> None:
    source = documents(tmp_path / "in", shards=6)
    arguments: dict[str, Any] = {"labels": small, "classifier": "features", "keep": 0.5}
    quality(source, tmp_path / "one", **arguments, workers=1, say=quiet)
    quality(source, tmp_path / "two", **arguments, workers=2, say=quiet)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    out = tmp_path / "killed"
    program = (
        "import sys, time; from pathlib import Path; from edge_phi.train.data.quality import step;"
        "plain = step.pieces_of; step.pieces_of = lambda *given: time.sleep(0.1 / len(given) ** 9) or plain(*given);"
        f"step.quality(Path({str(source)!r}), Path({str(out)!r}), labels=Path({str(small)!r}), classifier='features',"
        " keep=0.5, say=print)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    while not (out / ".work" / "scores" / "00001.json").exists() and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (out / ".work" / "scores" / "00001.json").exists() and not (out / "manifest.json").exists()
    quality(source, out, **arguments, say=quiet)
    assert contents(out) == contents(tmp_path / "one")


def test_other_labels_are_learnt_anew(tmp_path: Path, small: Path) -> None:
    source = documents(tmp_path / "in")
    quality(source, tmp_path / "out", labels=small, classifier="features", say=quiet)
    turned = tmp_path / "turned.tsv"
    turned.write_text("\n".join(["name\tlabel", *(f"{n}\t{1 - int(v)}" for n, v, _ in (r.split("\t") for r in SMALL))]))
    quality(source, tmp_path / "out", labels=turned, classifier="features", say=quiet)
    assert all(GLUE in record.text for record in kept(tmp_path / "out") if record.source == "python")


def test_bad_calls_get_one_line(tmp_path: Path, small: Path) -> None:
    source = documents(tmp_path / "in", 1)
    bad: list[tuple[dict[str, Any], str]] = [
        ({"classifier": "oracle"}, "no classifier is called 'oracle'"),
        ({"keep": 0.5, "threshold": 0.5}, "give one of them"),
        ({"keep": 0.0}, "a share of 0 cannot be kept"),
        ({"threshold": 1.5}, "choose one from 0 to 1"),
        ({"sources": ["stack"]}, "has no document of stack"),
    ]
    for arguments, message in bad:
        with pytest.raises(InvalidCall, match=message):
            quality(source, tmp_path / "out", **{"labels": small, "classifier": "features", **arguments}, say=quiet)
    with pytest.raises(InvalidCall, match="holds no shards"):
        quality(tmp_path / "nothing", tmp_path / "out", classifier="features", say=quiet)


def test_a_damaged_cache_gets_one_line_or_is_made_anew(tmp_path: Path, small: Path) -> None:
    source = documents(tmp_path / "in", 1)
    quality(source, tmp_path / "out", labels=small, classifier="features", say=quiet)
    before = contents(tmp_path / "out")
    learnt = tmp_path / "out" / ".work" / "labels" / "00000.npy"
    np.save(learnt, np.array([{"a": 1}], dtype=object), allow_pickle=True)  # never unpickled: its hash is wrong
    quality(source, tmp_path / "out", labels=small, classifier="features", say=quiet)
    assert contents(tmp_path / "out") == before


def test_the_report_is_one_page_and_json(tmp_path: Path, small: Path) -> None:
    pytest.importorskip("matplotlib")
    source, out, page = documents(tmp_path / "in", 8, 8), tmp_path / "out", tmp_path / "page.html"
    quality(source, out, labels=small, classifier="features", say=quiet)
    made = report(source, out, page, labels=small, say=quiet)
    text, values = page.read_text(), json.loads(page.with_suffix(".json").read_text())
    assert "<svg" in text and "http" not in text.replace("http://www.w3.org", "")
    assert "bubble_sort" in text and "bubble_sort" not in json.dumps(values)
    assert len(made.kept) == len(made.dropped) == 20 and sum(made.qualities) == 64
    assert all(each.quality >= 0.5 for each in made.kept) and all(each.quality < 0.5 for each in made.dropped)
    assert list(values["scores"]) == ["features", "length", "shuffled labels"]
    turned = tmp_path / "turned.tsv"
    turned.write_text(small.read_text().replace("\t1\t", "\t0\t", 1))
    with pytest.raises(InvalidCall, match="was not made with these labels"):
        report(source, out, page, labels=turned, say=quiet)
