"""MBPP+'s inputs with the types that JSON could not keep: tuples, sets and complex numbers.

Which argument of which task was what is known from EvalPlus 0.3 (`evalplus/data/mbpp.py`).
"""

from __future__ import annotations

from typing import Any

# In every argument: the argument itself is a tuple; its items are; both are.
_TUPLES = {
    2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809,
}  # fmt: skip
_OF_TUPLES = {63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780}
_TUPLES_OF_TUPLES = {259, 401, 445}
# The first argument's items are tuples; the first argument is a tuple; the second is.
_FIRST_OF_TUPLES = {75, 413, 444, 753}
_FIRST_TUPLE = {250, 307, 405, 446, 617, 720, 763, 808}
_SECOND_TUPLE = {106, 750}
_ALL_TUPLES = {580, 615, 791}  # as deep as they go, the list of arguments too


def mbpp_inputs(task: int, inputs: list[Any]) -> list[Any]:
    """`inputs` of MBPP/`task`, each a list of arguments as JSON has them, with their own types."""
    return [_arguments(task, arguments) for arguments in inputs]


def _arguments(task: int, arguments: list[Any]) -> Any:
    first, *rest = arguments
    if task in _TUPLES:
        return [tuple(argument) for argument in arguments]
    if task in _OF_TUPLES:
        return [[tuple(item) for item in argument] for argument in arguments]
    if task in _TUPLES_OF_TUPLES:
        return [tuple(tuple(item) for item in argument) for argument in arguments]
    if task in _FIRST_OF_TUPLES:
        return [[tuple(item) for item in first], *rest]
    if task in _FIRST_TUPLE:
        return [tuple(first), *rest]
    if task in _SECOND_TUPLE:
        return [first, tuple(rest[0]), *rest[1:]]
    if task in _ALL_TUPLES:
        return _tuples(arguments)
    if task == 115:
        return [[set(item) if isinstance(item, list) and item else {} for item in first]]
    if task == 124:
        return [float(first), complex(rest[0])]
    if task == 252:
        return [complex(first)]
    if task == 278:
        return [tuple(tuple(item) if isinstance(item, list) else item for item in first)]
    if task == 722:
        return [{name: tuple(value) for name, value in first.items()}, *rest]
    return arguments


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
