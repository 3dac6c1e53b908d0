"""Returns the text around chunks in their documents.

A document's chunks have consecutive numbers, because it is written as a whole, and their spans tile it. So the text
before a chunk is found by counting down, and joined it is the document's own text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from winnow.retrieval.records import NOWHERE, Chunk, Location, Piece, header_above
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.structure import join_places


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """A part of a document's text, in characters, half-open."""

    start: int
    end: int
    text: str
    section: tuple[str, ...] = ()  # like the header, of its first chunk
    header: str = ""
    location: Location = NOWHERE  # from its first chunk's to its last one's


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The text directly before and after a chunk; None if there is none that is not already shown."""

    before: Extract | None
    after: Extract | None


def contexts(snapshot: StoreSnapshot, shown: Sequence[Chunk], *, reach: int) -> list[Context]:
    """Return a context per chunk, of up to `reach` chunks on each side.

    No text is given twice: earlier chunks take first, and shown chunks are never part of a context.
    """
    pieces = {piece.number: piece for piece in snapshot.pieces(sorted(_around(shown, reach)))}
    taken = {chunk.number for chunk in shown}
    found = []
    for chunk in shown:
        before = _run(chunk, range(chunk.number - 1, chunk.number - 1 - reach, -1), pieces, taken)
        after = _run(chunk, range(chunk.number + 1, chunk.number + 1 + reach), pieces, taken)
        found.append(Context(before=_join(before[::-1]), after=_join(after)))
    return found


def _around(shown: Sequence[Chunk], reach: int) -> set[int]:
    """Return the numbers around these chunks, including those of other documents, which are not known yet."""
    mine = {chunk.number for chunk in shown}
    beside = {number for at in mine for number in range(max(0, at - reach), at + reach + 1)}
    return beside - mine


def _run(chunk: Chunk, numbers: Iterable[int], pieces: Mapping[int, Piece], taken: set[int]) -> list[Piece]:
    """Collect pieces from the chunk outwards, until its document ends or the text was already given."""
    run: list[Piece] = []
    for number in numbers:
        piece = pieces.get(number)
        if piece is None or number in taken or piece.document_id != chunk.document_id:
            break
        taken.add(number)
        run.append(piece)
    return run


def _join(run: Sequence[Piece]) -> Extract | None:
    if not run:
        return None
    first = run[0]
    return Extract(
        start=first.start,
        end=run[-1].end,
        text="".join(piece.text for piece in run),
        section=first.part.section if first.part else (),
        header=header_above(first.part, first.start),
        location=join_places(first.location, run[-1].location),
    )
