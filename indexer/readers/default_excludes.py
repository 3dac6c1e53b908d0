"""Patterns (.gitignore syntax) of files that a folder corpus excludes by default."""

from __future__ import annotations

from typing import Final

DEFAULT_EXCLUDES: Final = (
    ".*",  # hidden
    "__pycache__/",
    "bower_components/",
    "node_modules/",
    "site-packages/",
    "venv/",
    "*.egg-info/",
    "build/",
    "dist/",
    "target/",
    "~$*",  # Office creates these next to an open document
    "Thumbs.db",
    "desktop.ini",
)
