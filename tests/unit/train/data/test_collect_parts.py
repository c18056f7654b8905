"""The judgements that collecting is made of: licences, secrets, encodings, and code that is installed."""

from __future__ import annotations

import base64
import random
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_phi.train.data.collect.encodings import WrongEncoding, decode
from edge_phi.train.data.collect.fitness import unfit
from edge_phi.train.data.collect.inputs import read_unit, write_units
from edge_phi.train.data.collect.licenses import AllowList, named_in, normalise, of_distribution
from edge_phi.train.data.collect.lines import LONGEST_LINE, bounded_lines
from edge_phi.train.data.collect.secrets import holds_secret
from edge_phi.train.data.collect.sources import Source, files_of, parse_sources


@pytest.mark.parametrize(
    ("name", "expression", "allowed"),
    [
        ("mit", "MIT", True),
        ("Apache License, Version 2.0", "Apache-2.0", True),
        ("BSD 3-Clause License", "BSD-3-Clause", True),
        ("BSD", "LicenseRef-BSD", True),
        ("MIT OR GPL-3.0-only", "MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", "MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR (MIT AND AGPL-3.0-only)", "GPL-3.0-only OR (MIT AND AGPL-3.0-only)", False),
        ("GPL-3.0-only OR MIT AND BSD-3-Clause", "GPL-3.0-only OR MIT AND BSD-3-Clause", True),
        ("(MIT OR GPL-3.0-only) AND MPL-2.0", "(MIT OR GPL-3.0-only) AND MPL-2.0", False),
        ("apache-2.0 with llvm-exception", "Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("CC-BY-3.0 text / MIT code", "CC-BY-3.0 AND MIT", True),
        ("CC-BY-SA-4.0 text + modified-MIT sample code", "CC-BY-SA-4.0 AND LicenseRef-modified-MIT", False),
        ("PSF-2.0 / 0BSD (code examples)", "PSF-2.0 AND 0BSD", True),
        ("public domain or CC0-1.0", "LicenseRef-Public-Domain OR CC0-1.0", True),
        ("WTFPL-2", "WTFPL", True),
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0", False),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0", False),
        ("BSD-4-Clause", "BSD-4-Clause", False),
        ("Proprietary", "LicenseRef-Proprietary", False),
        ("MIT License\n\nCopyright ...", "unknown", False),
        ("", "unknown", False),
        ("(((", "unknown", False),
    ],
)
def test_licences_are_read_as_they_are_written(name: str, expression: str, allowed: bool) -> None:
    assert normalise(name) == expression
    assert AllowList().allows(expression) is allowed


@settings(deadline=None)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["MIT", "GPL-3.0-only", "(", ")", "AND", "OR", "WITH", "/", "LLVM-exception"])).map(
        " ".join
    )
)
def test_any_name_becomes_an_expression_that_is_read_again(name: str) -> None:
    expression = normalise(name)
    assert normalise(expression) == expression
    assert AllowList().allows(expression) in (True, False)


def metadata(**fields: str | list[str]) -> Message:
    message = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


def test_the_licence_of_a_distribution() -> None:
    osi = "License :: OSI Approved :: "
    for fields, expected in [
        ({"License_Expression": "MIT AND Zlib", "License": "whatever"}, "MIT AND Zlib"),
        ({"License": "MIT", "Classifier": [osi + "MIT License", "Topic :: Games"]}, "MIT"),
        ({"License": "BSD-2-Clause", "Classifier": osi + "BSD License"}, "BSD-2-Clause"),
        ({"License": "a\nwhole\ntext", "Classifier": osi + "BSD License"}, "LicenseRef-BSD"),
        ({"License": "MIT", "Classifier": osi + "GNU General Public License v3 (GPLv3)"}, "GPL-3.0-only AND MIT"),
        ({"Classifier": ["License :: OSI Approved"]}, "unknown"),
        ({}, "unknown"),
    ]:
        assert of_distribution(metadata(**fields)) == expected  # type: ignore[arg-type]


def test_a_source_file_may_name_a_licence_of_its_own() -> None:
    assert named_in("# SPDX-License-Identifier: Apache-2.0 OR MIT\nx = 1") == "Apache-2.0 OR MIT"
    assert (
        named_in('"""Redistribute it under the terms of the GNU Lesser\nGeneral Public License."""') == "LicenseRef-GPL"
    )
    assert named_in("# This Source Code Form is subject to the terms of the Mozilla Public\n# License") == "MPL-2.0"
    assert named_in("# A parser for GNU makefiles, compatible with the GPL\n") is None


def _drawn(alphabet: str, length: int) -> str:
    return "".join(random.Random(length).choices(alphabet, k=length))


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
PEM = base64.b64encode(random.Random(1).randbytes(300)).decode()
SECRETS = [
    "-----BEGIN PRIVATE KEY-----\n" + "\n".join(PEM[i : i + 64] for i in range(0, 256, 64)),
    '"-----BEGIN EC PRIVATE KEY-----\\n' + "\\n".join(PEM[i : i + 64] for i in range(0, 256, 64)) + '"',
    "AKIA" + _drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
    "AIza" + _drawn(LETTERS, 35),
    "ghp_" + _drawn(LETTERS, 36),
    "glpat-" + _drawn(LETTERS, 20),
    "xoxb-" + _drawn("123456789", 12) + "-" + _drawn(LETTERS, 24),
    "sk_live_" + _drawn(LETTERS, 24),
    "sk-proj-" + _drawn(LETTERS, 48),
    "hf_" + _drawn(LETTERS[:52], 34),
    "pypi-AgEIcHlwaS5vcmc" + _drawn(LETTERS, 60),
    "SG." + _drawn(LETTERS, 22) + "." + _drawn(LETTERS, 43),
    "123987654:AA" + _drawn(LETTERS, 33),
    "AccountKey=" + _drawn(LETTERS, 86) + "==",
    f"eyJ{_drawn(LETTERS, 30)}.eyJ{_drawn(LETTERS, 60)}.{_drawn(LETTERS, 43)}",
    f'API_KEY = "{_drawn(LETTERS, 40)}"',
    f"config['secret_token']='{_drawn('0123456789abcdef', 32)}'",
    f'{{"password": "{_drawn(LETTERS, 24)}"}}',
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:14].strip())
def test_a_secret_is_found_wherever_it_stands(secret: str) -> None:
    assert holds_secret(secret)
    assert holds_secret(f"# before\n{secret}\n# after\n")
    assert holds_secret(
        f"    x = f({secret!r})  # after" if "'" not in secret and '"' not in secret else f"f({secret})"
    )


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        'if line.startswith("-----BEGIN RSA PRIVATE KEY-----"):',
        "-----BEGIN CERTIFICATE-----\n" + PEM,
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        'password = "correct horse battery staple"',
        'SECRET_TOKEN_NAME = "django_session_secret_token_v2_0_1"',
        'token = "https://api.service.org/v1/token1234"',
        'sha256 = "' + _drawn("0123456789abcdef", 64) + '"',
        'api_key = os.environ["API_KEY"]',
        '_no_split = ["Omni2_5Token2WavModel", "Omni2_5Token2WavBigVGANModel"]',
        "passwords = ['" + "a1" * 12 + "']",
        "tokens = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ'",
    ],
)
def test_what_only_looks_like_a_secret_is_none(text: str) -> None:
    assert not holds_secret(text)


@pytest.mark.parametrize(
    "data",
    [
        b"-----BEGIN RSA PRIVATE KEY-----\n" * 30_000,
        b"password = '" + b"aB3" * 330_000,
        b"'" * 1_000_000 + b"secret",
        b"eyJ" * 330_000,
        b"sk-" * 330_000,
        b"password=" * 110_000,
    ],
    ids=lambda data: data[:8].decode(),
)
def test_hostile_text_is_judged_in_time_that_grows_with_its_length(data: bytes) -> None:
    assert not holds_secret(data.decode())  # a pattern that went over it again and again would take hours


@pytest.mark.parametrize(
    ("opening", "repeated", "closing"),
    [
        ("(1", "\n+1", ")"),
        ("(a", "\n.b", ")"),
        ("(", "\n-", "1)"),
        ("if 1: pass", "\nelif 1: pass", ""),
        ("", "f(", ""),
    ],
)
@pytest.mark.parametrize("times", [300, 5_000, 59_000, 200_000])
def test_deep_code_never_ends_the_process(opening: str, repeated: str, closing: str, times: int) -> None:
    code = f"# {'long enough to be judged ' * 4}\n{opening}{repeated * times}{closing}"
    assert unfit(code, python=True) in (
        None,
        "does not parse as Python",
        "few letters",
        "minified, or lines too long",
        "over a million characters",
        "too large to parse safely",
    )


def test_hostile_code_is_judged_in_time_that_grows_with_its_length() -> None:
    code = "\n" * 300_000 + ("x" * 990 + "\n") * 300 + "print ("
    assert unfit(code, python=True) == "does not parse as Python"  # not before tomorrow, if white space were retried


def test_encodings() -> None:
    assert decode(b"\xef\xbb\xbfa\xc3\xa9", cookie=True) == "aé"
    assert decode("é".encode("utf-16"), cookie=False) == "é"
    assert decode(b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n\x80", cookie=True).endswith("€")
    assert decode(b"# coding: utf-8-unix\n\xc3\xa9", cookie=True).endswith("é")
    assert decode(b"x = 1\n# coding: latin-1\n\xc3\xa9", cookie=True).endswith("é")  # after code it is no cookie
    for wrong in [b"\xe9", b"# coding: nonsense\n", b"# coding: rot13\n", b"# coding: ascii\n\xe9", b"\xff\xfea"]:
        with pytest.raises(WrongEncoding):
            decode(wrong, cookie=True)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))), st.integers(1, 7))
def test_lines_are_cut_where_they_end_however_they_are_read(found: list[bytes], block: int) -> None:
    data = b"\n".join(found)
    pieces = iter([data[i : i + block] for i in range(0, len(data), block)])
    expected = found[:-1] if found and not found[-1] else found
    assert list(bounded_lines(lambda: next(pieces, b""))) == expected


def test_a_long_line_is_not_held() -> None:
    pieces = iter(
        [b"a\n", b"b" * LONGEST_LINE, b"b\nc\n", b"d" * (LONGEST_LINE + 1) + b"\n" + b"e" * LONGEST_LINE, b"e"]
    )
    assert list(bounded_lines(lambda: next(pieces, b""))) == [b"a", None, b"c", None, None]


def test_the_standard_library_without_its_tests() -> None:
    listed = {each.name: each for each in files_of(parse_sources(["standard_library"])[0])}
    assert listed["argparse.py"].license == "PSF-2.0" and not listed["argparse.py"].skipped
    assert listed["encodings/cp1252.py"].skipped and not any("site-packages" in name for name in listed)
    assert all(listed[name].skipped == "in a folder of tests" for name in listed if "/tests/" in name)


def test_installed_distributions_by_their_own_licence(tmp_path: Path) -> None:
    def install(name: str, files: list[str], record: list[str] | None = None, **extra: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: MIT\n")
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(f"# {name}\n" * 20)
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in record or files))
        for file, text in extra.items():
            (info / f"{file}.json").write_text(text)

    install("beta", ["beta/core.py", "beta/_vendor/other.py", "beta/tests/test_core.py", "beta/data.bin"])
    install("alpha", ["alpha.py"], ["alpha.py", "../../etc/profile.py", "/etc/passwd.py", "gone.py"])
    install("working", ["working.py"], direct_url='{"dir_info": {"editable": true}}')
    source = Source("installed", "installed", tmp_path)
    assert [(each.owner, each.name, each.skipped) for each in files_of(source)] == [
        ("alpha-1.0", "../../etc/profile.py", "outside of where packages are installed"),
        ("alpha-1.0", "/etc/passwd.py", "outside of where packages are installed"),
        ("alpha-1.0", "alpha.py", ""),
        ("alpha-1.0", "gone.py", ""),
        ("beta-1.0", "beta/_vendor/other.py", "vendored, under a licence of its own"),
        ("beta-1.0", "beta/core.py", ""),
        ("beta-1.0", "beta/tests/test_core.py", "in a folder of tests"),
    ]
    (unit,) = write_units([source], tmp_path / "inputs", threads=2)
    assert [each.name for each in read_unit(unit).inputs] == ["alpha.py", "beta/core.py"]
    assert {each.license for each in read_unit(unit).inputs} == {"MIT"} and read_unit(unit).skipped["unreadable"] == 1
