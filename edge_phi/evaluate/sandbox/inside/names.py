"""Classes, functions and constants that pass between the processes by name.

Nothing here has an effect, and no instance of any of them equals what it is not: a solution that passes one of these
off as its own function gains nothing.
"""

from __future__ import annotations

import array
import builtins
import collections
import datetime
import decimal
import fractions
import math
from typing import Any

# Their place in the list is what is sent.
DICTS: tuple[type, ...] = (dict, collections.OrderedDict, collections.Counter, collections.defaultdict)
VALUES: tuple[type, ...] = (
    fractions.Fraction, decimal.Decimal, datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
    datetime.timezone, array.array,
)  # fmt: skip

_PLAIN: tuple[type, ...] = (
    object, bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, range, slice, type(None),
    collections.deque,
)  # fmt: skip
_EXCEPTIONS = [kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)]

NAMED: dict[str, Any] = {
    "Ellipsis": ...,
    "NotImplemented": NotImplemented,
    **{kind.__name__: kind for kind in (*_PLAIN, *DICTS, *VALUES, *_EXCEPTIONS)},
    **{f"math.{name}": value for name, value in vars(math).items() if callable(value)},
}
_NAMES = {id(value): name for name, value in NAMED.items()}


def name_of(value: Any) -> str | None:
    """The name of `value` itself in `NAMED`, whatever it claims to equal."""
    return _NAMES.get(id(value))
