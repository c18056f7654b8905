"""The user's settings: one TOML file, checked whole before the app starts.

theme = "edge-phi-contrast"

[keys]
accept = "ctrl+e"
race = "f11, alt+r"
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from edge_phi.errors import InvalidCall

from .keys import keymap


@dataclass(frozen=True)
class Settings:
    """What the user has set."""

    theme: str = ""  # empty: the one chosen last
    keymap: Mapping[str, str] = field(default_factory=dict)  # as `App.set_keymap` takes it


def settings_file() -> Path:
    """Where the settings are, if there are any."""
    return Path(platformdirs.user_config_dir("edge-phi", appauthor=False)) / "settings.toml"


def read_settings(path: Path) -> Settings:
    """The settings in `path`; without such a file, none.

    Raises:
        InvalidCall: it cannot be read, is not TOML, or sets something that there is not.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise InvalidCall(f"{path}: cannot be read ({error.strerror}): check its rights") from error
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found = tomllib.loads(data.decode())
    except ValueError as error:  # of TOML, and of UTF-8
        raise InvalidCall(f"{path}: not TOML: {' '.join(str(error).split())}") from error
    known = {"theme": "", "keys": {}}
    for name, value in found.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise InvalidCall(f"{path}: {name!r} is no setting: {f'did you mean {near[0]}?' if near else 'remove it'}")
        if not isinstance(value, type(known[name])):
            raise InvalidCall(
                f"{path}: {name} = {value!r}: {'write it in quotes' if name == 'theme' else 'write [keys]'}"
            )
    return Settings(found.get("theme", ""), keymap(_texts(found.get("keys", {}), path), str(path)))


def _texts(keys: Mapping[str, Any], path: Path) -> dict[str, str]:
    for name, value in keys.items():
        if not isinstance(value, str) or not value.strip():
            raise InvalidCall(f'{path}: [keys] {name} = {value!r}: write keys in quotes, as "ctrl+r" or "f2, ctrl+r"')
    return dict(keys)
