"""Records shared by the training scripts: passages, pairs and twins, and their files.

Rule 1: a passage is stored once; pairs and twins refer to it by row.
Rule 2: what is held out is decided here, by a hash of the text, never by a random draw.
"""

import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HELD_OUT_IN = 100  # one passage in so many is never trained on


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    source: str
    language: str  # "en" or "zh"
    kind: str  # "prose" or "code"
    text: str
    title: str = ""  # "" if the source has none

    @property
    def shown(self) -> str:
        """The string that the embedder and the reranker see, as the indexer builds it."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    source: str
    query: str
    passage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """Two passages with the same content in two kinds: English and Chinese, or prose and code."""

    source: str
    query: str  # "" if no question belongs to the two
    first: int  # English, or prose
    second: int  # Chinese, or code


def is_held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % HELD_OUT_IN == 0


def write_records(path: Path, records: Iterable[Passage | Pair | Twin]) -> int:
    """Write one JSON object per line, xz: small enough for transfer to a training machine."""
    count = 0
    with lzma.open(path, "wt", preset=6, encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            count += 1
    return count


def _rows(path: Path) -> Iterator[dict[str, object]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_passages(folder: Path) -> list[Passage]:
    return [Passage(**row) for row in _rows(folder / "passages.jsonl.xz")]


def read_pairs(folder: Path) -> list[Pair]:
    return [Pair(**row) for row in _rows(folder / "pairs.jsonl.xz")]


def read_twins(folder: Path) -> list[Twin]:
    return [Twin(**row) for row in _rows(folder / "twins.jsonl.xz")]
