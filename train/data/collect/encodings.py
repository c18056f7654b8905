"""From a file's bytes to text: by its mark or cookie, else UTF-8; nothing is guessed and nothing replaced."""

from __future__ import annotations

import codecs
import re

# The first or second line may name the encoding (PEP 263).
_COOKIE = re.compile(rb"^[ \t\f]*#[^\r\n]*?coding[:=][ \t]*([-\w.]+)")
_BLANK = re.compile(rb"^[ \t\f]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)")
# Python's other codecs are for bytes, for names of hosts, or slow on hostile input.
_ALLOWED = re.compile(
    r"utf_?8(_sig)?|ascii|us_ascii|latin_?1|l1|iso_?8859_?\d{1,2}|cp\d{3,4}|windows_?\d{3,4}|koi8_[rtu]"
    r"|mac_(roman|latin2|cyrillic|greek|turkish)|gb2312|gbk|gb18030|big5(hkscs)?|hz|johab|euc_(jp|kr|jis_2004)"
    r"|shift_jis(_2004)?|iso2022_(jp|kr)\w*"
)


class WrongEncoding(ValueError):
    """The bytes are not what they say, or not UTF-8 if they say nothing."""


def decode(data: bytes, *, cookie: bool) -> str:
    """The text of a file, without a byte order mark.

    Args:
        data: all of it.
        cookie: whether it may name its encoding as Python sources do.

    Raises:
        WrongEncoding: it does not decode, or names an encoding that is unknown or no text encoding.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        data = data.removeprefix(codecs.BOM_UTF8)
        encoding = (_named(data) if cookie else None) or "utf-8"
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError) as error:
        raise WrongEncoding(str(error)) from error


def _named(data: bytes) -> str | None:
    found = _COOKIE.match(data)
    if not found and (first := _BLANK.match(data)):
        found = _COOKIE.match(data[first.end() : first.end() + 1000])
    if not found:
        return None
    name = found[1].decode("ascii", "replace").lower().replace("-", "_")
    if name.startswith("utf_8"):  # utf-8-unix and others that editors write
        return "utf-8"
    if not _ALLOWED.fullmatch(name):
        raise WrongEncoding(f"unknown encoding: {name[:40]!r}")
    return name
