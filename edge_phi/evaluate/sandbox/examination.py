"""What goes into the sandbox and what comes out of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["pass", "fail", "timeout", "infrastructure_error"]


@dataclass(frozen=True)
class Limits:
    """What one program may use. Its only process is the whole of it: it cannot start another."""

    seconds: float = 10.0  # of wall time, from the moment the program is started to its last test
    cpu_seconds: int = 60  # of all its threads together; matters to a program with several threads on several cores
    memory_bytes: int = 1 << 30  # of address space, of which the interpreter itself takes about 50 MiB
    threads: int = 32  # where the machine has user namespaces; elsewhere it has one
    output_bytes: int = 1 << 20  # of each stream that `Sandbox.run` captures; `Sandbox.check` discards them
    file_bytes: int = (
        16 << 20
    )  # of all files in its own folder together, where the machine has mount namespaces; else none

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Examination:
    """A program nobody has read, and the tests that it must pass.

    The tests run in another process than the solution. A name that they use and that neither they, the helpers nor
    the builtins define is looked up in the solution; `names` are looked up there even if the builtins have them too,
    as in a task to write `sum`.
    """

    solution: str  # untrusted source: prompt and completion
    tests: str  # trusted source: raises, by assert or otherwise, if the solution is wrong
    helpers: str = ""  # trusted source that runs before the tests in their namespace; the solution does not see it
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What came of an examination.

    An infrastructure error says nothing about the program: the worker died, the tests do not compile.
    """

    outcome: Outcome
    detail: str  # one printable line, empty for a pass
    seconds: float  # wall time

    @property
    def passed(self) -> bool:
        """Every test was run to its end."""
        return self.outcome == "pass"


@dataclass(frozen=True)
class Output:
    """What came of a program that was only run: what it printed, and how it ended.

    All of it is the program's own word: it can print anything and end with any code.
    """

    outcome: Outcome  # "pass": it ended by itself with code 0
    detail: str  # as in `Verdict`
    seconds: float  # wall time
    stdout: str  # undecodable bytes as U+FFFD; the first `Limits.output_bytes`
    stderr: str  # as `stdout`; ends with the traceback of what the program raised
    truncated: bool  # one of the two was longer
