"""How fast, how large and how close to full precision is each form of a model on this machine, and beside its peers?

- forms: what `edge-phi bench` runs, each form in a process of its own.
- peers: our runtimes beside `llama-bench` and onnxruntime-genai, see engine_peers.py. --llama-bench names the program,
  of the llama.cpp that llama-cpp-python has the libraries of; --genai a folder of onnxruntime-genai's builder, which is
  asked for one where none is given. Decoding also as a share of the bandwidth limit, measured in the same run.
- speculation: with and without it, see engine_speculation.py.

Writes engines.json and engines.md (the first table is for the README), which it also prints.

    python benchmarks/engines.py [forms] [peers] [speculation] [--model MODEL] [--llama-bench PROGRAM] [--genai FOLDER]
                                 [--rounds N] [--threads N] [--name NAME] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import genai
from engine_peers import NEW, PeerRow, compare_peers
from engine_speculation import SpeculationRow, compare_speculation
from revision import REPOSITORY, command_line, commit

from edge_phi import atomic
from edge_phi.cores import usable_cores
from edge_phi.errors import EdgePhiError
from edge_phi.measure.bench import run_bench
from edge_phi.measure.figures import Report
from edge_phi.measure.forms import make_missing
from edge_phi.measure.machine import busy_line, this_machine
from edge_phi.measure.progress import progress_on_stderr
from edge_phi.measure.report import notes, table_cells, to_json
from edge_phi.runtimes import open_tokenizer
from edge_phi.runtimes.llama_cpp import LlamaCppRuntime
from edge_phi.runtimes.native import NativeRuntime
from edge_phi.runtimes.onnx import OnnxRuntime
from edge_phi.store import DEFAULT_MODEL, Artifact, Model, find_model


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument(
        "what", nargs="*", default=["forms", "peers", "speculation"], metavar="forms|peers|speculation"
    )
    arguments.add_argument("--model", default=DEFAULT_MODEL, help="a model's name or folder, or a Q4_0 GGUF file")
    arguments.add_argument("--llama-bench", type=Path, help="the program (default: its loop, through ctypes)")
    arguments.add_argument("--onnx", type=Path, help="an int4 folder of the model, where that is a GGUF file")
    arguments.add_argument("--genai", type=Path, help="a folder of onnxruntime-genai's builder (default: it is built)")
    arguments.add_argument("--rounds", type=int, default=7, help="of peers and of speculation (default: %(default)s)")
    arguments.add_argument("--threads", type=int, default=usable_cores())
    arguments.add_argument("--name", default="engines", help="of the result files (default: %(default)s)")
    arguments.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results", help="folder to write to")
    given = arguments.parse_args()
    machine = this_machine()
    document: dict[str, Any] = {"command": command_line(), "commit": commit()}
    pages = []
    if "forms" in given.what:
        with progress_on_stderr() as progress:
            model, missing = make_missing(given.model, progress)
            report = run_bench(model, progress, skipped=missing)
        document |= json.loads(to_json(report))
        pages.append(forms_page(report))
    document |= {"machine": asdict(machine), "threads": given.threads}
    model = find_model(given.model)
    gguf = model.artifacts[0] if given.model.endswith(".gguf") else model.artifact("gguf:q4_0")
    if given.onnx:
        model = replace(model, artifacts=(*model.artifacts, find_model(given.onnx).artifact("onnx:int4")))
    onnx = next((artifact for artifact in model.artifacts if artifact.name == "onnx:int4"), None)
    if "peers" in given.what:
        with tempfile.TemporaryDirectory(prefix="engines-") as folder:
            built = given.genai or (genai_folder(model, Path(folder) / "genai") if onnx else None)
            rows, limit = compare_peers(gguf, onnx, built, given.llama_bench, given.threads, given.rounds)
        document["peers"] = {"rounds": given.rounds, "limit_gb_per_s": limit, "rows": [asdict(row) for row in rows]}
        pages.append(peers_page(rows, limit, given.threads, given.rounds))
    if "speculation" in given.what:
        found = speculation(gguf, onnx, given.threads, max(3, given.rounds // 2))
        document["speculation"] = [asdict(row) for row in found]
        pages.append(speculation_page(found, max(3, given.rounds // 2)))
    end = f"`{command_line()}`: {model.name}, {given.threads} threads."
    text = "\n".join([*pages, *([busy_line(machine) + "\n"] if machine.busy else []), end, ""])
    given.out.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(given.out / f"{given.name}.json", f"{json.dumps(document, indent=2)}\n".encode())
    atomic.write_bytes(given.out / f"{given.name}.md", text.encode())
    print(text, end="")


def genai_folder(model: Model, folder: Path) -> Path | None:
    """What onnxruntime-genai makes of the model; None where it is not installed."""
    if importlib.util.find_spec("onnxruntime_genai") is None:
        print("engines.py: onnxruntime-genai is not installed: it is left out", file=sys.stderr)
        return None
    genai.build(model.folder, folder)
    return folder


def speculation(gguf: Artifact, onnx: Artifact | None, threads: int, rounds: int) -> list[SpeculationRow]:
    """All engines, one after the other; those with and without speculation take turns."""
    tokenizer, rows = open_tokenizer(gguf), []
    engines = [lambda: NativeRuntime(gguf, threads=threads), lambda: LlamaCppRuntime(gguf, threads=threads)]
    if onnx is not None:
        engines.append(lambda: OnnxRuntime(onnx, threads=threads))
    for opened in engines:
        runtime = opened()
        rows += compare_speculation(runtime, tokenizer, rounds)
        runtime.close()
    return rows


def forms_page(report: Report) -> str:
    """The table and what must be known to read it."""
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table_cells(report))
    return f"{table(header, rows)}\n\n{' '.join(notes(report))}\n"


def peers_page(rows: list[PeerRow], limit: float, threads: int, rounds: int) -> str:
    header = ["tokens/s", "engine", "ours", "beside", "theirs", "ratio", "of the bandwidth"]
    cells = [
        [row.what, row.side, f"{row.tokens_per_s:.0f}", row.peer or "-",
         f"{row.peer_tokens_per_s:.0f}" if row.peer_tokens_per_s else "-",
         f"**{row.ratio:.2f}**" if row.ratio else "-",
         f"{row.bandwidth_share:.0%}" if row.bandwidth_share else "-"]
        for row in rows
    ]  # fmt: skip
    return (
        f"{table(header, cells)}\n\n{threads} threads, {NEW} tokens decoded, medians of {rounds} rounds in turns. "
        f"Memory is read at {limit:.1f} GB/s; weights that stay in the processor's cache may take a larger share.\n"
    )


def speculation_page(rows: list[SpeculationRow], rounds: int) -> str:
    header = ["engine", "prompts", "tokens", "plain tok/s", "with speculation", "ratio", "ms for 1, 4, 9 at once"]
    cells = [
        [row.engine, row.prompts, f"{row.tokens}", f"{row.plain_tokens_per_s:.0f}",
         f"{row.speculation_tokens_per_s:.0f}", f"**{row.ratio:.2f}**",
         ", ".join(f"{row.curve_ms[count - 1]:.2f}" for count in (1, 4, 9))]
        for row in rows
    ]  # fmt: skip
    return f"{table(header, cells)}\n\nGreedy, the same tokens; medians of {rounds} rounds in turns.\n"


def table(header: list[str], rows: list[list[str]]) -> str:
    ruler = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ruler, *rows))


if __name__ == "__main__":
    try:
        main()
    except EdgePhiError as error:
        sys.exit(f"engines.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
