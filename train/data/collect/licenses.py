"""Licences: which one a text is under, as an SPDX expression, and whether that may be trained on.

By default what is permissive may: it asks for attribution at most. Copyleft is refused, and so is share-alike
(CC-BY-SA), since whether a model is an adaptation of what it read is not settled; whoever has settled it for himself
says `--license 'CC-BY-SA-*'`. Non-commercial and no-derivatives licences are refused. What no licence is known for is
"unknown", and refused: a text without a licence is under copyright.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import PackageMetadata

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from edge_phi.errors import InvalidCall

UNKNOWN = "unknown"
PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BlueOak-1.0.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-2-Clause-Patent",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSL-1.0",
        "CC-BY-1.0",
        "CC-BY-2.0",
        "CC-BY-2.5",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "CNRI-Python",
        "HPND",
        "ISC",
        "LicenseRef-BSD",
        "LicenseRef-Public-Domain",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "NCSA",
        "PostgreSQL",
        "PSF-2.0",
        "Python-2.0",
        "Python-2.0.1",
        "Unlicense",
        "UPL-1.0",
        "WTFPL",
        "X11",
        "Zlib",
    }
)
# The names people write; LicenseRef-BSD is one of the BSD family that was not said more closely.
_NAMES = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software": "Apache-2.0",
    "apache software 2.0": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "boost software 1.0 bsl-1.0": "BSL-1.0",
    "bsd": "LicenseRef-BSD",
    "bsd style": "LicenseRef-BSD",
    "bsd-2": "BSD-2-Clause",
    "2-clause bsd": "BSD-2-Clause",
    "bsd 2-clause": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "cc0 1.0 universal cc0 1.0 public domain dedication": "CC0-1.0",
    "expat": "MIT",
    "mit no attribution mit-0": "MIT-0",
    "historical permission notice and disclaimer hpnd": "HPND",
    "isc iscl": "ISC",
    "gpl": "LicenseRef-GPL",
    "gnu general public gpl": "LicenseRef-GPL",
    "gnu general public v2 gplv2": "GPL-2.0-only",
    "gnu general public v2 or later gplv2+": "GPL-2.0-or-later",
    "gnu general public v3 gplv3": "GPL-3.0-only",
    "gnu general public v3 or later gplv3+": "GPL-3.0-or-later",
    "gnu affero general public v3": "AGPL-3.0-only",
    "gnu affero general public v3 or later agplv3+": "AGPL-3.0-or-later",
    "gnu lesser general public v2 lgplv2": "LGPL-2.0-only",
    "gnu lesser general public v2 or later lgplv2+": "LGPL-2.0-or-later",
    "gnu lesser general public v3 lgplv3": "LGPL-3.0-only",
    "gnu lesser general public v3 or later lgplv3+": "LGPL-3.0-or-later",
    "gnu library or lesser general public lgpl": "LicenseRef-LGPL",
    "lgpl": "LicenseRef-LGPL",
    "mpl 2.0": "MPL-2.0",
    "mozilla public 2.0 mpl 2.0": "MPL-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "psf": "PSF-2.0",
    "python software foundation": "PSF-2.0",
    "unlicense unlicense": "Unlicense",
    "universal permissive upl": "UPL-1.0",
    "university of illinois": "NCSA",
    "university of illinois/ncsa open source": "NCSA",
    "wtfpl-2": "WTFPL",
    "zlib/libpng": "Zlib",
    "zope public": "ZPL-2.1",
}
_UNSAID = frozenset({"", "unknown", "none", "other", "n/a", "no_license", "noassertion"})
_LONGEST = 300  # characters; longer ones are a licence's text, not its name
_NOTES = re.compile(r"\([^()]*\)|\b(?:text|prose|documentation|code|samples?|examples?)\b", re.IGNORECASE)
_WORDS = re.compile(r"[^\w.+/-]+|\b(?:the|licen[cs]ed?|under|version)\b", re.IGNORECASE)
_OPERATOR = re.compile(r"\s+(?:or|\|\|?)\s+", re.IGNORECASE)
_TOGETHER = re.compile(r"\s+(?:and|\+|&)\s+|\s*[,;/]\s*", re.IGNORECASE)
_TOKEN = re.compile(r"[()]|[^\s()]+")


@dataclass(frozen=True)
class AllowList:
    """Which licences may be trained on.

    Attributes:
        more: beyond `PERMISSIVE`: SPDX identifiers, patterns such as "CC-BY-SA-*", "unknown".
    """

    more: tuple[str, ...] = ()

    @classmethod
    def extended(cls, more: Iterable[str]) -> AllowList:
        """The default, and what a call allows beside it.

        Raises:
            InvalidCall: something that is no licence's name, or an expression of several.
        """
        names = set()
        for name in more:
            known = name.strip() if "*" in name else normalise(name)
            if " " in known or not known or (known == UNKNOWN and name.strip().lower() != UNKNOWN):
                raise InvalidCall(f"{name!r}: name one licence by its SPDX identifier, a pattern of one, or 'unknown'")
            names.add(known)
        return cls(tuple(sorted(names)))

    def allows(self, expression: str) -> bool:
        """Whether a licence as `normalise` gives it is enough to train on a text.

        OR needs one of its sides, AND both. What stands after WITH is an exception from the duties of what stands
        before it, and so changes nothing.
        """
        return _evaluate(_TOKEN.findall(expression), self._allows_name)

    def _allows_name(self, name: str) -> bool:
        name = name.removesuffix("+")
        return name in PERMISSIVE or any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.more)


@functools.lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """The SPDX expression for a licence's name, however it is written.

    Names that SPDX does not know become LicenseRef-NAME; nothing said, or a whole licence's text, is "unknown".
    "A / B", "A, B" and "A + B" are read as AND.
    """
    name = name.strip()
    if len(name) > _LONGEST or "\n" in name or name.lower() in _UNSAID:
        return UNKNOWN
    if known := _identifier(name):
        return known
    sides = [[_known_or_own(part) for part in _TOGETHER.split(side)] for side in _OPERATOR.split(_NOTES.sub(" ", name))]
    if not all(all(parts) for parts in sides):
        return UNKNOWN
    joined = [" AND ".join(dict.fromkeys(parts)) for parts in sides]
    return " OR ".join(f"({each})" if len(joined) > 1 and " AND " in each else each for each in joined)


def normalise_all(names: Sequence[str]) -> str:
    """One expression for a list of licences, all of which a text is under."""
    known = sorted({normalise(name) for name in names})
    if not known or UNKNOWN in known:
        return UNKNOWN
    return known[0] if len(known) == 1 else " AND ".join(f"({each})" if " OR " in each else each for each in known)


def of_distribution(metadata: PackageMetadata) -> str:
    """The licence of an installed distribution by its metadata.

    Its License-Expression (PEP 639), else its License field and classifiers together, where those name one.
    """
    if expression := _field(metadata, "License-Expression"):
        return normalise(expression)
    names = [
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get_all("Classifier") or []
        if classifier.startswith("License :: ") and classifier != "License :: OSI Approved"
    ]
    named = {normalise(name) for name in [_field(metadata, "License"), *names]} - {UNKNOWN}
    if any(re.match(r"(0BSD|BSD-\d)", each) for each in named):
        named.discard("LicenseRef-BSD")
    return normalise_all(sorted(named))


def _field(metadata: PackageMetadata, name: str) -> str:
    values = metadata.get_all(name)
    return str(values[0]) if values else ""


def named_in(code: str) -> str | None:
    """The licence that the head of a source file names, if it is one to beware of or in SPDX's own form."""
    head = code[:4000]
    if (at := head.find("SPDX-License-Identifier:")) >= 0:
        return normalise(head[at + 24 :].partition("\n")[0].strip(" \t*/#-'\""))
    if "GNU" in head or "GPL" in head or "Mozilla Public" in head:
        plain = re.sub(r"[\s#*]+", " ", head)
        if found := _COPYLEFT.search(plain):
            return "MPL-2.0" if found[1].startswith("Moz") else "LicenseRef-GPL"
    return None


_COPYLEFT = re.compile(
    r"(?:under|terms of|subject to)(?: the terms of)?(?: version [\d.]+ of)?(?: either)? the"
    r" (GNU (?:Lesser |Library |Affero )?General Public|[AL]?GPL|Mozilla Public)"
)


def _identifier(name: str) -> str | None:
    try:
        return canonicalize_license_expression(name)
    except InvalidLicenseExpression:
        plain = " ".join(_WORDS.sub(" ", name.lower()).split())
        return _NAMES.get(plain) or _NAMES.get(" ".join(name.lower().split())) or _spdx(plain)


def _spdx(name: str) -> str | None:
    try:
        return canonicalize_license_expression(name.replace(" ", "-"))
    except InvalidLicenseExpression:
        return None


def _known_or_own(name: str) -> str:
    own = re.sub(r"[^A-Za-z0-9.]+", "-", name.strip()).strip("-.")
    return _identifier(name) or (f"LicenseRef-{own}" if own else "")


def _evaluate(tokens: list[str], allowed: Callable[[str], bool]) -> bool:
    """The value of an expression by recursive descent; it is short, and so not deep."""
    position = 0

    def either() -> bool:
        nonlocal position
        value = both()
        while position < len(tokens) and tokens[position] == "OR":
            position += 1
            value = both() or value
        return value

    def both() -> bool:
        nonlocal position
        value = one()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            value = one() and value
        return value

    def one() -> bool:
        nonlocal position
        token = tokens[position]
        position += 1
        if token == "(":
            value = either()
            position += 1
            return value
        if position < len(tokens) and tokens[position] == "WITH":
            position += 2
        return allowed(token)

    return either()
