"""Reads the settings file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from winnow.retrieval.errors import SettingInvalid


def read_settings_file(path: Path, *, known: Sequence[str]) -> Mapping[str, object]:
    """Return the values of a TOML file, which may set the `known` names. Raises `SettingInvalid`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingInvalid(f"cannot read the settings file {path} ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingInvalid(f"the settings file {path} is not TOML: {error}") from error
    unknown = sorted(content.keys() - set(known))
    if unknown:
        names = ", ".join(known)
        raise SettingInvalid(f"the settings file {path} sets unknown names: {', '.join(unknown)}; known are {names}")
    return content
