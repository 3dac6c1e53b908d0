"""Measures winnow's disk by part: right after indexing, and at rest.

    python -m bench.peers.disk [--chunks 20000] [--folder FOLDER]

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
from bench.peers.servers import bytes_of, winnow_server

PARTS: Final = {
    "rows": "corpus.lance/data",
    "words": "corpus.lance/_indices",
    "versions": "corpus.lance/_versions",
    "transactions": "corpus.lance/_transactions",
    "index": "generations",
}
REST_SECONDS_MAX: Final = 420  # twice the longest request, and time to look
LOOK_SECONDS: Final = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="for the data folder; a temporary one by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        material = material_of(asked.folder or Path(temporary), count=asked.chunks)
        indexed = by_part(material.data)
        print("after indexing: " + _as_text(indexed, len(material.ids)))
        with winnow_server(material) as server:
            server.search(0, 1)
            end = time.monotonic() + REST_SECONDS_MAX
            while (now := by_part(material.data))["versions"] >= indexed["versions"]:
                if time.monotonic() > end:
                    sys.exit("nothing was removed")
                time.sleep(LOOK_SECONDS)
            print("at rest: " + _as_text(now, len(material.ids)))


def by_part(data: Path) -> dict[str, int]:
    """Return the bytes of the whole folder, and of the collection's parts."""
    collection = data / "collections" / "default" / COLLECTION
    return {"all": bytes_of(data)} | {name: bytes_of(collection / below) for name, below in PARTS.items()}


def _as_text(sizes: dict[str, int], chunks: int) -> str:
    return ", ".join(f"{name} {size / chunks:,.0f}" for name, size in sizes.items()) + " bytes a chunk"


if __name__ == "__main__":
    main()
