"""Fields of a document, written as lines before its text: what both stages read beside title and text. Pure.

    date: 2024-05-01
    authors: Noether, Hopper
                                 an empty line
    title and text               as without fields

Rule 1: a field is one line. Control characters and runs of white space in a value become one space, so no value begins
a line. Control tokens of a model need no care here: the text is encoded by a tokenizer that knows none.
Rule 2: the lines and the empty line take at most the given number of tokens. Lines are taken in the given order; one
that does not fit is left out, and shorter ones behind it may still fit.
Rule 3: a value is cut only if its line alone exceeds the bound. The first such line gets what the others leave.

How values are written:

    text                     as it is (rule 1); dates are texts, or what the reader made of them
    2020, 2020.0, 0.5        2020, 2020, 0.5
    true, false              true, false
    ["a", 2]                 a, 2
    an object                JSON
    null, "", [], {}         no line, like a field that the document lacks
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import (
    FIELD_CHARACTERS_MAX,
    FIELD_NAME_CHARACTERS_MAX,
    FIELD_TOKENS_DEFAULT,
    FIELD_TOKENS_MAX,
    FIELD_TOKENS_MIN,
    FIELDS_MAX,
)
from winnow.retrieval.records import NO_FIELDS, Candidate, Chunk, FieldLines, JsonValue, Metadata, breadcrumb, is_text
from winnow.retrieval.structure import known_places

_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")  # \s has every character that breaks a line
_LONE_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_WHOLE_MAX: Final = 2**63  # floats below it are written as whole numbers if they are
_TOKENS_PER_CHARACTER_MAX: Final = 20  # 4 bytes, 3 times as many after NFC; U+FDFA is 18 letters after NFKC
_CHARACTERS_PER_TOKEN: Final = 4  # of a beginning that is tokenised first: in Chinese it is enough, English is quick
_EDGE_TOKENS: Final = 2  # by which a beginning may differ from the same part of its line
_TEXT: Final = "text"


class Tokenizer(Protocol):
    """The part of a model's tokenizer that counts and cuts (`retrieval.model.tokenizer.PlainTokenizer`)."""

    def ids(self, text: str) -> list[int]: ...

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]: ...

    def offsets(self, text: str) -> list[tuple[int, int]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChoice:
    """Which fields are written before a text, in this order, and how many tokens they may take."""

    names: tuple[str, ...] = ()
    tokens_max: int = FIELD_TOKENS_DEFAULT

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> FieldChoice:
        """Return the choice that was written as JSON with these names."""
        return cls(names=tuple(written["names"]), tokens_max=written["tokens_max"])

    def lines_of(self, chunk: Chunk) -> FieldLines:
        """Return the lines of a chunk: fields of its document, its section and its location."""
        place = {"section": breadcrumb(chunk.section), **known_places(chunk.location)} if chunk.part else {}
        metadata = {**chunk.metadata, **place} if place else chunk.metadata
        return self.lines(id=chunk.document_id, title=chunk.title, url=chunk.url, metadata=metadata)

    def lines(self, *, id: str | None, title: str, url: str | None, metadata: Metadata) -> FieldLines:  # noqa: A002
        """Return the lines of a document. Its own id, title and url come before attributes of these names."""
        if not self.names:
            return NO_FIELDS
        own = {"id": id, "title": title, "url": url}
        values = ((name, _written(own.get(name) or metadata.get(name))) for name in self.names)
        return FieldLines(
            lines=tuple(f"{name}: {value}" for name, value in values if value), tokens_max=self.tokens_max
        )


NO_CHOICE: Final = FieldChoice()


def check_fields(names: Sequence[str], tokens_max: int) -> FieldChoice:
    """Return the choice if it can be one. Raises `InvalidRequest`, whose message does not name the setting."""
    if len(names) > FIELDS_MAX:
        raise InvalidRequest(f"{len(names)} fields; the limit is {FIELDS_MAX}")
    for name in names:
        if not name or name != _BLANKS.sub(" ", name).strip() or not is_text(name):
            raise InvalidRequest(
                f"{name[:FIELD_NAME_CHARACTERS_MAX]!a} is not a field name: use one line of text, without spaces at "
                "its ends or two in a row"
            )
        if len(name) > FIELD_NAME_CHARACTERS_MAX:
            raise InvalidRequest(f"a field name has {len(name)} characters; the limit is {FIELD_NAME_CHARACTERS_MAX}")
        if name == _TEXT:
            raise InvalidRequest("the text is always read; name the fields to write before it")
        if names.count(name) > 1:
            raise InvalidRequest(f"field {name!r} is named twice")
    if not FIELD_TOKENS_MIN <= tokens_max <= FIELD_TOKENS_MAX:
        raise InvalidRequest(f"the fields may take {FIELD_TOKENS_MIN} to {FIELD_TOKENS_MAX} tokens, not {tokens_max}")
    return FieldChoice(names=tuple(names), tokens_max=tokens_max)


def with_fields(candidates: Sequence[Candidate], choice: FieldChoice) -> tuple[Candidate, ...]:
    """Return the candidates with the lines that a reranker reads before their text."""
    if not choice.names:
        return tuple(candidates)
    return tuple(each.with_fields(choice.lines_of(each.chunk)) for each in candidates)


def heads_of(documents: Sequence[FieldLines], tokenizer: Tokenizer, *, tokens_max: int) -> list[str]:
    """Return what is written before each document's title and text: its lines and an empty line, or nothing.

    Both the lines' own bound and `tokens_max` hold. Lines of all documents are tokenised together, on all cores, and
    only where their length leaves a doubt.
    """
    bounds = [min(each.tokens_max, tokens_max) for each in documents]
    doubted = [each.lines for each, bound in zip(documents, bounds, strict=True) if not _surely_fits(each.lines, bound)]
    counts = _count(
        dict.fromkeys(_clipped(line) for lines in doubted for line in lines), max(bounds, default=0), tokenizer
    )
    found: dict[tuple[tuple[str, ...], int], str] = {}
    heads = []
    for each, bound in zip(documents, bounds, strict=True):
        if _surely_fits(each.lines, bound):
            heads.append(_head(each.lines))
            continue
        key = each.lines, bound
        if key not in found:
            found[key] = _fitted(each.lines, bound, counts, tokenizer)
        heads.append(found[key])
    return heads


def is_whole(fields: FieldLines, head: str) -> bool:
    """Whether the head has every line, uncut."""
    return head == _head(fields.lines)


def _count(lines: Iterable[str], bound: int, tokenizer: Tokenizer) -> dict[str, int]:
    """Count tokens; of a line that is longer than the bound, as far as that is certain."""
    counts: dict[str, int] = {}
    waiting = list(lines)
    for characters in (bound * _CHARACTERS_PER_TOKEN, FIELD_CHARACTERS_MAX):
        found = tokenizer.ids_batch([f"{line[:characters]}\n" for line in waiting])
        counts |= dict(zip(waiting, map(len, found), strict=True))
        waiting = [line for line in waiting if len(line) > characters and counts[line] <= bound + _EDGE_TOKENS]
    return counts


def _fitted(lines: Sequence[str], bound: int, counts: Mapping[str, int], tokenizer: Tokenizer) -> str:
    """Choose the lines that fit, and cut the first that alone exceeds the bound to what the others leave."""
    kept: dict[int, str] = {}
    left, too_long = bound - 1, None  # the empty line is a token
    for place, line in enumerate(map(_clipped, lines)):
        if len(line) < len(lines[place]) or counts[line] >= bound:
            too_long = place if too_long is None else too_long
        elif counts[line] <= left:
            kept[place] = line
            left -= counts[line]
    if too_long is not None and left > 1:
        beginning = _beginning(_clipped(lines[too_long]), left - 1, tokenizer.offsets)
        kept |= {too_long: beginning} if beginning else {}
    return _within(kept, bound, tokenizer)


def _within(kept: dict[int, str], bound: int, tokenizer: Tokenizer) -> str:
    """Join the lines in order. Token counts may change where two lines meet; then the last ones are left out."""
    order = sorted(kept)
    while order:
        head = _head([kept[place] for place in order])
        if len(tokenizer.ids(head)) <= bound:
            return head
        order.pop()
    return ""


def _beginning(line: str, tokens: int, offsets: Callable[[str], Sequence[tuple[int, int]]]) -> str:
    """Cut a line between two characters; nothing if not even one character of its value fits."""
    near = line[: tokens * _CHARACTERS_PER_TOKEN]
    places = offsets(near)
    if len(places) <= tokens + _EDGE_TOKENS and len(near) < len(line):
        places = offsets(line)
    beginning = line if len(places) <= tokens else line[: places[tokens][0]].rstrip()
    name, _, value = beginning.partition(": ")
    return beginning if name and value else ""


def _surely_fits(lines: Sequence[str], bound: int) -> bool:
    """Whether the lines fit whatever the tokenizer makes of them."""
    return sum(len(line) * (1 if line.isascii() else _TOKENS_PER_CHARACTER_MAX) + 1 for line in lines) + 1 <= bound


def _clipped(line: str) -> str:
    return line[:FIELD_CHARACTERS_MAX]


def _head(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines) + "\n" if lines else ""


def _written(value: JsonValue) -> str:
    """Write a value on one line; an empty text if there is none."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case str():
            return _one_line(value)
        case list():
            return ", ".join(filter(None, map(_written, value)))
        case dict() if value:
            return _one_line(json.dumps(value, ensure_ascii=False))
    return ""


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < _WHOLE_MAX else repr(value)


def _one_line(text: str) -> str:
    """Write a text on one line; of a long one at least a character more than is read of any."""
    end = 2 * FIELD_CHARACTERS_MAX
    while True:
        line = _LONE_SURROGATES.sub("\ufffd", _BLANKS.sub(" ", text[:end])).strip()
        if len(line) > FIELD_CHARACTERS_MAX or end >= len(text):
            return line
        end *= 2
