"""How is a text judged that lies in no collection?"""

from __future__ import annotations

from collections.abc import Sequence

from winnow.retrieval.records import Candidate, Chunk


def candidates_of(texts: Sequence[str]) -> list[Candidate]:
    """Texts as candidates in the order they were given, with no similarity; a chunk's number is its text's place."""
    return [
        Candidate(
            chunk=Chunk(
                number=place,
                document_id=str(place),
                ordinal=0,
                start=0,
                end=len(text),
                title="",
                text=text,
                url=None,
                metadata={},
            ),
            recall_rank=place + 1,
            similarity=None,
        )
        for place, text in enumerate(texts)
    ]
