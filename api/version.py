"""Which version of winnow is this?"""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("winnow-search")
