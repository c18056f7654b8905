"""What else the machine does: engines whose threads wait for one another suffer when a core is shared."""

from __future__ import annotations

import os
import time
from pathlib import Path

_LEAST_S = 0.1  # a shorter look says nothing


class Others:
    """How many of this process's cores other processes keep busy. Only Linux says; elsewhere nobody is there."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        self._busy = 0.0
        self._last = self._look()

    def busy_cores(self) -> float:
        """Cores' worth of time that others took since this was last asked, a tenth of a second ago or more."""
        now = self._look()
        wall, total, own = (after - before for after, before in zip(now, self._last, strict=True))
        if wall >= _LEAST_S:
            self._busy, self._last = max(0.0, (total - own) / wall), now
        return self._busy

    def _look(self) -> tuple[float, float, float]:
        """Seconds: by the clock, busy on our cores, and of this process."""
        busy = 0.0
        try:
            lines = self._stat.read_text().splitlines()
        except OSError:
            lines = []
        for line in lines:
            name, *fields = line.split()
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in self._cores and len(fields) >= 8:
                user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
                busy += (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, time.process_time()
