"""A collection over data/corpus with a golden set of its queries, for the measurements in this folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from winnow.api.assemble import assemble, assemble_indexing
from winnow.api.settings import Settings
from winnow.indexer.progress import NoProgress
from winnow.indexer.readers.beir import read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.catalog.stability import GoldenQuery, GoldenSet
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

CORPUS: Final = Path(__file__).resolve().parents[2] / "data" / "corpus"
COLLECTION: Final = "corpus"
SET: Final = "everyday"
QUERIES: Final = 20
INSTRUCTION: Final = "builtin/legal-statutes"  # under the default one the bundled reranker has no weight


async def build(settings: Settings, *, queries: int = QUERIES, candidates: int | None = None) -> list[str]:
    """Index the corpus, make the golden set of so many queries, and return these."""
    parts = assemble(settings)
    indexing = assemble_indexing(parts.settings, parts.disk, parts.embedding)
    await indexing.run(open_corpus(str(CORPUS)), indexing.open(COLLECTION), progress=NoProgress())
    texts = list(read_queries(CORPUS).values())[:queries]
    golden = GoldenSet(
        tenant=DEFAULT_TENANT,
        name=SET,
        collection=COLLECTION,
        created_at=datetime.now(UTC),
        instruction=INSTRUCTION,
        candidates=candidates,
    )
    parts.replays.book.add(golden, [GoldenQuery(query=each) for each in texts], by=COMMAND_LINE)
    return texts
