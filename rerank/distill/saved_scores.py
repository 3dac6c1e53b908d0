"""The scores of one model, saved query by query, so that a killed run never asks for one twice.

    {"model": {...}}                                  which model scored, under which instruction
    {"query": digest, "scores": {digest: logit}}      one line a query; digests, never texts

Rule 1: a line is on the disk before the next query is scored. A torn last line is cut off.
Rule 2: a file is only read for the model and the instruction that it was written for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.files.durable import DISK, Syncer, write_errors, write_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBy:
    """Whose scores they are: equal values mean equal scores."""

    name: str
    revision: str
    prompt: str  # SHA-256 of the instruction, and of the model's own template


class SavedScores:
    """Logits by query and passage, in a file that grows."""

    def __init__(self, path: Path, scores: dict[str, dict[str, float]], syncer: Syncer) -> None:
        self._path = path
        self._scores = scores
        self._syncer = syncer

    @classmethod
    def open(cls, path: Path, scored_by: ScoredBy, *, syncer: Syncer = DISK) -> SavedScores:
        """Read the file, or begin it. Raises `InvalidRequest` if it holds other scores, `WriteFailed`."""
        head = json.dumps({"model": asdict(scored_by)}, ensure_ascii=False)
        if not path.exists():
            write_file(path, f"{head}\n".encode(), syncer=syncer)
            return cls(path, {}, syncer)
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            write_file(path, whole, syncer=syncer)
        first, *lines = whole.decode().splitlines()
        if first != head:
            raise InvalidRequest(
                f"{path} holds scores of another model or another instruction ({first}); continue with those, or "
                "choose another --output"
            )
        scores: dict[str, dict[str, float]] = {}
        for line in lines:
            read = json.loads(line)
            scores.setdefault(read["query"], {}).update(read["scores"])
        return cls(path, scores, syncer)

    def known(self, query: str, passages: Sequence[str]) -> dict[str, float]:
        """Return the logits of those passages that have one."""
        scores = self._scores.get(_digest(query), {})
        found = ((passage, scores.get(_digest(passage))) for passage in passages)
        return {passage: logit for passage, logit in found if logit is not None}

    def add(self, query: str, logits: Mapping[str, float]) -> None:
        """Save the logits of a query's passages. Raises `WriteFailed`."""
        scores = {_digest(passage): logit for passage, logit in logits.items()}
        line = json.dumps({"query": _digest(query), "scores": scores})
        with write_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        self._syncer.sync(self._path)
        self._scores.setdefault(_digest(query), {}).update(scores)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
