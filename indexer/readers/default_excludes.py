"""What is left out of a folder unless its owner says otherwise: patterns of .gitignore."""

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
    "~$*",  # what Office writes beside an open document
    "Thumbs.db",
    "desktop.ini",
)
