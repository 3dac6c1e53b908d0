"""The same chunks and vectors for every store: source text of Python, embedded by the bundled model.

The first 20,000 or so are of the standard library, the others of the packages that are installed with winnow.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from winnow.retrieval.records import Vectors

CHUNK_CHARACTERS: Final = 600
QUERIES: Final = 64
GROUPS: Final = 100  # values of the attribute `group`: a filter on one of them matches a hundredth
COLLECTION: Final = "peers"
WIDTH: Final = 100  # of the nearest that recall is measured by


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What every store is given, and what is right."""

    data: Path  # winnow's data folder, with the collection
    ids: list[str]
    texts: list[str]
    vectors: Vectors  # (count, dimension), unit length
    queries: list[str]
    query_vectors: Vectors

    def nearest(self, query: int) -> set[str]:
        """Return the `WIDTH` nearest, by comparing all."""
        similarities = self.vectors @ self.query_vectors[query]
        return {self.ids[place] for place in np.argpartition(similarities, -WIDTH)[-WIDTH:]}

    def rebuild_index(self, *, recall: float) -> None:
        """Build winnow's index again, to find this share of the nearest."""
        command = [sys.executable, "-m", "winnow.api.cli", "generations", "fold", "--collection", COLLECTION]
        options = ["--data", str(self.data), "--index-recall", str(recall), "--json"]
        subprocess.run([*command, *options], check=True, stdout=sys.stderr)

    def save(self, folder: Path) -> None:
        """Write the vectors for a peer that is a library in another Python."""
        np.save(folder / "vectors.npy", self.vectors)
        np.save(folder / "queries.npy", self.query_vectors)
        (folder / "texts.json").write_text(json.dumps(self.texts), "utf-8")


def material_of(folder: Path, *, count: int, vectors: str = "float32") -> Material:
    """Index `count` chunks with winnow, unless the folder has them, and take their vectors from its store."""
    corpus, data, mark = folder / "corpus.jsonl", folder / "winnow", folder / "indexed"
    if mark.is_file() and mark.read_text("utf-8") == f"{count} {vectors}":
        return _read(data)
    with corpus.open("w", encoding="utf-8") as file:
        for place, text in enumerate(_chunks(count)):
            document = {"id": str(place), "text": text, "metadata": {"group": place % GROUPS}}
            file.write(json.dumps(document) + "\n")
    command = [sys.executable, "-m", "winnow.api.cli", "index", str(corpus), "--collection", COLLECTION]
    subprocess.run(
        [*command, "--data", str(data), "--json", "--chunk-tokens", "512", "--vectors", vectors],
        check=True,
        stdout=sys.stderr,
    )
    mark.write_text(f"{count} {vectors}", "utf-8")
    return _read(data)


def _chunks(count: int) -> Iterator[str]:
    paths = sysconfig.get_paths()
    found = 0
    for folder in (Path(paths["stdlib"]), Path(paths["purelib"])):
        for file in sorted(folder.rglob("*.py")):
            text = file.read_text(encoding="utf-8", errors="ignore")
            for start in range(0, len(text) - CHUNK_CHARACTERS, CHUNK_CHARACTERS):
                if found == count:
                    return
                found += 1
                yield text[start : start + CHUNK_CHARACTERS]
    sys.exit(f"the standard library and the installed packages have only {found} chunks")


def _read(data: Path) -> Material:
    from winnow.api.assemble import assemble
    from winnow.api.settings import load

    parts = assemble(load({"data": str(data)}, environment={}), judged=False)
    snapshot = parts.collections.get("default", COLLECTION).store.snapshot()
    numbers = snapshot.chunk_numbers().tolist()
    chunks = snapshot.chunks(numbers)
    queries = [" ".join(chunk.text.split()[:6]) for chunk in chunks[:: len(chunks) // QUERIES][:QUERIES]]
    embedded = asyncio.run(parts.embedding.embedder.embed_queries(queries))
    return Material(
        data=data,
        ids=[f"{chunk.document_id}:{chunk.ordinal}" for chunk in chunks],
        texts=[chunk.text for chunk in chunks],
        vectors=snapshot.vectors_of(numbers),
        queries=queries,
        query_vectors=embedded.vectors,
    )
