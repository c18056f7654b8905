"""Twenty completions of ordinary small functions, as a model writes them, and whether it stops by itself.

    python benchmarks/completions.py [MODEL] [--quant Q] [--limit N]

Prints Markdown for docs/phi-1-nano.md: twenty beginnings that nobody tuned for, greedy, nothing left out and nothing
chosen, `│` where the model began. Then it writes to HumanEval's prompts and counts how texts ended: because what was
asked for was finished (the next statement at the left edge, or the end-of-text token), or because the limit on tokens
came first, and of those how many go round in a loop: the same part three times in a row at the end.
"""

from __future__ import annotations

import argparse
from collections import Counter

from edge_phi.completion.decode import DecodeSettings
from edge_phi.completion.terminal import one_line
from edge_phi.cores import usable_cores
from edge_phi.evaluate.generate import Ask
from edge_phi.evaluate.humaneval import load_humaneval
from edge_phi.evaluate.model_run import ModelWriter
from edge_phi.evaluate.stop_rules import BODY_STRUCTURE
from edge_phi.store import DEFAULT_MODEL, find_model

BEGINNINGS = (
    'def mean(values):\n    """Return the arithmetic mean of a list of numbers."""\n',
    'def count_words(text):\n    """Count how often each word occurs in text."""\n',
    'def is_even(number: int) -> bool:\n    """Whether a number is even."""\n',
    'def read_lines(path):\n    """Return the lines of a text file without their line ends."""\n',
    'def largest(numbers):\n    """Return the largest of some numbers, or None if there are none."""\n',
    'def reverse_words(sentence: str) -> str:\n    """Return the sentence with its words in reverse order."""\n',
    'def celsius_to_fahrenheit(degrees):\n    """Convert a temperature from Celsius to Fahrenheit."""\n',
    'def unique(items):\n    """Return the items without repetitions, in the order in which they first appear."""\n',
    'def factorial(n):\n    """Return n! for a whole number n of 0 or more."""\n',
    'def flatten(lists):\n    """Join a list of lists into one list."""\n',
    'def longest_word(words):\n    """Return the longest word; of equals the first."""\n',
    'def swap_keys_and_values(mapping):\n    """Return a dictionary with keys and values swapped."""\n',
    'def remove_none(values):\n    """Return the values that are not None."""\n',
    'def sum_of_digits(number):\n    """Add up the decimal digits of a whole number."""\n',
    'def greet(name, greeting="Hello"):\n    """Return a greeting such as "Hello, Kim!"."""\n',
    'def index_of(items, wanted):\n    """Return the position of an item in a list, or -1."""\n',
    'def transpose(matrix):\n    """Swap the rows and columns of a matrix given as a list of rows."""\n',
    'class Queue:\n    """First in, first out."""\n\n    def __init__(self):\n',
    'import json\n\n\ndef save(data, path):\n    """Write data to a file as JSON."""\n',
    "def fibonacci(n):\n    # the first n numbers\n",
)


def write_beginnings(writer: ModelWriter) -> None:
    """Print what the model makes of each beginning."""
    asks = [Ask(f"beginning-{at}", 0, text.strip()) for at, text in enumerate(BEGINNINGS)]
    for ask, record in zip(asks, writer.write(asks, BODY_STRUCTURE), strict=True):
        lines = f"{ask.prompt}│{record['completion'].rstrip()}".split("\n")
        print("```python", *map(one_line, lines), "```", "", sep="\n")


def count_ends(writer: ModelWriter, limit: int | None) -> Counter[str]:
    """How the texts that follow HumanEval's prompts end."""
    asks = [Ask(problem.task_id, 0, problem.prompt.strip()) for problem in load_humaneval().problems[:limit]]
    ends: Counter[str] = Counter()
    for record in writer.write(asks, BODY_STRUCTURE):
        if record["finish"] != "length":
            ends["stopped by itself"] += 1
        else:
            ends["went round in a loop" if loops(record["raw"]) else "was cut off"] += 1
    return ends


def loops(text: str, *, times: int = 3, longest: int = 200) -> bool:
    """Whether a text ends in one part of at most `longest` characters that comes so often in a row, cut anywhere."""
    end = text[-(times + 1) * longest :]
    for length in range(1, min(longest, len(end) // times) + 1):
        tail = end[-times * length :]
        if tail == tail[:length] * times:
            return True
    return False


def main() -> None:
    """Write, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL)
    parser.add_argument("--quant", help="a form of the model; its default if not given")
    parser.add_argument("--limit", type=int, help="only the first so many of HumanEval's prompts")
    parser.add_argument("--max-tokens", type=int, default=512)
    arguments = parser.parse_args()
    artifact = find_model(arguments.model).artifact(arguments.quant)
    writer = ModelWriter(artifact, DecodeSettings(max_tokens=arguments.max_tokens), threads=usable_cores())
    try:
        write_beginnings(writer)
        ends = count_ends(writer, arguments.limit)
    finally:
        writer.close()
    for name, count in ends.most_common():
        print(f"{name}: {count} of {ends.total()} prompts of HumanEval")


if __name__ == "__main__":
    main()
