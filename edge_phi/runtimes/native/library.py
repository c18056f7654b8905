"""The compiled engine, through ctypes: what engine.h declares, and where the library is if there is one."""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, c_char_p, c_float, c_int32, c_uint64, c_void_p
from typing import Any

from ...engines import NATIVE_LIBRARY
from ...errors import MissingExtra

OK, CANCELLED, INVALID, NO_MEMORY = range(4)
PORTABLE = "portable"  # the kernels for every processor, good for little more than checking the others

PAGE = 32  # positions in a page of the cache


class Geometry(ctypes.Structure):
    """`PhiGeometry` of engine.h."""

    _fields_ = [
        *((name, c_int32) for name in ("layers", "width", "heads", "inner", "rotary", "vocabulary", "context", "bits")),
        ("epsilon", c_float),
        ("theta", c_float),
        ("cache_bits", c_int32),
    ]


class Plan(ctypes.Structure):
    """`PhiPlan` of engine.h."""

    _fields_ = [
        (name, c_uint64)
        for name in ("first", "second", "norm_weight", "norm_bias", "first_bias", "second_bias", "layer_bytes", "head",
                     "head_bias", "last_norm_weight", "last_norm_bias", "total", "page_bytes")
    ]  # fmt: skip


_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "phi_kernels": (c_char_p, [c_int32]),
    "phi_plan": (c_int32, [POINTER(Geometry), POINTER(Plan)]),
    "phi_open": (c_void_p, [POINTER(Geometry), c_void_p, c_uint64, c_void_p, c_int32, c_char_p]),
    "phi_forward": (
        c_int32,
        [c_void_p, c_void_p, c_int32, c_int32, c_void_p, c_void_p, c_int32, c_int32, POINTER(c_int32)],
    ),
    "phi_close": (None, [c_void_p]),
    "phi_product": (
        c_int32,
        [c_char_p, c_void_p, c_int32, c_int32, c_int32, c_void_p, c_int32, c_void_p, c_int32],
    ),
}


@functools.cache
def load_library() -> Any:
    """The engine's functions.

    Raises:
        MissingExtra: it was not built, or does not load.
    """
    path = NATIVE_LIBRARY
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        said = "was not built" if not path.is_file() else f"does not load ({error})"
        raise MissingExtra(
            f"the native engine {said}: install edge-phi again where there is a C++17 compiler (GCC, Clang)"
        ) from error
    return library


def plan_of(geometry: Geometry) -> Plan | None:
    """Where packed weights of this geometry lie, or None if the engine does not compute it.

    Raises:
        MissingExtra: the engine was not built.
    """
    plan = Plan()
    return plan if load_library().phi_plan(ctypes.byref(geometry), ctypes.byref(plan)) == OK else None


def kernels() -> tuple[str, ...]:
    """Instruction sets that the engine has kernels for and this processor runs, the fastest first.

    Raises:
        MissingExtra: the engine was not built.
    """
    library = load_library()
    names: list[str] = []
    while name := library.phi_kernels(len(names)):
        names.append(name.decode())
    return tuple(names)
