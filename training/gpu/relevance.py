"""Relevance lists: a question, eight passages, and their scores by teachers and judgments."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from training.gpu.lessons import Lessons, bm25
from training.gpu.network import DEVICE
from training.gpu.store import Span, Store, draw

DOCUMENTS = 8
HEAD_PARTS = 10
DOCUMENT_TOKENS_MAX = 260
FEW, FEW_SHARE = 5, 0.25  # some lists have fewer documents, which then need not be cut
# Weights of the teachers' cosines, of BM25, and of the question's own passage, in the target's logits.
E5_ALONE, E5_BESIDE, MINILM, WORDS = 55.0, 32.0, 11.0, 0.2
OWN = {"asked": 3.5, "taught": 1.5, "crop": 2.5, "across": 3.0}
SHARES = {"asked": 0.56, "taught": 0.16, "crop": 0.08, "across": 0.20}
INJECTED_PARTS = 7  # some of the text, three copies, and what separates them
AHEAD_SHARE, AHEAD_TOKENS_MAX = 0.45, 90  # of them: between two parts of the text, or behind all of it
ECHO_SHARE = 0.22  # of lists: a document that repeats the question, or praises itself, without content
REPEATED_SHARE = 0.08  # of lists: the question is ahead of its own passage, once or twice, as in pages of questions
SOURCE_WEIGHTS = {"packages": 0.8, "laws_name_text": 0.7, "tldr_en": 0.4, "tldr_zh": 0.4, "cmrc2018_train": 1.3,
                  "drcd_dev_test": 1.2, "scifact_train": 1.5, "medquad": 1.2, "iso_codes": 0.1}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    head: list[Span]
    documents: list[list[Span]]
    own: Tensor  # (rows, documents): judged relevant
    unusable: Tensor  # a copy of a passage in the same list
    target: Tensor  # logits
    held: Tensor  # (rows, documents): an earlier reranker's order of these is to stay


def nothing(rows: int) -> Span:
    zero = torch.zeros(rows, dtype=torch.long, device=DEVICE)
    return Span(zero, zero)


def where(chosen: Tensor, one: Span, other: Span) -> Span:
    return Span(torch.where(chosen, one.start, other.start), torch.where(chosen, one.length, other.length))


def kept(span: Span, chosen: Tensor) -> Span:
    return Span(span.start, torch.where(chosen, span.length, torch.zeros_like(span.length)))


def joined(lists: list[Lists]) -> Lists:
    def spans(parts: list[Span]) -> Span:
        return Span(torch.cat([p.start for p in parts]), torch.cat([p.length for p in parts]))

    return Lists(
        head=[spans([one.head[i] for one in lists]) for i in range(HEAD_PARTS)],
        documents=[[spans([one.documents[d][i] for one in lists]) for i in range(len(lists[0].documents[d]))]
                   for d in range(DOCUMENTS)],
        own=torch.cat([one.own for one in lists]), unusable=torch.cat([one.unusable for one in lists]),
        target=torch.cat([one.target for one in lists]), held=torch.cat([one.held for one in lists]),
    )  # fmt: skip


def padded(parts: list[Span], size: int, rows: int) -> list[Span]:
    return parts + [nothing(rows)] * (size - len(parts))


def crop(store: Store, passage: Span, is_keywords: Tensor) -> list[Span]:
    """A sentence-like piece of a passage, or two to five of its rarest words."""
    rows = len(passage.start)
    parts: list[Span] = []
    words = 2 + draw(4, rows)
    end = passage.start + passage.length
    for number in range(5):
        share = torch.rand(4, rows, device=DEVICE)
        places = passage.start[None] + (share * (passage.length - 2).clamp(min=1)).long()
        rarest = places[store.rarity[store.flat[places].long()].argmax(0), torch.arange(rows, device=DEVICE)]
        begin = rarest if number else torch.where(is_keywords, rarest, places[0])
        begin = torch.where(is_keywords, begin, torch.minimum(store.next_word[begin], end - 1))
        length = torch.where(is_keywords, 1 + draw(3, rows), 5 + draw(22, rows))
        length = torch.minimum(length, end - begin).clamp(min=1)
        if number:
            length = torch.where(is_keywords & (number < words), length, torch.zeros_like(length))
        parts.append(Span(begin, length))
    return parts


class RelevanceLists:
    def __init__(self, lessons: Lessons, rng: random.Random) -> None:
        self.lessons, self.store, self.rng = lessons, lessons.store, rng
        self.groups: list[tuple[str, str]] = []
        self.weights: list[float] = []
        arrays = self.store.arrays
        self.twin_rows = torch.as_tensor(arrays["twin_rows"], device=DEVICE)
        self.twins = self._twins()
        self.taught = self._taught()
        long_enough = {name: rows[self.store.length[rows] > 40] for name, rows in lessons.pools.items()}
        self.cropped = {name: rows[~lessons.is_held[rows]] for name, rows in long_enough.items()}
        self._add("asked", {name: len(one.questions) for name, one in lessons.mined.items()})
        self._add("taught", {name: len(rows) for name, rows in self.taught.items()})
        self._add("crop", {name: len(rows) for name, rows in self.cropped.items() if len(rows) > 300})
        self._add("across", {name: len(rows) for name, rows in self.twins.items()})

    def _add(self, kind: str, sizes: dict[str, int]) -> None:
        weights = {name: size**0.5 * self._weight(name) for name, size in sizes.items()}
        total = sum(weights.values())
        for name, weight in weights.items():
            self.groups.append((kind, name))
            self.weights.append(weight / total * SHARES[kind])

    @staticmethod
    def _weight(name: str) -> float:
        return next((weight for part, weight in SOURCE_WEIGHTS.items() if name.startswith(part)), 1.0)

    def _twins(self) -> dict[str, Tensor]:
        """Rows of twins in two languages, without held-out passages."""
        lessons, first, second = self.lessons, self.twin_rows[:, 0], self.twin_rows[:, 1]
        group = torch.as_tensor(self.store.arrays["twin_group"], device=DEVICE)
        usable = ~lessons.is_chinese[first] & lessons.is_chinese[second]
        usable &= ~(lessons.is_held[first] | lessons.is_held[second])
        usable &= (self.store.length[first] > 5) & (self.store.length[second] > 4)
        found = {}
        for number, name in enumerate(self.store.groups):
            rows = torch.where(usable & (group == number))[0]
            if len(rows) > 150:
                found[name] = rows
        return found

    def _taught(self) -> dict[str, Tensor]:
        passage = self.lessons.crop_passage
        group = self.lessons.source[passage] * 3 + self.lessons.kind[passage]
        near = self.lessons.neighbours[passage, 0] > 0
        found = {}
        for number in group.unique().tolist():
            rows = torch.where((group == number) & near)[0]
            if len(rows) > 400:
                found[f"{self.store.sources[number // 3]}:{number % 3}"] = rows
        return found

    def draw(self, rows: int) -> tuple[str, Lists]:
        kind, name = self.rng.choices(self.groups, self.weights)[0]
        made = {"asked": self.asked, "taught": self.of_crops, "crop": self.of_words, "across": self.across}[kind]
        return f"{kind}:{name}" if kind == "asked" else kind, made(name, rows)

    def instruction(self, rows: int) -> tuple[Span, bool]:
        """One for each row, and whether they ask for relevance alone."""
        way = self.rng.random()
        if way < 0.85:
            return self.store.piece("default" if way < 0.55 else "neutral", rows), True
        kinds = [name for name in self.store.pieces if name.startswith("prefer:")]
        return self.store.piece(self.rng.choice(kinds), rows), False

    def wrapped(self, core: list[Span], rows: int, *, is_chinese: bool) -> list[Span]:
        """Sometimes add a question word and a question mark; always add the text that precedes the document."""
        before, behind = nothing(rows), nothing(rows)
        if self.rng.random() < 0.35:
            before = self.store.piece("question:zh" if is_chinese else "question:en", rows)
            if self.rng.random() < 0.6:
                first = self.store.pieces["marks"][0]
                behind = self.store.fixed("piece", first + is_chinese, rows)
        document = self.store.piece("document", rows)
        return [before, *core, behind, document]

    def asked(self, name: str, rows: int) -> Lists:
        lessons, mined = self.lessons, self.lessons.mined[name]
        place = draw(len(mined.questions), rows)
        question = mined.questions[place]
        passage = lessons.query_passage[question]
        hardest = mined.hardest[place].long()
        order = torch.randperm(24, device=DEVICE)
        documents = torch.cat([passage[:, None], hardest[:, order[:4]], hardest[:, self.rng.randrange(6), None],
                               lessons.near(passage, 1), lessons.some_of(mined.pool, rows)[:, None]], 1)  # fmt: skip
        whole = self.store.span("query", question, 64)
        if self.rng.random() < 0.12:  # only a few words of the question
            length = torch.minimum(3 + draw(12, rows), whole.length)
            begin = whole.start + (torch.rand(rows, device=DEVICE) * (whole.length - length + 1)).long()
            head = [Span(begin, length), self.store.piece("document", rows)]
        else:
            head = [self.store.span("asked", question, 100)]
        vectors = lessons.questions[question], lessons.english_questions[question]
        return self.made("asked", head, whole, documents, vectors=vectors)

    def of_crops(self, name: str, rows: int) -> Lists:
        chosen = self.lessons.some_of(self.taught[name], rows)
        passage = self.lessons.crop_passage[chosen]
        core = Span(self.lessons.crop.start[chosen], self.lessons.crop.length[chosen])
        others = self.lessons.crop_passage[self.lessons.some_of(self.taught[name], rows)]
        documents = torch.cat([passage[:, None], self.lessons.near(passage, 6), others[:, None]], 1)
        vectors = self.lessons.crops[chosen], self.lessons.english_crops[chosen]
        head = self.wrapped([core], rows, is_chinese=name.endswith(":1"))
        return self.made("taught", head, core, documents, vectors=vectors)

    def of_words(self, name: str, rows: int) -> Lists:
        pool = self.cropped[name]
        passage = self.lessons.some_of(pool, rows)
        core = crop(self.store, self.store.passage(passage, 200), torch.rand(rows, device=DEVICE) < 0.6)
        documents = torch.cat([passage[:, None], self.lessons.near(passage, 5),
                               self.lessons.some_of(pool, rows * 2).view(rows, 2)], 1)  # fmt: skip
        head = self.wrapped(core, rows, is_chinese=name.endswith(":zh"))
        return self.made("crop", head, core[0], documents, vectors=None)

    def across(self, name: str, rows: int) -> Lists:
        """A piece in one language, the other language's passage; sometimes both are present."""
        twin = self.twin_rows[self.lessons.some_of(self.twins[name], rows)]
        other = self.twin_rows[self.lessons.some_of(self.twins[name], rows)]
        side = (torch.rand(rows, device=DEVICE) < 0.4).long()
        ours, theirs = twin.gather(1, side[:, None])[:, 0], twin.gather(1, 1 - side[:, None])[:, 0]
        foreign = other.gather(1, 1 - side[:, None])
        span = self.store.passage(ours, 160)
        core = crop(self.store, span, torch.rand(rows, device=DEVICE) < 0.3)
        short = (span.length < 26) & (torch.rand(rows, device=DEVICE) < 0.7)
        core = [where(short, span, core[0]), *(kept(part, ~short) for part in core[1:])]
        second = self.lessons.near(ours, 1) if self.rng.random() < 0.6 else ours[:, None]
        documents = torch.cat([theirs[:, None], second, self.lessons.near(theirs, 3), self.lessons.near(ours, 2),
                               foreign], 1)  # fmt: skip
        head = self.wrapped(core, rows, is_chinese=self.rng.random() < 0.4)
        return self.made("across", head, core[0], documents, vectors=None, translated=(ours, theirs))

    def made(
        self,
        kind: str,
        asked: list[Span],
        words: Span,
        documents: Tensor,
        *,
        vectors: tuple[Tensor, Tensor] | None,
        translated: tuple[Tensor, Tensor] | None = None,
    ) -> Lists:
        rows = len(documents)
        own = torch.zeros(rows, DOCUMENTS, device=DEVICE)
        own[:, 0] = 1
        if translated is not None:
            own = ((documents == translated[0][:, None]) | (documents == translated[1][:, None])).float()
        unusable = torch.zeros(rows, DOCUMENTS, dtype=torch.bool, device=DEVICE)
        for place in range(1, DOCUMENTS):
            unusable[:, place] = (documents[:, :place] == documents[:, place, None]).any(1)
        if self.rng.random() < FEW_SHARE:
            unusable[:, FEW:] = True
        spans = [self.store.passage(documents[:, place], DOCUMENT_TOKENS_MAX) for place in range(DOCUMENTS)]
        spans = [kept(span, ~unusable[:, place]) for place, span in enumerate(spans)]
        target = self.target(kind, words, documents, spans, own=own, vectors=vectors)
        before, spans, target, is_injected = self.injected(words, spans, target, own)
        suffix = self.store.fixed("scaffold", 1, rows)
        told = [[*before[place], spans[place], suffix] for place in range(DOCUMENTS)]
        instruction, is_plain = self.instruction(rows)
        held = ~unusable & is_plain
        held[:, -1] &= ~is_injected
        head = [self.store.fixed("scaffold", 0, rows), instruction, *asked]
        return Lists(head=padded(head, HEAD_PARTS, rows), documents=told, own=own, unusable=unusable, target=target,
                     held=held)  # fmt: skip

    def target(
        self,
        kind: str,
        words: Span,
        documents: Tensor,
        spans: list[Span],
        *,
        own: Tensor,
        vectors: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        rows, lessons = len(documents), self.lessons
        query, query_length = self.store.assemble([words], 48)
        flat = Span(
            torch.stack([s.start for s in spans], 1).flatten(), torch.stack([s.length for s in spans], 1).flatten()
        )
        ids, length = self.store.assemble([flat], DOCUMENT_TOKENS_MAX)
        target = OWN[kind] * own
        if kind != "across":
            target = target + WORDS * bm25(self.store, query, query_length, ids, length)
        if vectors is None:
            near = torch.einsum(
                "rd,rkd->rk", lessons.passages[documents[:, 0]].float(), lessons.passages[documents].float()
            )
            return target + 25.0 * near
        meaning = torch.einsum("rd,rkd->rk", vectors[0].float(), lessons.passages[documents].float())
        english = torch.einsum("rd,rkd->rk", vectors[1].float(), lessons.english_passages[documents].float())
        is_english = (~lessons.is_chinese[documents]).all(1, keepdim=True)
        both = E5_BESIDE * meaning + MINILM * english
        return target + torch.where(is_english.expand(rows, DOCUMENTS), both, E5_ALONE * meaning)

    def injected(self, words: Span, spans: list[Span], target: Tensor,
                 own: Tensor) -> tuple[list[list[Span]], list[Span], Tensor, Tensor]:  # fmt: skip
        """In some lists (the last value) the last document repeats the question, or praises itself; it must rank last.

        Before its text, between two parts of it, or behind it.
        """
        rows = len(target)
        chosen = torch.rand(rows, device=DEVICE) < ECHO_SHARE
        praises = torch.rand(rows, device=DEVICE) < 0.25
        title = kept(words, (torch.rand(rows, device=DEVICE) < REPEATED_SHARE) & (own[:, 0] > 0))
        none = nothing(rows)
        before = [[none] * INJECTED_PARTS for _ in range(DOCUMENTS)]
        between = none if self.rng.random() < 0.4 else self.store.piece(self.rng.choice(["newline", "blank"]), rows)
        again = title.length * draw(2, rows)  # a second copy, or none
        before[0] = [title, kept(between, title.length > 0), Span(title.start, again), kept(between, again > 0),
                     *[none] * (INJECTED_PARTS - 4)]  # fmt: skip
        praise = self.store.piece("praise", rows)
        echo = where(praises, praise, words)
        times = 1 + draw(3, rows)
        copies = [part for number in range(3) for part in (kept(echo, chosen & (times > number)),
                  kept(between, chosen & (times > number)))]  # fmt: skip
        empty = chosen & (torch.rand(rows, device=DEVICE) < 0.4) & ~praises
        text = kept(spans[-1], ~empty)
        most = text.length.clamp(max=AHEAD_TOKENS_MAX)
        share = torch.rand(2, rows, device=DEVICE)
        is_behind = share[0] < AHEAD_SHARE / 2
        ahead = torch.where(is_behind, most, torch.where(share[0] < AHEAD_SHARE, (share[1] * most).long(), 0))
        ahead = torch.where(chosen, ahead, 0)
        before[-1] = [Span(text.start, ahead), *copies]
        rest = torch.where(chosen & is_behind, 0, text.length - ahead)
        spans = [*spans[:-1], Span(text.start + ahead, rest)]
        target = target.clone()
        target[:, -1] = torch.where(chosen, target.min(1).values - 2.0, target[:, -1])
        return before, spans, target, chosen
