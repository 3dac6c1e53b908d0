"""Measures winnow's disk by part: right after indexing, and at rest. Bytes a chunk, as the service tells them.

    python -m bench.peers.disk [--chunks 20000] [--vectors float16] [--folder FOLDER]

At rest is once a running service, without a write, has removed what nothing reads any more: after four minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.peers.material import COLLECTION, material_of
from bench.peers.servers import Winnow, bytes_of, winnow_server

REST_SECONDS_MAX: Final = 420  # twice the longest request, and time to look
LOOK_SECONDS: Final = 5.0
LEFT_SHARE_MAX: Final = 0.001  # of replaced versions: what is written between two clean-ups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="for the data folder; a temporary one by default")
    parser.add_argument("--vectors", choices=("float32", "float16"), default="float32")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        material = material_of(asked.folder or Path(temporary), count=asked.chunks, vectors=asked.vectors)
        chunks = len(material.ids)
        with winnow_server(material) as server:
            print("after indexing: " + _as_text(by_part(server), chunks), flush=True)
            end = time.monotonic() + REST_SECONDS_MAX
            while (now := by_part(server))["replaced"] > LEFT_SHARE_MAX * now["all"]:
                if time.monotonic() > end:
                    sys.exit("replaced versions are still there: " + _as_text(now, chunks))
                time.sleep(LOOK_SECONDS)
            print("at rest: " + _as_text(now, chunks))


def by_part(server: Winnow) -> dict[str, int]:
    """Return the bytes of the whole folder, and of the collection's parts."""
    described = server.client.get(f"/v1/collections/{COLLECTION}").raise_for_status().json()
    return {"all": bytes_of(server.folder)} | described["disk_bytes"]


def _as_text(sizes: dict[str, int], chunks: int) -> str:
    return ", ".join(f"{name} {size / chunks:,.0f}" for name, size in sizes.items())


if __name__ == "__main__":
    main()
