"""What a collection was built with, stored in its own folder for the case that the catalog is lost.

{"format": 1, "embedder": {"name", "revision", "dimension", "prompt_format"}, "chunk_tokens"}
{"format": 2, ..., "embed_fields": {"names", "tokens_max"}}

Format 2 is written only where there are fields: a winnow that does not know them must not write other vectors beside.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice, check_fields
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import InvalidRequest, StoreCorrupt
from winnow.retrieval.files.durable import DISK, Syncer, write_file
from winnow.retrieval.files.layout import CollectionFolder

if TYPE_CHECKING:
    from winnow.retrieval.catalog.collections import Collection

FORMAT: Final = 1
FORMAT_WITH_FIELDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionFacts:
    """The properties that searches and writes depend on."""

    embedder: EmbedderIdentity
    chunk_tokens: int
    embed_fields: FieldChoice = NO_CHOICE

    @classmethod
    def of(cls, collection: Collection) -> CollectionFacts:
        return cls(
            embedder=collection.embedder,
            chunk_tokens=collection.chunk_tokens,
            embed_fields=collection.embed_fields,
        )

    def written(self) -> bytes:
        """Return the content of the file."""
        fields = asdict(self)
        if self.embed_fields == NO_CHOICE:
            del fields["embed_fields"]
        form = FORMAT_WITH_FIELDS if "embed_fields" in fields else FORMAT
        body = json.dumps({"format": form, **fields}, indent=1, sort_keys=True)
        return f"{body}\n".encode()


def write_facts(folder: CollectionFolder, facts: CollectionFacts, *, syncer: Syncer = DISK) -> None:
    """Write the file. The caller holds the writer's lock. Raises `WriteFailed`."""
    write_file(folder.facts, facts.written(), syncer=syncer)


def read_facts(folder: CollectionFolder) -> CollectionFacts | None:
    """Return the facts, or None for a collection of an earlier winnow. Raises `StoreCorrupt`."""
    try:
        found: Any = json.loads(folder.facts.read_bytes())
        if found["format"] not in {FORMAT, FORMAT_WITH_FIELDS}:
            raise StoreCorrupt(
                f"{folder.facts} has format {found['format']}, this winnow reads 1 to {FORMAT_WITH_FIELDS}; "
                "use a later winnow"
            )
        embedder = EmbedderIdentity(**found["embedder"])
        named = found.get("embed_fields", {"names": (), "tokens_max": NO_CHOICE.tokens_max})
        facts = CollectionFacts(
            embedder=embedder,
            chunk_tokens=found["chunk_tokens"],
            embed_fields=check_fields(named["names"], named["tokens_max"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, InvalidRequest) as error:
        raise StoreCorrupt(f"{folder.facts} is damaged") from error
    is_sound = isinstance(embedder.dimension, int) and isinstance(facts.chunk_tokens, int)
    if not is_sound or not all(isinstance(each, str) for each in (embedder.name, embedder.revision)):
        raise StoreCorrupt(f"{folder.facts} is damaged")
    return facts
