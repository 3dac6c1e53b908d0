"""The SDK of MCP is imported by the first message, and its application ends with the service."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from winnow.api.mcp import mounted
from winnow.api.mcp.mounted import MountedMcp

IMPORTED = """
import asyncio, sys
from winnow.api.mcp.mounted import MountedMcp

async def main():
    async with MountedMcp().running():
        print("mcp" in sys.modules)

asyncio.run(main())
"""


def test_a_start_imports_no_sdk() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


async def test_the_first_messages_share_one_application_and_each_run_has_its_own() -> None:
    pytest.importorskip("mcp", reason="needs the extra mcp")
    served = MountedMcp()
    found = []
    for _ in range(2):
        async with served.running():
            apps = await asyncio.gather(served._started(), served._started())
            assert apps[0] is apps[1]
            found.append(apps[0])
    assert found[0] is not found[1]


async def test_an_application_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message gets the error; the end of the service does not wait for it."""

    def fails() -> None:
        raise ImportError("no SDK")

    monkeypatch.setattr(mounted, "_make_app", fails)
    served = MountedMcp()
    async with served.running():
        for _ in range(2):
            with pytest.raises(ImportError, match="no SDK"):
                await served._started()
