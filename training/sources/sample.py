"""A question with its passage from the public sources, and the files that hold them.

Rule 1: a passage has at most 2,000 characters (Chinese 900) and ends at a paragraph or a sentence.
Rule 2: a repeated text is written once, whatever its source.
"""

import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

CHINESE = re.compile(r"[\u4e00-\u9fff]")
LIMIT = {"en": 2_000, "zh": 900}
SHORTEST = {"en": 90, "zh": 30}
SHARD_BYTES = 3_900_000
_BOILERPLATE = re.compile(
    r"all rights reserved|licensed under the|WITHOUT WARRANTIES|table of contents|this page was (moved|removed)"
    r"|edit this page|版权所有|许可证授权|本页面已(移动|删除)",
    re.IGNORECASE,
)
_LETTER = re.compile(r"[a-zA-Z\u4e00-\u9fff]")
_PARAGRAPH = re.compile(r"\n{2,}")
_SENTENCE = re.compile(r"(?<=[.!?。！？；\n])(?=\s|[^\x00-\x7f])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    source: str
    licence: str
    kind: str  # docs, qa, code, paper, law, forum, news, clinical, book, reference
    lang: str  # "en" or "zh"
    passage: str
    question: str | None = None
    title: str = ""
    twin: str | None = None  # the same id as on the translation of this passage
    date: str | None = None


def language_of(text: str) -> str:
    return "zh" if len(CHINESE.findall(text)) * 12 > len(text) else "en"


def pieces(text: str, lang: str) -> list[str]:
    """Split the text into bounded pieces that end at a paragraph, or at a sentence if a paragraph is too long.

    One text in three is cut at the full length, the others at half of it.
    """
    limit = LIMIT[lang] if zlib.crc32(text[:200].encode()) % 3 == 0 else LIMIT[lang] // 2
    parts: list[str] = []
    for paragraph in _PARAGRAPH.split(text):
        if len(paragraph) <= limit:
            parts.append(paragraph)
            continue
        parts.extend(_joined(_SENTENCE.split(paragraph), "", limit))
    return [piece for piece in _joined(parts, "\n\n", limit) if piece]


def _joined(parts: Iterable[str], between: str, limit: int) -> Iterator[str]:
    piece = ""
    for part in parts:
        if piece and len(piece) + len(between) + len(part) > limit:
            yield piece.strip()
            piece = ""
        piece = f"{piece}{between}{part}" if piece else part
    yield piece.strip()[:limit]


def worth_keeping(text: str, lang: str) -> bool:
    """Whether it is meaningful prose or code: not a list of links, a licence, a table of numbers, a stub."""
    if len(text) < SHORTEST[lang] or _BOILERPLATE.search(text):
        return False
    letters = len(_LETTER.findall(text))
    if letters < 0.5 * len(re.sub(r"\s", "", text)):
        return False
    lines = [line for line in text.splitlines() if line.strip()]
    listed = sum(line.lstrip().startswith(("-", "*", "|", "+")) and len(line) < 40 for line in lines)
    return listed < 0.7 * len(lines) or len(text) > 600


class Known:
    """Texts written so far, compared by letters alone."""

    def __init__(self) -> None:
        self._passages: set[int] = set()
        self._pairs: set[int] = set()

    @staticmethod
    def _key(text: str) -> int:
        return hash(re.sub(r"\W+", "", text.lower()))

    def admits(self, sample: Sample) -> bool:
        """A passage may be repeated with another question, but not alone and not with the same one."""
        passage = self._key(sample.passage)
        pair = hash((passage, self._key(sample.question or "")))
        if pair in self._pairs or (sample.question is None and passage in self._passages):
            return False
        self._passages.add(passage)
        self._pairs.add(pair)
        return True


class Shards:
    """NAME-00.jsonl.xz, NAME-01.jsonl.xz, ...: each slightly below four megabytes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._number = 0
        self._open()

    def _open(self) -> None:
        self._compressor = lzma.LZMACompressor(preset=6)
        self._file = (self.folder / f"{self.name}-{self._number:02d}.jsonl.xz").open("wb")
        self._pending: list[str] = []
        self._pending_bytes = 0

    def write(self, sample: Sample) -> None:
        line = json.dumps(asdict(sample), ensure_ascii=False) + "\n"
        self._pending.append(line)
        self._pending_bytes += len(line)
        self.counts[sample.source, sample.licence, sample.lang] += 1
        if self._pending_bytes > 200_000:
            self._flush()
            if self._file.tell() + 400_000 > SHARD_BYTES:  # still buffered by the compressor
                self.close()
                self._number += 1
                self._open()

    def _flush(self) -> None:
        self._file.write(self._compressor.compress("".join(self._pending).encode()))
        self._pending, self._pending_bytes = [], 0

    def close(self) -> None:
        self._flush()
        self._file.write(self._compressor.flush())
        self._file.close()
