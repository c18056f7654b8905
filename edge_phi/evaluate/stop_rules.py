"""Where a completion ends: rules on its text, as published with the benchmarks' scores, and one on its structure."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import Protocol

from ..completion.stops import StopRule, Verdict


class StopRules(Protocol):
    """Where a completion of a prompt ends."""

    @property
    def name(self) -> str:
        """As `--stops` has it."""

    def cut(self, prompt: str, completion: str) -> str:
        """What stays of a whole completion: its beginning."""

    def rule(self, prompt: str) -> StopRule:
        """The same for text that is still growing."""


@dataclass(frozen=True)
class StopAt:
    """A completion ends before the first of these texts. They are looked for in the completion, not in the prompt."""

    texts: tuple[str, ...]
    name: str = "published"

    def cut(self, prompt: str, completion: str) -> str:
        """What stays of a completion; `prompt` does not matter."""
        found = [at for text in self.texts if (at := completion.find(text)) >= 0]
        return completion[: min(found, default=len(completion))]

    def rule(self, prompt: str) -> StopRule:
        """The same for text that is still growing."""
        longest = max(map(len, self.texts))

        def stop(text: str, ended: bool) -> Verdict:
            kept = len(self.cut(prompt, text))
            if kept < len(text):
                return Verdict(kept, stop=True)
            # What may yet become one of the texts lies at the end.
            return Verdict(len(text) if ended else max(0, len(text) - longest))

        return stop


@dataclass(frozen=True)
class StopByStructure:
    """A completion ends before a statement that begins a line at the left edge, unless `allowed` matches the line.

    The published texts miss some of what follows a finished function (`x = f(3)`, an import), and see some where there
    is none, as in a string's line that begins with "#". This rule lets Python say where a statement ends.
    """

    allowed: re.Pattern[str]
    name: str = "structure"

    def cut(self, prompt: str, completion: str) -> str:
        """What stays of a completion."""
        return completion[: self._end(prompt, completion)]

    def rule(self, prompt: str) -> StopRule:
        """The same for text that is still growing."""

        def stop(text: str, ended: bool) -> Verdict:
            whole = text if ended else text[: text.rfind("\n") + 1]  # a line may yet turn out to be allowed
            end = self._end(prompt, whole)
            return Verdict(end, stop=True) if end < len(whole) else Verdict(len(whole))

        return stop

    def _end(self, prompt: str, completion: str) -> int:
        for match in _LEFT_EDGE.finditer(completion):
            start = match.start()
            if not self.allowed.match(completion, start) and _parses(prompt + completion[:start]):
                return start
        return len(completion)


_LEFT_EDGE = re.compile(r"(?<=\n)(?=[^\s#])")  # of a line that is neither blank nor a comment
_NOTHING = re.compile(r"(?!)")
_PROGRAM = re.compile(r"(?:async|def|class|import|from)\b|@|[\w., \[\]\"']+(?::[^=\n]+)?=(?!=)")


def _parses(source: str) -> bool:
    """Whether `source` is whole: no bracket, string or block is open at its end."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning
            ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


BODY_STRUCTURE = StopByStructure(_NOTHING)  # for the body of a function that the prompt began
PROGRAM_STRUCTURE = StopByStructure(_PROGRAM)  # for a whole program: imports, definitions and assignments may follow

# bigcode-evaluation-harness, bigcode_eval/tasks/humaneval.py and mbpp.py
HUMANEVAL_STOPS = StopAt(("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```", "<file_sep>"))
MBPP_STOPS = StopAt(("\nclass", "\nassert", '\n"""', "\nprint", "\nif", "\n<|/", "\n```"))

# EvalPlus 0.3, evalplus/provider/utility.py, for models that complete
_EVALPLUS = ("<|endoftext|>", "<|endofmask|>", "</s>", "\nif __name__", "\ndef main(", "\nprint(")
HUMANEVAL_PLUS_STOPS = StopAt((*_EVALPLUS, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert "))
MBPP_PLUS_STOPS = StopAt((*_EVALPLUS, '\n"""', "\nassert"))
