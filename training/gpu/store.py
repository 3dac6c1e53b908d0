"""All token ids on the device, and rows assembled there from parts of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from training.gpu.network import DEVICE, VOCABULARY

END = "<|endoftext|>"


class Span(NamedTuple):
    """A part of the flat array for every row: start and length."""

    start: Tensor
    length: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    ids: Tensor
    document: Tensor  # 0 head, 1.. documents, -1 padding
    positions: Tensor
    last: Tensor  # (rows, documents): the last token of each document


def on(array: NDArray[np.generic], dtype: torch.dtype = torch.long) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), device=DEVICE).to(dtype)


def draw(count: int, rows: int) -> Tensor:
    return torch.randint(0, count, (rows,), device=DEVICE)


class Store:
    def __init__(self, path: Path, tokenizer: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.end = self.tokenizer.token_to_id(END)
        self.yes, self.no = (self.tokenizer.encode(w, add_special_tokens=False).ids[0] for w in ("yes", "no"))
        read = np.load(path)
        known = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.arrays = {name: read[name] for name in read.files if name not in ("flat", "lengths")}
        self.sources: list[str] = known["sources"]
        self.groups: list[str] = known["groups"]
        self.pieces: dict[str, list[int]] = known["pieces"]
        self.values = on(np.array(self.pieces.pop("values")), torch.float)
        flat = np.append(read["flat"], np.uint16(self.end)).astype(np.int32)
        lengths = read["lengths"].astype(np.int64)
        self.flat_host = flat
        self.flat = on(flat, torch.int32)
        self.length = on(lengths)
        self.start = on(np.cumsum(lengths) - lengths)
        self.offset: dict[str, int] = {}
        place = 0
        self.counts: dict[str, int] = known["counts"]
        for name, count in self.counts.items():
            self.offset[name] = place
            place += count
        self.end_span = (len(flat) - 1, 1)
        self._plans: dict[tuple[int, ...], tuple[Tensor, Tensor, Tensor]] = {}
        self._words()

    def _words(self) -> None:
        """Ids without case and leading space, their rarity, and where the next word begins."""
        said = [self.tokenizer.id_to_token(i) or "" for i in range(VOCABULARY)]
        folded: dict[str, int] = {}
        plain = [folded.setdefault(s.replace("Ġ", "").replace("Ċ", "").lower() or s, len(folded)) for s in said]
        self.folded, self.folded_count = on(np.array(plain)), len(folded)
        bare = {s: i for i, s in enumerate(said)}
        self.unspaced = on(np.array([bare.get(s[1:], i) if s[:1] == "Ġ" else i for i, s in enumerate(said)]))
        self.is_newline = on(np.array([s != "" and set(s) == {"Ċ"} for s in said]), torch.bool)
        is_word = np.array([s[:1] in ("Ġ", "Ċ") or (s[:1] > "\x7f") for s in said])
        size = len(self.flat_host)
        following = np.where(is_word[self.flat_host], np.arange(size), size - 1)
        self.next_word = on(np.minimum.accumulate(following[::-1])[::-1])
        count = self.counts["passage"]
        frequency = torch.zeros(self.folded_count, device=DEVICE)
        rows = torch.arange(0, count, max(1, count // 100_000), device=DEVICE)
        for some in rows.split(4_096):
            ids, length = self.assemble([self.passage(some, 200)], 200)
            kept = torch.arange(200, device=DEVICE)[None] < length[:, None]
            seen = torch.zeros(len(some), self.folded_count, device=DEVICE)
            seen.scatter_(1, self.folded[ids], kept.float())
            frequency += seen.sum(0)
        self.folded_rarity = torch.log(1 + (len(rows) - frequency + 0.5) / (frequency + 0.5)).clamp(min=0)
        self.rarity = self.folded_rarity[self.folded]
        self.rarity[20_000:] = 0

    def span(self, kind: str, rows: Tensor, tokens_max: int = 10_000) -> Span:
        places = rows + self.offset[kind]
        return Span(self.start[places], self.length[places].clamp(max=tokens_max))

    def passage(self, rows: Tensor, tokens_max: int) -> Span:
        return self.span("passage", rows, tokens_max)

    def piece(self, name: str, rows: int) -> Span:
        """One of a group's pieces for each row."""
        first, stop = self.pieces[name]
        return self.span("piece", first + draw(stop - first, rows))

    def fixed(self, kind: str, place: int, rows: int) -> Span:
        return self.span(kind, torch.full((rows,), place, device=DEVICE))

    def assemble(self, parts: list[Span], length: int) -> tuple[Tensor, Tensor]:
        """Concatenate the parts, with the end mark up to `length`. Also returns the length of each row."""
        starts = torch.stack([part.start for part in parts], 1)
        lengths = torch.stack([part.length for part in parts], 1)
        ids, _, _, _ = self._gathered(starts, lengths, length)
        return ids, lengths.sum(1).clamp(max=length)

    def _gathered(self, starts: Tensor, lengths: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        behind = lengths.cumsum(1)
        place = torch.arange(length, device=DEVICE).expand(len(starts), length).contiguous()
        part = torch.searchsorted(behind, place, right=True)
        valid = place < behind[:, -1:]
        part = part.clamp(max=starts.shape[1] - 1)
        inside = place - (behind - lengths).gather(1, part)
        picked = (starts.gather(1, part) + inside).clamp(0, len(self.flat) - 1)
        return torch.where(valid, self.flat[picked].long(), self.end), part, valid, inside

    def rows(self, head: list[Span], documents: list[list[Span]], length: int) -> Rows:
        """A head and documents (each a list of parts, of which the last two are the text and the suffix)."""
        parts = [*head, *(part for document in documents for part in document)]
        of, last_part, texts = self._plan(len(head), [len(document) for document in documents])
        starts, lengths = torch.stack([p.start for p in parts], 1), torch.stack([p.length for p in parts], 1)
        lengths = self._fitted(lengths, texts, length)
        ids, part, valid, inside = self._gathered(starts, lengths, length)
        document = torch.where(valid, of[part], -1)
        behind = lengths.cumsum(1)
        head_length = lengths[:, : len(head)].sum(1, keepdim=True)
        last = behind[:, last_part] - 1
        begins = torch.cat([torch.zeros_like(head_length), head_length, last[:, :-1] + 1], 1)
        place = torch.arange(length, device=DEVICE)[None]
        own = begins.gather(1, document.clamp(min=0))
        positions = torch.where(document > 0, head_length + place - own, place).clamp(min=0)
        # Texts are stored with a space before them; after a field's line there is none.
        starts_line = torch.nn.functional.pad(self.is_newline[ids[:, :-1]], (1, 0)) & (inside == 0)
        ids = torch.where(starts_line & (document > 0) & (positions > head_length), self.unspaced[ids], ids)
        return Rows(ids=ids, document=document, positions=positions, last=last.clamp(0, length - 1))

    def _plan(self, head: int, sizes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Each part's document, and which parts are documents' last and their texts; cached."""
        key = (head, *sizes)
        if key not in self._plans:
            of = torch.tensor([0] * head + [i + 1 for i, size in enumerate(sizes) for _ in range(size)], device=DEVICE)
            last = head - 1 + torch.tensor(sizes, device=DEVICE).cumsum(0)
            self._plans[key] = (of, last, last - 1)
        return self._plans[key]

    @staticmethod
    def _fitted(lengths: Tensor, texts: Tensor, length: int) -> Tensor:
        """Cut texts by the same share where a row would be too long."""
        wanted = lengths[:, texts].sum(1)
        room = length - (lengths.sum(1) - wanted)
        share = (room.float() / wanted.clamp(min=1)).clamp(max=1.0, min=0.0)
        cut = (lengths[:, texts] * share[:, None]).floor().long()
        return lengths.index_copy(1, texts, cut)
