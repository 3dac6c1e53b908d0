"""Measures what it gains to commit a window while the next is embedded.

    python -m bench.indexing.overlap --documents 1024 --rounds 3

Indexes the same documents of the bundled corpus with the bundled embedder into new stores, in turn with the overlap and
without it, where a window waits until the one before is on the disk. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from winnow.api.settings import Settings
from winnow.indexer.account import NOTHING, Account
from winnow.indexer.chunking import Chunker
from winnow.indexer.corpus import Entry, Place, Record
from winnow.indexer.pipeline import index_corpus
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.indexer.writer import CutDocuments, DocumentWriter, EmbeddedWindow, UpsertReport
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.records import Document
from winnow.retrieval.store.lance_store import LanceStore

CORPUS: Final = Path(__file__).resolve().parents[2] / "data" / "corpus"
CHUNK_TOKENS: Final = 256


@dataclass(frozen=True, kw_only=True)
class ListCorpus:
    """Documents in memory. Implements `Corpus`."""

    documents: tuple[Document, ...]
    name: str = "corpus"

    @property
    def size(self) -> int:
        return len(self.documents)

    def entries(self) -> Iterator[Entry]:
        for number, document in enumerate(self.documents, start=1):
            yield Record(document=document, place=Place(source=self.name, line=number), position=number)

    def account(self) -> Account:
        return NOTHING

    def stop(self) -> None:
        """Nothing to stop."""


class OneAfterTheOther(DocumentWriter):
    """Begins to embed a window only after the one before was committed."""

    free: asyncio.Lock

    async def embed(self, cut: CutDocuments) -> EmbeddedWindow:
        await self.free.acquire()
        return await super().embed(cut)

    async def commit(self, window: EmbeddedWindow, *, more_follows: bool = False) -> UpsertReport:
        report = await super().commit(window, more_follows=more_follows)
        self.free.release()
        return report


def read_documents(count: int) -> tuple[Document, ...]:
    """Return that many documents; repeats of the corpus get ids and texts of their own."""
    read = [entry.document for entry in open_corpus(str(CORPUS)).entries() if isinstance(entry, Record)]
    return tuple(
        Document(id=f"{number}", title=document.title, text=f"{number} {document.text}")
        for number, document in ((number, read[number % len(read)]) for number in range(count))
    )


def rate(embedder: QwenEmbedder, documents: tuple[Document, ...], kind: type[DocumentWriter]) -> float:
    """Index into a new store; return documents per second."""

    async def run(folder: Path) -> float:
        store = LanceStore.create(folder / "store", dimension=embedder.identity.dimension)
        chunker = Chunker(tokenizer=embedder.tokenizer, tokens_max=CHUNK_TOKENS)
        writer = kind(store=store, embedder=embedder, chunker=chunker)
        if isinstance(writer, OneAfterTheOther):
            writer.free = asyncio.Lock()
        corpus = ListCorpus(documents=documents)
        report = await index_corpus(
            corpus=corpus, store=store, writer=writer, publish=lambda _: "", rejects=folder / "rejects"
        )
        return report.documents_per_second

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder)))


def main(words: Sequence[str] | None = None) -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--embed-model", default=Settings().embed_model)
    asked = parser.parse_args(words)
    torch.set_num_threads(asked.threads)
    embedder = QwenEmbedder.load(find_model(asked.embed_model, kind="embedder"), device="cpu")
    documents = read_documents(asked.documents)
    kinds = {"one after the other": OneAfterTheOther, "overlapping": DocumentWriter}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(asked.rounds):
        for name, kind in kinds.items():
            rates[name].append(round(rate(embedder, documents, kind), 1))
    gain = median(rates["overlapping"]) / median(rates["one after the other"])
    sys.stdout.write(json.dumps({"documents_per_second": rates, "times_faster": round(gain, 3)}) + "\n")


if __name__ == "__main__":
    main()
