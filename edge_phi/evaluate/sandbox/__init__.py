"""Runs programs that nobody has read: what they can reach, use and claim is bounded. See docs/sandbox.md.

with Sandbox() as sandbox:
    verdict = sandbox.check(Examination(solution=source, tests="assert mean([1, 3]) == 2"))
"""

from __future__ import annotations

from .examination import Examination, Limits, Outcome, Output, Verdict
from .host import Sandbox
from .isolation import Isolation, Mechanism, probe

__all__ = ["Examination", "Isolation", "Limits", "Mechanism", "Outcome", "Output", "Sandbox", "Verdict", "probe"]
