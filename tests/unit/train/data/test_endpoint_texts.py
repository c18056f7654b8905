"""What is kept of a model's answers, and why the rest is not: labels, sections of textbooks, exercises."""

from __future__ import annotations

import ast
import json
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from endpoint_server import Reply, Seen, Server, says

from edge_phi.errors import InvalidCall
from edge_phi.evaluate.sandbox import probe
from edge_phi.train.data.endpoint import Caps, Endpoint, ask_exercises, ask_labels, ask_textbooks, asked
from edge_phi.train.data.endpoint.code_blocks import blocks, parse
from edge_phi.train.data.endpoint.extract import Unfit, extract
from edge_phi.train.data.endpoint.labels import read_label
from edge_phi.train.data.endpoint.safe_tests import SafeTests
from edge_phi.train.data.endpoint.textbooks import is_looping
from edge_phi.train.data.records import Record, read_records, shards_of, write_records
from edge_phi.train.data.steps import read_manifest
from edge_phi.train.data.tokens import count

sandboxed = pytest.mark.skipif(not probe().enough, reason="this machine cannot hold untrusted programs")


def fenced(code: str) -> str:
    return f"Here it is:\n\n```python\n{code}\n```\nDone.\n"


GOOD = '''import math

RATE = 3


def unused():
    return 1


def helper(x):
    return x * RATE


def NAME(values: list[int], start: int = 0) -> int:
    """Return the whole root of three times the sum of the values, and of `start`.

    >>> NAME([3])
    3
    """
    # a comment
    total = start
    for value in values:
        total += helper(value)
    return math.isqrt(total)


if __name__ == "__main__":
    assert NAME([3]) == 3
    assert NAME([]) == 0
print(NAME([1]))
expected = 5
assert NAME([2, 3], 10) == expected, "a message"'''
KEPT_PROMPT = '''import math
RATE = 3


def helper(x):
    return x * RATE


def NAME(values: list[int], start: int = 0) -> int:
    """Return the whole root of three times the sum of the values, and of `start`.

    >>> NAME([3])
    3
    """
'''
DOC = '    """Return something of x."""\n'
# Answers, and why they are dropped: "" for those that stay.
ANSWERS: list[tuple[str, str]] = [
    (fenced(GOOD), ""),
    (fenced(GOOD.replace("# a comment", "# another").replace("NAME", "renamed")), "duplicate"),
    ("I cannot write that.", "no code block"),
    (fenced("def NAME(x) return x"), "does not parse"),
    (fenced("x = 1"), "no function"),
    (fenced(f"def one(x):\n{DOC}    return x\ndef two(x):\n{DOC}    return x"), "not the function asked for"),
    (fenced("def NAME(x):\n    return x + 1\nassert NAME(1) == 2"), "no docstring"),
    (fenced(f"def NAME(x):\n{DOC}    pass\nassert NAME(1) is None"), "no solution"),
    (fenced(f"def NAME(x):\n{DOC}    return x + 1\nprint(NAME(1))"), "no test"),
    (fenced(f"def NAME(x):\n{DOC}    return x - 1\nassert NAME(1) == 2\nassert NAME(2) == 3"), "fails its tests"),
    (fenced(f"import numpy\ndef NAME(x):\n{DOC}    return numpy.abs(x)\nassert NAME(-1) == 1"), "fails its tests"),
    (fenced(f"def NAME(x):\n{DOC}    while True:\n        x += 1\nassert NAME(1) == 2"), "runs too long"),
    (
        fenced(f"def NAME(x):\n{DOC}    return 2 if x else 2\nassert NAME(1) == 2\nassert NAME(3) == 2"),
        "trivial: returning a constant or an argument passes its tests",
    ),
    (
        fenced(f"def NAME(x):\n{DOC}    return x + 0\nassert NAME(1) == 1\nassert NAME(3) == 3"),
        "trivial: returning a constant or an argument passes its tests",
    ),
    (
        fenced(
            'def NAME(x):\n    """Add one.\n\n    >>> NAME(1)\n    3\n    """\n    return x + 1\n'
            "assert NAME(1) == 2\nassert NAME(2) == 3"
        ),
        "its docstring's examples are wrong",
    ),
    # Tests that would fake a pass are not run: an exercise that has no others has none.
    (
        fenced(f"import sys\ndef NAME(x):\n{DOC}    return x - 1\nsys.exit(0)\nassert [].__class__ and NAME(1) == 2"),
        "no test",
    ),
    (fenced(f"def NAME(x):\n{DOC}    import os\n    os._exit(0)\nassert NAME(1) == 2"), "fails its tests"),
    ("\x00" + fenced(GOOD), "control characters or broken Unicode"),
    (fenced(f"def NAME(x):\n{DOC}    return {'-' * 15_000}1\nassert NAME(1) == 1"), "does not parse"),
    # A block without an end, where what is there holds.
    (f"```python\ndef NAME(x):\n{DOC}    return x * 5\n\nassert NAME(1) == 5\nassert NAME(2) == 10", ""),
    # Without fences, with tests in a function, and without a newline at the end.
    (f"def NAME(x):\n{DOC}    return x + 2\n\ndef test_it():\n    assert NAME(1) == 3\n    assert NAME(2) == 4", ""),
]


def answering(answers: list[tuple[str, str]]) -> Callable[[Seen, int], Reply]:
    def reply(seen: Seen, number: int) -> Reply:
        name = re.search(r"function named (\w+)\.", seen.prompt)
        assert name
        return says(answers[number][0].replace("NAME", name[1]))

    return reply


@sandboxed
def test_exercises_that_hold_are_kept_and_the_others_reasons_are_counted(tmp_path: Path) -> None:
    with Server(answering(ANSWERS)) as server:
        counts = ask_exercises(
            tmp_path / "out", Endpoint(server.url, "m", 1), count=len(ANSWERS), license="CC0-1.0", say=lambda _: None
        )
    reasons: dict[str, int] = {}
    for _, reason in ANSWERS:
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
    assert dict(counts.dropped) == reasons
    assert (counts.records_in, counts.records_out) == (len(ANSWERS), 3)
    first, _, last = (record for shard in shards_of(tmp_path / "out") for record in read_records(shard))
    name = first.added["asked"]
    assert first.added["prompt"] == KEPT_PROMPT.replace("NAME", name)
    assert first.text == first.added["prompt"] + first.added["solution"]
    assert first.added["solution"].startswith("    # a comment\n    total = start\n")
    assert first.added["tests"] == (
        f"assert {name}([3]) == 3\nassert {name}([]) == 0\nexpected = 5\nassert {name}([2, 3], 10) == expected\n"
    )
    assert (first.source, first.license, first.added["model"]) == ("exercises_asked", "CC0-1.0", "m")
    assert first.tokens == count([first.text])[0]
    assert last.text.endswith("    return x + 2\n")
    scope: dict[str, object] = {}
    exec(first.text + first.added["tests"], scope)  # our own words, above
    assert read_manifest(tmp_path / "out")["counts"]["dropped"] == reasons
    assert len({seen.prompt for seen in server.seen}) == len(ANSWERS)


@sandboxed
def test_an_answer_that_was_cut_off_is_kept_if_its_exercise_is_whole(tmp_path: Path) -> None:
    texts = [fenced(GOOD) + "And now", fenced(GOOD)[:-20]]

    def reply(seen: Seen, number: int) -> Reply:
        name = re.search(r"function named (\w+)\.", seen.prompt)
        return says(texts[number].replace("NAME", name[1] if name else ""), finish="length")

    with Server(reply) as server:
        counts = ask_exercises(tmp_path / "out", Endpoint(server.url, "m", 1), count=2, say=lambda _: None)
    assert counts.records_out == 1 and dict(counts.dropped) == {"cut off by the limit on its tokens": 1}


@pytest.mark.parametrize(
    "test",
    [
        "assert f.__globals__ == f(1)",
        "assert (x for x in [f(1)]).gi_frame",
        "assert __import__('os') and f(1)",
        "assert eval('f(1)')",
        "assert getattr(f, 'x')",
        "assert open('/etc/passwd') or f(1)",
        "assert (lambda: f(1))()",
        "assert (y := f(1))",
        "assert f'{f(1)}'",
        "assert bisect.bisect([1], f(1))",
        "f.x = 1",
        "len = f(1)",
        "f = 3",
        "import os",
        "import math as len",
        "from math import pi",
        "del f",
        "raise SystemExit",
        "while True: assert f(1)",
        "assert unknown == f(1)",
        "assert f(1) == [unknown for x in range(3)]",
    ],
)
def test_no_statement_gets_where_verdicts_are_made(test: str) -> None:
    tests = SafeTests(["f", "bisect", "_inner"])
    for statement in ast.parse(test).body:
        tests.add(statement)
    assert tests.statements == []


def test_plain_statements_are_taken_over_and_what_hangs_on_others_is_not() -> None:
    tests = SafeTests(["Stack", "f"])
    taken = """import math
a, (b, c) = (f(1), (2, [3]))
assert math.isclose(f(a, key=b), 1.5 + b ** 2)
stack = Stack()
stack.push({'x': {1, 2}, 'y': (1,)})
assert [x.upper() for x in sorted(stack.items()) if x][:2] == ['X'] or not all((v > 0 for v in c))"""
    left = "d = open('x')\nassert f(d) == 1\na = lambda: 1\nassert f(a) == 2"
    for statement in ast.parse(f"{taken}\n{left}").body:
        tests.add(statement)
    assert tests.source() == taken


@pytest.mark.parametrize(
    "code",
    [
        "(" * 19_000,
        "-" * 19_000 + "1",
        "x" + "[0]" * 6_000,
        "a" + ".b" * 9_000,
        "1" + "+1" * 9_000,
        "9" * 15_000,
        "\0",
        "x" * 30_000,
        "if 1:\n" + "".join(" " * i + "if 1:\n" for i in range(1, 150)),
        "lambda: " * 2_400 + "1",
        "{" * 9_000 + "}" * 9_000,
    ],
)
def test_hostile_code_is_no_code_and_no_crash(code: str) -> None:
    for answer in (fenced(code), fenced(f"def f(x):\n{DOC}    return (\n{code}\n)\nassert f(1) == 2")):
        parse(code)
        try:
            extract(answer, "f")
        except Unfit:
            continue


def test_blocks_are_read_as_markdown_has_them() -> None:
    text = "```python\na\n```\n~~~\nb\n```\n~~~\n````py title=x\n```\nc\n````\n```bash\nls\n```\n  ```PYTHON\nd"
    found = [(block.code, block.language) for block in blocks(text)]
    assert found == [
        ("a\n", "python"),
        ("b\n```\n", ""),
        ("```\nc\n", "py"),
        ("ls\n", "bash"),
        ("d\n", "python"),
    ]


def section(topic: str, code: str = "```python\nprint(1)\n```") -> str:
    words = " ".join(f"{topic}{i}" for i in range(80))
    return f"# {topic}\n\n{words}\n\n{code}\n\nThe end of it\n"


SECTIONS: list[tuple[str, str, str]] = [
    (section("good"), "stop", ""),
    (section("GOOD", "```python\nprint(1)\n```").replace("GOOD", "Good"), "stop", "duplicate"),
    ("Sorry, I cannot.", "stop", "nearly empty"),
    ("around and around it goes " * 50, "stop", "says the same again and again"),
    (section("prose", ""), "stop", "no Python code block"),
    (section("shell", "```bash\nls\n```"), "stop", "no Python code block"),
    (section("wrong", "```python\nprint(\n```"), "stop", "no code block parses"),
    (section("session", "```\n>>> 1 +\\\n... 2\n3\n```\n\n```py\nfor\n```"), "stop", ""),
    (section("cut"), "length", ""),
    ("", "stop", "empty answer"),
    (section("cut at once")[:600], "length", "nearly empty"),
]


def test_sections_worth_reading_are_kept_and_the_others_reasons_are_counted(tmp_path: Path) -> None:
    with Server(lambda _, number: says(SECTIONS[number][0], SECTIONS[number][1])) as server:
        counts = ask_textbooks(tmp_path / "out", Endpoint(server.url, "m", 1), count=len(SECTIONS), say=lambda _: None)
        asked = [seen.prompt for seen in server.seen]
    reasons: dict[str, int] = {}
    for _, _, reason in SECTIONS:
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
    assert dict(counts.dropped) == reasons
    good, session, cut = (record for shard in shards_of(tmp_path / "out") for record in read_records(shard))
    assert good.text == SECTIONS[0][0] and good.added["prompt"] == asked[0] and good.license == "unknown"
    assert all(good.added[name] in asked[0] for name in ("topic", "audience", "form"))
    assert (session.added["code_blocks"], session.added["broken_blocks"]) == (1, 1)
    assert cut.added["truncated"] and cut.text == SECTIONS[8][0].removesuffix("\n\nThe end of it\n") + "\n"


def test_more_can_be_asked_for_later_and_only_what_is_new_is_asked(tmp_path: Path) -> None:
    with Server(lambda seen, _: says(section(str(zlib.crc32(seen.prompt.encode()))))) as server:
        for number in (3, 5):
            ask_textbooks(tmp_path / "out", Endpoint(server.url, "m"), count=number, say=lambda _: None)
        assert len(server.seen) == 5
    assert len(list(read_records(tmp_path / "out" / "00000.parquet"))) == 5


def test_neither_workers_nor_the_order_of_answers_change_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "_SHARD", 3)

    def late(seen: Seen, number: int) -> Reply:
        time.sleep(0.02 * (number % 3))
        return says(section(str(zlib.crc32(seen.prompt.encode()) % 7)))  # some of them twice

    with Server(late) as server:
        for name, together, workers in (("one", 1, 1), ("two", 4, 2)):
            counts = ask_textbooks(
                tmp_path / name, Endpoint(server.url, "m", together), count=14, workers=workers, say=lambda _: None
            )
    assert counts.dropped["duplicate"] == 14 - counts.records_out > 0
    one, two = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir() if file.is_file()}
        for name in ("one", "two")
    )
    assert one == two and len(shards_of(tmp_path / "one")) == 5


def test_what_the_budget_leaves_out_is_counted(tmp_path: Path) -> None:
    with Server(lambda seen, _: says(section(str(zlib.crc32(seen.prompt.encode()))), usage=(300, 50))) as server:
        said: list[str] = []
        counts = ask_textbooks(
            tmp_path / "out", Endpoint(server.url, "m", 1), count=9, max_tokens=10, caps=Caps(2000), say=said.append
        )
        assert 0 < counts.records_out == len(server.seen) < 9
    assert dict(counts.dropped) == {"not asked: the budget is spent": 9 - counts.records_out}
    assert any(line.endswith("; the budget is spent") for line in said)


def test_prose_and_code_do_not_loop() -> None:
    text = (Path(__file__).parents[4] / "docs" / "sandbox.md").read_text()
    assert not is_looping(text) and not is_looping(GOOD) and not is_looping("a b")
    assert is_looping("Let us begin. " + "Then we add one to the value. " * 9)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("yes", 1),
        ("Yes.", 1),
        (" **No**\n", 0),
        ("\n\nNO, it is only settings.", 0),
        ("Yes, because it shows", 1),
        ('"yes"', 1),
        ("", None),
        ("It depends", None),
        ("Maybe yes", None),
        ("yes or no", None),
        ("no yes", None),
        ("yesterday", None),
        ("nothing", None),
        ("no-one", None),
        ("Answer: yes", None),
    ],
)
def test_only_yes_and_no_are_labels(answer: str, label: int | None) -> None:
    assert read_label(answer) == label


def documents(folder: Path, number: int) -> Path:
    folder.mkdir()
    for shard in range(2):
        texts = {i: f"document {i}\n" * (1 if i else 2000) for i in range(shard, number, 2)}
        records = [Record(f"s/{i}", "s", f"{i}.py", "MIT", text, 3) for i, text in texts.items()]
        write_records(folder / f"{shard:05}.parquet", records, {}, seen=lambda _: None)
    return folder


def test_labels_are_written_for_what_was_shown_and_unparsable_ones_counted(tmp_path: Path) -> None:
    def judge(seen: Seen, _: int) -> Reply:
        number = int(re.findall(r"document (\d+)", seen.prompt)[0])
        return says(["yes", "No.", "well"][number % 3], "length" if number == 4 else "stop")

    with Server(judge) as server:
        endpoint = Endpoint(server.url, "m")
        out = tmp_path / "labels.jsonl"
        labelled = ask_labels(documents(tmp_path / "in", 30), out, endpoint, count=100, say=lambda _: None)
        assert (labelled.asked, labelled.yes, labelled.no, labelled.unparsable) == (30, 10, 10, 10)
        assert labelled.truncated == 1 and labelled.unanswered == {}
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert {line["id"]: line["label"] for line in lines} == {f"s/{i}": 1 - i % 3 for i in range(30) if i % 3 < 2}
        long = next(line for line in lines if line["id"] == "s/0")
        assert len(long["text"]) <= 6000 and long["text"].endswith("document 0\n")
        assert any(long["text"] in seen.prompt for seen in server.seen)

        few = tmp_path / "few.jsonl"
        drawn = []
        for number in (6, 12, 12):
            ask_labels(tmp_path / "in", few, endpoint, count=number, seed=1, say=lambda _: None)
            drawn.append([json.loads(line)["id"] for line in few.read_text().splitlines()])
        assert set(drawn[0]) < set(drawn[1]) and drawn[1] == drawn[2]
        assert len(server.seen) == 30 + 12
        ask_labels(tmp_path / "in", tmp_path / "other.jsonl", endpoint, count=12, seed=2, say=lambda _: None)
        other = [json.loads(line)["id"] for line in (tmp_path / "other.jsonl").read_text().splitlines()]
        assert set(other) != set(drawn[1])


def test_calls_that_cannot_be_get_one_line(tmp_path: Path) -> None:
    endpoint = Endpoint("http://127.0.0.1:9/v1", "m", patience_s=0)
    with pytest.raises(InvalidCall, match="holds no shards"):
        ask_labels(tmp_path, tmp_path / "out.jsonl", endpoint, say=lambda _: None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidCall, match="choose another folder"):  # not: cannot connect
        ask_textbooks(tmp_path / "mine", endpoint, say=lambda _: None)
    with pytest.raises(InvalidCall, match="--count"):
        ask_textbooks(tmp_path / "out", endpoint, count=0, say=lambda _: None)
    with pytest.raises(InvalidCall, match="--temperature"):
        ask_exercises(tmp_path / "out", endpoint, temperature=float("nan"), say=lambda _: None)
