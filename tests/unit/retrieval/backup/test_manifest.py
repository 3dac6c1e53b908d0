"""A manifest is what was written, to the bit, and leads nowhere outside."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from winnow.retrieval.backup.manifest import FORMAT, InstructionText, SnapshotManifest, read, written
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import SnapshotCorrupt
from winnow.retrieval.files.durable import FileFacts
from winnow.retrieval.records import Collapse, Diversity

MANIFEST = SnapshotManifest(
    format=FORMAT,
    taken_at="2026-11-25T07:00:00+00:00",
    collection="docs",
    embedder=EmbedderIdentity(name="e", revision="1", dimension=8),
    chunk_tokens=256,
    instruction=InstructionText(name="house", text="先中文"),
    reranker=None,
    store_version=3,
    documents=1,
    chunks=2,
    files={"corpus.lance/data/a.lance": FileFacts(bytes=3, sha256="ab")},
)


@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        replace(MANIFEST, instruction=None, reranker="r", demote_query_echo=True, require_instruction=True, files={}),
        replace(MANIFEST, diversity=Diversity(collapse=Collapse(cosine=0.97), mmr_lambda=0.5)),
        replace(MANIFEST, diversity=Diversity(mmr_lambda=0.0)),
    ],
)
def test_a_manifest_reads_back_as_it_was_written(manifest: SnapshotManifest) -> None:
    """All of it."""
    assert read(written(manifest), origin="here") == manifest


def test_every_flipped_bit_and_every_cut_is_detected() -> None:
    """Also in white space, in a key, and in the checksum itself."""
    content = written(MANIFEST)
    for position in range(len(content)):
        with pytest.raises(SnapshotCorrupt, match=r"here: manifest\.json"):
            read(content[:position], origin="here")
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            with pytest.raises(SnapshotCorrupt, match=r"here: manifest\.json"):
                read(bytes(flipped), origin="here")
    with pytest.raises(SnapshotCorrupt):
        read(content + b" ", origin="here")


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "corpus.lance/../../x", "corpus.lance/a/../../../x", "manifest.json", "corpus.lance//x",
     "corpus.lance/..\\x", "corpus.lance/./x"],
)  # fmt: skip
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    """A snapshot may come from somebody else, checksums and all."""
    with pytest.raises(SnapshotCorrupt, match="not a valid file name in a snapshot"):
        read(written(replace(MANIFEST, files={name: FileFacts(bytes=0, sha256="")})), origin="here")


@pytest.mark.parametrize(
    "fields", [{}, {"format": FORMAT}, asdict(MANIFEST) | {"more": 1}, asdict(MANIFEST) | {"files": []}]
)
def test_what_has_the_right_checksum_may_still_be_no_manifest(fields: dict[str, Any]) -> None:
    """Whoever wrote it: it is refused, and nothing of it is used."""
    text = (json.dumps(fields, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()
    document = {"sha256": hashlib.sha256(text).hexdigest(), "snapshot": fields}
    content = (json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()
    with pytest.raises(SnapshotCorrupt, match=r"does not describe a snapshot|format None"):
        read(content, origin="here")


def test_a_later_format_is_refused() -> None:
    """It is not guessed at."""
    with pytest.raises(SnapshotCorrupt, match="format 2"):
        read(written(replace(MANIFEST, format=2)), origin="here")
