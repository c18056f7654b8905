"""Runs `edge-phi` with a slow model that has learned one document by heart, as a process of its own.

python complete_as_learned.py TOKENIZER_FOLDER DOCUMENT SECONDS_PER_TOKEN ARGUMENT...
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from scripted import LearnedRuntime

from edge_phi.cli import main
from edge_phi.completion import session
from edge_phi.tokenizer import load_tokenizer


class SlowRuntime(LearnedRuntime):
    seconds = 0.0

    def extend(self, *arguments: Any, **options: Any) -> Any:
        time.sleep(self.seconds)
        return super().extend(*arguments, **options)


if __name__ == "__main__":
    folder, document, seconds, *arguments = sys.argv[1:]
    tokenizer = load_tokenizer(Path(folder))
    runtime = SlowRuntime(tokenizer, Path(document).read_bytes().decode(), context_length=100_000)
    runtime.seconds = float(seconds)
    session.open_session = lambda *_, **__: session.Session(runtime, tokenizer, model="learned", load_ms=0)
    sys.exit(main(arguments))
