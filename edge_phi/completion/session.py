"""An editor's buffer and cursor in, a suggestion out; what the model read before is not read again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from ..errors import Cancelled, InvalidFile
from ..runtimes import AdjustsThreads, Remembers, Runtime, RuntimeInfo, Snapshots
from ..store import DEFAULT_MODEL, find_model
from ..tokenizer import Tokenizer
from .curve import curve_key, curve_of, measure_curve, store_curve, stored_curve
from .decode import GREEDY, DecodeSettings, decode
from .draft import open_draft
from .healing import Vocabulary
from .loading import load
from .measured import Key, engine_key, machine_key
from .newlines import from_feeds, newline_at, to_feeds
from .others import Others
from .prefix import common_prefix
from .prompt import Prompt, PromptBuilder
from .shape import shape
from .snapshots import SnapshotFolder, snapshot_key
from .speculate import DraftModel, Speculation
from .suggestion import Finish, Step
from .suggestion import Suggestion as Suggestion
from .suggestion import Timing as Timing
from .threads import measure_threads, store_threads, stored_threads

_WORTH_KEEPING = 128  # tokens that are sooner taken from a disk than read again


class Session:
    """A loaded model that completes. Calls from several threads run one after the other."""

    def __init__(
        self,
        runtime: Runtime,
        tokenizer: Tokenizer,
        *,
        model: str,
        load_ms: float,
        vocabulary: Vocabulary | None = None,
        speculation: Speculation | None = None,
        machine: Key | None = None,
        most_threads: int | None = None,
        snapshots: SnapshotFolder | None = None,
    ) -> None:
        """Take over a runtime.

        Args:
            runtime: nobody else may use it.
            tokenizer: of the same model.
            model: its name.
            load_ms: how long loading both took.
            vocabulary: the tokenizer's, if it is there already.
            speculation: drafts for this model; None where nothing is known of the engine's speed.
            machine: the `machine_key`, under which is kept what is measured in idle time; None to measure nothing.
            most_threads: the best number of threads up to this is to be found; None where the runtime has its number.
            snapshots: where what was read is kept, if the runtime can give it.
        """
        start_ns = time.perf_counter_ns()
        self._runtime = runtime
        self._tokenizer = tokenizer
        self._model = model
        self._prompts = PromptBuilder(tokenizer, runtime.info.context_length, vocabulary)
        self._load_ms = load_ms + (time.perf_counter_ns() - start_ns) / 1e6
        self._speculation = speculation
        self._machine, self._most_threads = machine, most_threads
        self._snapshots = snapshots
        self._threads, self._others = runtime.info.threads, Others()
        self._cached: list[int] = []  # the tokens in the runtime's cache
        self._lock = threading.Lock()

    @property
    def info(self) -> RuntimeInfo:
        """What is loaded and how."""
        return self._runtime.info

    @property
    def load_ms(self) -> float:
        """How long loading the model and its tokenizer took."""
        return self._load_ms

    def complete(
        self,
        before: str,
        after: str = "",
        *,
        settings: DecodeSettings = GREEDY,
        cancel: threading.Event | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> Suggestion:
        """Continue `before`, which ends at the cursor; `after` decides where to stop. Newlines are "\\n".

        Args:
            before: Python code up to the cursor; may be empty.
            after: code after the cursor.
            settings: how tokens are chosen, and how many.
            cancel: set by another thread to end the work soon; the suggestion then holds what was settled.
            on_step: called from this thread with every decoded token; the steps' texts joined are the suggestion's.

        Raises:
            EdgePhiError: the model fails.
        """
        with self._lock:
            start_ns = time.perf_counter_ns()
            newline = newline_at(before, after)
            before, after = to_feeds(before, newline), to_feeds(after, newline)
            prompt = self._prompts.build(before, settings.max_tokens)
            self._make_way()
            cached = self._reuse(prompt.tokens)
            if self._speculation is not None:
                self._speculation.begin(prompt.tokens)
            decoding = decode(
                self._runtime,
                prompt.tokens[cached:],
                self._tokenizer,
                settings,
                stops=(shape(before, after),),
                healing=prompt.healing,
                speculation=self._speculation,
                cancel=cancel,
            )
            steps, finish = _follow(decoding, newline, on_step)
            # The last token was chosen but not read; a cancelled prompt was not read either.
            read = [*prompt.tokens, *(step.token for step in steps)]
            self._cached = read[: self._runtime.length]
            return Suggestion(
                text="".join(step.text for step in steps),
                tokens=len(steps),
                finish=finish,
                model=self._model,
                runtime=self.info.engine,
                quant=self.info.quant,
                timing=self._timing(start_ns, prompt, cached, steps),
            )

    def use_idle_time(self, cancel: threading.Event) -> None:
        """Do what makes later suggestions faster, each once; until it is done or soon after `cancel` is set.

        That is: find the best number of threads, while others leave the cores alone, and measure what speculation has
        to know of this engine, if nobody has; keep what has been read on disk.

        Raises:
            EdgePhiError: the engine fails.
        """
        with self._lock:
            try:
                self._measure(cancel)
            except Cancelled:
                return
            finally:
                self._cached = self._cached[: self._runtime.length]
            runtime, cached = self._runtime, self._cached
            if self._snapshots is None or not isinstance(runtime, Snapshots) or cancel.is_set():
                return
            if len(cached) >= _WORTH_KEEPING and not self._snapshots.find(cached, len(cached) - _WORTH_KEEPING):
                self._snapshots.save(cached, runtime.snapshot())

    def close(self) -> None:
        """Free the model; waits for a call that is still at work. A second call does nothing."""
        with self._lock:
            self._cached = []
            self._runtime.close()
            if self._speculation is not None:
                self._speculation.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _measure(self, cancel: threading.Event) -> None:
        """Find out about the engine what nobody has on this machine."""
        runtime, machine = self._runtime, self._machine
        if machine is None:
            return
        before = self._threads
        if isinstance(runtime, AdjustsThreads):
            if self._most_threads is not None and not round(self._others.busy_cores()):
                self._threads = measure_threads(runtime, self._most_threads, cancel)
                store_threads(machine, self._most_threads, self._threads)
                self._most_threads = None
            runtime.use_threads(self._threads)
        if self._speculation is None or self._threads != before:
            curve = measure_curve(runtime, cancel)
            store_curve(curve_key(machine, runtime.info), curve)
            if self._speculation is None:
                self._speculation = Speculation(curve)
            self._speculation.curve = curve

    def _make_way(self) -> None:
        """Use a thread less for each core that others keep busy, where threads wait for one another."""
        runtime = self._runtime
        if isinstance(runtime, AdjustsThreads):
            threads = max(1, self._threads - round(self._others.busy_cores()))
            if threads != runtime.info.threads:
                runtime.use_threads(threads)

    def _reuse(self, tokens: Sequence[int]) -> int:
        """Let the cache hold as much of the start of `tokens` as was read before, at most one token short of all."""
        runtime, wanted = self._runtime, tokens[:-1]
        common = common_prefix(self._cached, wanted)
        # Should anything fail from here on, nothing is known of the cache.
        self._cached = []
        if isinstance(runtime, Remembers):
            common = runtime.reuse(wanted)
        else:
            runtime.rewind(common)
        if self._snapshots is None or not isinstance(runtime, Snapshots):
            return common
        found = None
        if common + _WORTH_KEEPING <= len(wanted):
            found = self._snapshots.find(wanted, common + _WORTH_KEEPING - 1)
        if found is None or len(found.tokens) > runtime.info.context_length:
            return common
        try:
            runtime.restore(self._snapshots.read(found), len(found.tokens))
        except InvalidFile:
            self._snapshots.remove(found)
            return runtime.length
        common = common_prefix(found.tokens, wanted)
        runtime.rewind(common)
        return common

    def _timing(self, start_ns: int, prompt: Prompt, cached: int, steps: Sequence[Step]) -> Timing:
        first_ns = self._first_ns(prompt, steps)
        decode_s = (steps[-1].time_ns - steps[0].time_ns) / 1e9 if steps else 0.0
        return Timing(
            load_ms=self._load_ms,
            ttft_ms=None if first_ns is None else (first_ns - start_ns) / 1e6,
            total_ms=(time.perf_counter_ns() - start_ns) / 1e6,
            decode_tokens_per_s=(len(steps) - 1) / decode_s if decode_s > 0 else None,
            prompt_tokens=len(prompt.tokens),
            cached_tokens=cached,
            prefill_ms=(steps[0].time_ns - start_ns) / 1e6 if steps else None,
        )

    def _first_ns(self, prompt: Prompt, steps: Sequence[Step]) -> int | None:
        """When the first token came that is more than a repetition of what was typed."""
        repeated = len(prompt.healing.typed.encode())
        for step in steps:
            repeated -= len(self._tokenizer.token_bytes(step.token))
            if repeated < 0:
                return step.time_ns
        return None


def open_session(
    model: str | Path = DEFAULT_MODEL,
    *,
    quant: str | None = None,
    threads: int | None = None,
    draft: str | Path | None = None,
    snapshots: bool = False,
) -> Session:
    """Load a model to complete with.

    Speculation is off until the engine was measured on this machine, in some session's idle time (`use_idle_time`) or,
    where there is a draft model, now.

    Args:
        model: the name of a model of this machine, or the path of a checkpoint folder, ONNX folder or GGUF file.
        quant: which form of it, as "onnx:int4" or only "int4"; the default one if None.
        threads: computing threads; if None, as many as were found best in some session's idle time, before that as
            many as the cores this process may use.
        draft: a smaller model of the same tokenizer, to guess ahead where that pays. The text is the same.
        snapshots: take what was read of a file in another session from the user's cache folder, and put it there in
            idle time.

    Raises:
        InvalidCall: no such model or form, or a draft model with other tokens.
        InvalidFile: the model is damaged.
        MissingExtra: its engine is not installed.
    """
    start_ns = time.perf_counter_ns()
    artifact = find_model(model).artifact(quant)
    runtime, tokenizer, vocabulary = load(artifact, threads)
    with contextlib.ExitStack() as opened:
        opened.callback(runtime.close)
        machine, most = machine_key(artifact, runtime.info), None
        if threads is None and isinstance(runtime, AdjustsThreads) and runtime.info.threads > 1:
            most = runtime.info.threads
            if (best := stored_threads(machine, most)) is not None:
                runtime.use_threads(best)
                most = None
        drafter: DraftModel | None = None
        curve = stored_curve(curve_key(machine, runtime.info))
        if draft is not None:
            drafter = open_draft(draft, tokenizer, threads=threads)
            opened.callback(drafter.close)
            curve = curve or curve_of(runtime, machine)
        session = Session(
            runtime,
            tokenizer,
            vocabulary=vocabulary,
            model=artifact.model,
            load_ms=(time.perf_counter_ns() - start_ns) / 1e6,
            speculation=None if curve is None else Speculation(curve, drafter),
            machine=machine,
            most_threads=most,
            snapshots=SnapshotFolder(snapshot_key(engine_key(artifact, runtime.info))) if snapshots else None,
        )
        opened.pop_all()
    return session


def complete(
    before: str,
    after: str = "",
    *,
    model: str | Path = DEFAULT_MODEL,
    quant: str | None = None,
    settings: DecodeSettings = GREEDY,
) -> Suggestion:
    """Load a model, continue `before` once and free the model again; to complete more than once, open a session.

    Raises:
        EdgePhiError: as `open_session` and `Session.complete`.
    """
    with open_session(model, quant=quant) as session:
        return session.complete(before, after, settings=settings)


def _follow(
    decoding: Generator[Step, None, Finish], newline: str, on_step: Callable[[Step], None] | None
) -> tuple[list[Step], Finish]:
    steps: list[Step] = []
    while True:
        try:
            step = next(decoding)
        except StopIteration as ended:
            finish: Finish = ended.value
            return steps, finish
        step = replace(step, text=from_feeds(step.text, newline))
        steps.append(step)
        if on_step is not None:
            on_step(step)
