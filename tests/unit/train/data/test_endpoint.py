"""The endpoint's client, its journal and its budget, against a server that answers and breaks as it is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from endpoint_server import Reply, Seen, Server, says
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.errors import EdgePhiError, InvalidCall, InvalidFile
from edge_phi.train.data.endpoint import Caps, Endpoint
from edge_phi.train.data.endpoint.answer import Answer, Unusable, Usage, read_answer
from edge_phi.train.data.endpoint.ask import Asked, ask_all
from edge_phi.train.data.endpoint.cache import Journal
from edge_phi.train.data.endpoint.client import KEY_VARIABLE
from edge_phi.train.data.endpoint.plan import draw
from edge_phi.train.data.endpoint.request import Request

KEY = "sk-very-secret-0123456789"


def requests(number: int) -> list[Request]:
    return [Request((("user", f"question {i}"),), 0.0, 20) for i in range(number)]


def ask(
    server: Server | str,
    path: Path,
    asked: list[Request],
    *,
    caps: Caps | None = None,
    concurrency: int = 1,
    timeout: float = 30.0,
    patience: float = 60.0,
) -> tuple[Asked, list[float], list[str]]:
    """What came of it, the pauses that would have been made, and what was said."""
    pauses: list[float] = []
    said: list[str] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    endpoint = Endpoint(server if isinstance(server, str) else server.url, "m", concurrency, timeout, patience)
    with Journal(path) as journal:
        result = ask_all(endpoint, asked, journal, caps=caps or Caps(), say=said.append, sleep=sleep)
    return result, pauses, said


BREAKS = {
    "too many requests": (Reply(b"{}", 429, {"Retry-After": "7"}), False),
    "an error of the server's": (Reply(b"oops", 500), False),
    "a gateway's": (Reply(b"<html>", 502), False),
    "no JSON": (Reply(b'{"choices": ['), True),
    "other JSON": (Reply(b'{"choices": []}'), True),
    "no text": (Reply(b'{"choices": [{"message": {"content": null}}]}'), True),
    "deep JSON": (Reply(b"[" * 100_000), True),
    "no UTF-8": (Reply(b'{"choices": [{"message": {"content": "\xff"}}]}'), True),
    "compressed": (Reply(says("x").body, headers={"Content-Encoding": "gzip"}), True),
    "without an end": (Reply(b" " * 100, end="endless"), True),
    "slow": (Reply(b" ", end="never"), True),
    "cut": (Reply(says("x").body, end="cut"), True),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_what_breaks_is_asked_again_and_what_may_be_charged_is_counted(tmp_path: Path, broken: str) -> None:
    reply, charged = BREAKS[broken]
    with Server(lambda _, number: says("fine") if number != 1 else reply) as server:
        result, pauses, _ = ask(server, tmp_path / "j", requests(3), timeout=1.0 if broken == "slow" else 30.0)
        assert result == Asked(answered=3)
        assert [seen.prompt for seen in server.seen] == ["question 0", "question 1", "question 1", "question 2"]
    with Journal(tmp_path / "j") as journal:
        assert len(journal) == 3 and journal.lost == charged
        bound = requests(2)[1]
        lost = bound.prompt_bound + bound.max_tokens if charged else 0
        assert journal.spent.prompt + journal.spent.completion == 3 * 15 + lost
    if broken == "too many requests":
        assert pauses == [7.0]


def test_waiting_grows_and_is_told_once(tmp_path: Path) -> None:
    with Server(lambda _, number: says("fine") if number > 6 else Reply(b"", 503)) as server:
        _, pauses, said = ask(server, tmp_path / "j", requests(1))
    for wait, pause in zip([0.5, 1, 2, 4, 8, 15, 15], pauses, strict=True):
        assert wait / 2 <= pause <= wait
    assert [line for line in said if "503" in line] == ["503: Service Unavailable: trying again for up to 60 s"]


@pytest.mark.parametrize(
    ("reply", "asked", "line"),
    [
        (Reply(b'{"error": {"message": "no such key"}}', 401), 1, r"401: no such key: set EDGE_PHI_ENDPOINT_KEY"),
        (Reply(b'{"detail": "Not Found"}', 404), 1, r"404: Not Found: check --endpoint .* and --model"),
        (Reply(b'{"error": "too\nlong\x1b[2J"}', 400), 5, r"400: .*too .*long.*5 requests in a row"),
        (Reply(b"{}"), 15, r"choices\[0\].*5 requests in a row"),
        (Reply(b"", 418), 1, "418"),
    ],
)
def test_what_will_not_get_better_ends_with_one_line(tmp_path: Path, reply: Reply, asked: int, line: str) -> None:
    with Server(lambda *_: reply) as server:
        with pytest.raises(EdgePhiError, match=line) as raised:
            ask(server, tmp_path / "j", requests(30))
        assert len(server.seen) == asked
    assert str(raised.value).isprintable()


def test_no_key_follows_a_redirect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with Server(lambda *_: says("mine")) as thief:
        moved = Reply(b"", 307, {"Location": f"{thief.url}/chat/completions"})
        with Server(lambda *_: moved) as server:
            with pytest.raises(EdgePhiError, match="sends us elsewhere"):
                ask(server, tmp_path / "j", requests(1))
            assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
        assert thief.seen == []


def test_the_key_is_sent_and_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # would see what goes through it
    replies = [says(f"your key is {KEY}"), says("fine"), Reply(f'{{"error": "not {KEY}"}}'.encode(), 403)]
    with Server(lambda _, number: replies[number]) as server, pytest.raises(EdgePhiError, match="403") as raised:
        ask(server, tmp_path / "j", requests(2))
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
    assert KEY not in str(raised.value)
    assert KEY not in (tmp_path / "j").read_text()
    monkeypatch.setenv(KEY_VARIABLE, "sk\nX-Other: 1")
    with pytest.raises(InvalidCall, match=f"^{KEY_VARIABLE}: holds what no header can"):
        ask(server, tmp_path / "j", requests(1))


def test_a_server_that_stays_away_ends_it_and_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    with Server(lambda seen, _: says(seen.prompt)) as server:
        ask(server, tmp_path / "j", requests(3))
    with pytest.raises(EdgePhiError, match=r"cannot connect.*given up after 0 s.*the 3 answers so far are kept"):
        ask(server.url, tmp_path / "j", requests(5), patience=0.0)
    with Server(lambda seen, _: says(seen.prompt)) as server:
        result, _, _ = ask(server, tmp_path / "j", requests(5))
        assert result.answered == 2
        assert [seen.prompt for seen in server.seen] == ["question 3", "question 4"]
    with Journal(tmp_path / "j") as journal:
        answers = [journal.get(request.key("m")) for request in requests(5)]
    assert [answer and answer.text for answer in answers] == [f"question {i}" for i in range(5)]


def test_one_question_the_server_never_answers_does_not_hold_up_the_others(tmp_path: Path) -> None:
    def reply(seen: Seen, number: int) -> Reply:
        if seen.prompt != "question 1":
            return says("fine")
        while others() < min(39, number + 3):  # answers to others have arrived since this came
            time.sleep(0.001)
        return Reply(b"", 500)

    def others() -> int:
        return sum(seen.prompt != "question 1" for seen in list(server.seen))

    with Server(reply) as server:
        result, _, _ = ask(server, tmp_path / "j", requests(40), patience=0.05, concurrency=2)
    assert result.answered == 39
    assert result.given_up == {requests(2)[1].key("m"): "no answer from the endpoint"}


def test_the_same_question_twice_at_once_is_asked_once(tmp_path: Path) -> None:
    with Server(lambda *_: says("fine")) as server:
        result, _, _ = ask(server, tmp_path / "j", requests(2) * 4, concurrency=4)
        assert len(server.seen) == 2 and result.answered == 2


_NAMES = st.sampled_from(["choices", "message", "content", "usage", "prompt_tokens"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_NAMES | st.text(), inner),
)


@given(_JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_whatever_comes_is_an_answer_or_unusable(body: bytes) -> None:
    try:
        answer = read_answer(body)
    except Unusable:
        return
    assert isinstance(answer.text, str)


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("\ud83d", "control characters or broken Unicode"),
        ("a\x00b", "control characters or broken Unicode"),
        ("\x1b[31mred", "control characters or broken Unicode"),
        ("if a:\u202e", "control characters or broken Unicode"),
        (" \n", "empty answer"),
        ("tab\tand line\r\nends, \N{SNOWMAN}\N{GRINNING FACE}", None),
    ],
)
def test_text_that_is_no_text_is_named(text: str, defect: str | None) -> None:
    assert read_answer(says(text).body).defect == defect
    assert "\r" not in read_answer(says(text).body).text


@pytest.mark.parametrize("usage", [None, (-1, 5), (True, 5), (1.5, 5), ("9", 5), (10**30, 5)])
def test_usage_that_is_none_counts_as_the_most_it_can_be(tmp_path: Path, usage: tuple[int, int] | None) -> None:
    with Server(lambda *_: says("fine", usage=usage)) as server:
        ask(server, tmp_path / "j", requests(1))
    with Journal(tmp_path / "j") as journal:
        assert journal.spent == Usage(len("question 0") + 64, 20)


@pytest.mark.parametrize("caps", [Caps(max_tokens=1000), Caps(max_cost=0.1, prompt_price=50, completion_price=200)])
def test_the_budget_is_never_exceeded_and_more_of_it_goes_on(tmp_path: Path, caps: Caps) -> None:
    with Server(lambda *_: says("fine", usage=(70, 20))) as server:
        first, _, _ = ask(server, tmp_path / "j", requests(50), caps=caps, concurrency=4)
        assert first.spent_out and 5 <= first.answered < 50
        with Journal(tmp_path / "j") as journal:
            assert caps.allow(journal.spent)
            assert not caps.allow(journal.spent + Usage(requests(1)[0].prompt_bound, 20))
        again, _, _ = ask(server, tmp_path / "j", requests(50), caps=caps)
        assert (again.answered, again.spent_out) == (0, True)
        rest, _, _ = ask(server, tmp_path / "j", requests(50), concurrency=4)
        assert rest.answered == 50 - first.answered and not rest.spent_out
        assert len({seen.prompt for seen in server.seen}) == len(server.seen) == 50
    assert first.why_not(requests(50)[-1].key("m")) == "not asked: the budget is spent"


def journal_of(path: Path, texts: list[str]) -> list[str]:
    keys = [request.key("m") for request in requests(len(texts))]
    with Journal(path) as journal:
        for key, text in zip(keys, texts, strict=True):
            journal.add(key, "m", Answer(text, False, Usage(1, 2)), Usage(1, 2))
    return keys


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_journal_cut_anywhere_keeps_whole_lines_and_goes_on(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(), min_size=1, max_size=5))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        keys = journal_of(path, texts)
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        left = max(0, whole[:cut].count(b"\n") - 1)
        with Journal(path) as journal:
            assert len(journal) == left and journal.spent == Usage(left, 2 * left) and journal.damaged == 0
            for key, text in list(zip(keys, texts, strict=True))[left:]:
                assert journal.get(key) is None
                journal.add(key, "m", Answer(text, False, Usage(1, 2)), Usage(1, 2))
        assert path.read_bytes() == whole
        with Journal(path) as journal:
            assert [answer and answer.text for answer in map(journal.get, keys)] == texts


def test_damage_in_the_middle_costs_its_line_alone(tmp_path: Path) -> None:
    keys = journal_of(tmp_path / "j", ["one", "two", "three"])
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    lines[2] = bytes(len(lines[2]) - 1) + b"\n"
    (tmp_path / "j").write_bytes(b"".join(lines))
    with Journal(tmp_path / "j") as journal:
        assert journal.damaged == 1
        assert [answer and answer.text for answer in map(journal.get, keys)] == ["one", None, "three"]


def test_a_journal_is_one_process_s_and_no_other_file_is_taken_for_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(InvalidCall, match="another process is writing it"):
        Journal(tmp_path / "j")
    (tmp_path / "mine").write_text("dear diary")
    with pytest.raises(InvalidFile, match="is no journal of answers"):
        Journal(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "dear diary"


def test_an_answer_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bytes, int]] = []
    with Journal(tmp_path / "j") as journal:
        monkeypatch.setattr(os, "fsync", lambda _: synced.append(((tmp_path / "j").read_bytes(), len(journal))))
        journal.add(requests(1)[0].key("m"), "m", Answer("the answer", False, None), Usage(1, 1))
        assert len(journal) == 1
    assert len(synced) == 1 and b"the answer" in synced[0][0] and synced[0][1] == 0


def test_an_answer_that_cannot_be_kept_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    with Journal(tmp_path / "j") as journal:
        key = requests(1)[0].key("m")
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(EdgePhiError, match="No space left on device"):
                journal.add(key, "m", Answer("x", False, None), Usage(1, 1))
        assert key not in journal and journal.spent == Usage()
        with pytest.raises(EdgePhiError, match="cannot be written"):  # nothing after half a line
            journal.add(key, "m", Answer("x", False, None), Usage(1, 1))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://user:pass@host/v1",
        "http://host/v1?key=1",
        "http://h o/v1",
        "http://host:99999/v1",
        "http://host/\nv1",
    ],
)
def test_a_base_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidCall, match="--endpoint") as raised:
        Endpoint(url, "m")
    assert "pass" not in str(raised.value) and str(raised.value).isprintable()


@pytest.mark.parametrize(
    "caps", [{"max_tokens": -1}, {"max_cost": 1.0}, {"max_cost": float("nan"), "prompt_price": 1.0}]
)
def test_caps_that_count_nothing_are_refused(caps: dict[str, float]) -> None:
    with pytest.raises(InvalidCall):
        Caps(**caps)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(0, 1000))
def test_every_combination_is_drawn_once_before_any_comes_again(sizes: list[int], seed: int) -> None:
    choices = [[f"{i}.{j}" for j in range(size)] for i, size in enumerate(sizes)]
    total = 1
    for size in sizes:
        total *= size
    drawn = [draw(number, choices, seed=seed) for number in range(2 * total)]
    assert len({combination for combination, _ in drawn[:total]}) == total
    assert [combination for combination, _ in drawn[:total]] == [combination for combination, _ in drawn[total:]]
    assert {sample for _, sample in drawn[:total]} == {0} and {sample for _, sample in drawn[total:]} == {1}


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.01)


@pytest.fixture
def textbook_command(tmp_path: Path) -> Iterator[Callable[[str, Path], list[str]]]:
    def command(url: str, out: Path) -> list[str]:
        return [
            sys.executable, "-m", "edge_phi", "data", "textbooks", str(out), "--endpoint", url, "--model", "m",
            "--count", "12", "--concurrency", "2", "--patience", "30",
        ]  # fmt: skip

    yield command


def test_killed_and_begun_anew_nothing_is_lost_and_the_shards_are_the_same(
    tmp_path: Path, textbook_command: Callable[[str, Path], list[str]]
) -> None:
    def lesson(seen: Seen, _: int) -> Reply:
        time.sleep(0.05)
        words = " ".join(f"{zlib.crc32(seen.prompt.encode())}-{i}" for i in range(80))
        return says(f"{words}\n\n```python\nprint(1)\n```\n")

    with Server(lesson) as server:
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        done = subprocess.run(textbook_command(server.url, whole), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{whole}\n" and "12 asked for, 12 kept" in done.stderr
        first = len(server.seen)
        process = subprocess.Popen(
            textbook_command(server.url, broken), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: len(server.seen) >= first + 5, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        journal = tmp_path / "broken.answers.jsonl"
        kept = journal.read_bytes().count(b"\n") - 1
        asked = len(server.seen) - first
        assert 3 <= kept < 12 and asked - kept <= 2  # at most those under way
        with journal.open("ab") as file:
            file.write(b'{"key": "0123')  # killed a moment earlier
        done = subprocess.run(textbook_command(server.url, broken), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert len(server.seen) - first - asked == 12 - kept
    assert (broken / "00000.parquet").read_bytes() == (whole / "00000.parquet").read_bytes()
    assert (broken / "manifest.json").read_bytes() == (whole / "manifest.json").read_bytes()
