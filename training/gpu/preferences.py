"""Preference lists: the instruction decides between relevant documents, and never lifts an irrelevant one.

Rows come in pairs: the same question and documents with two opposite instructions, so that only the instruction
distinguishes them. `level` orders the documents: a higher one must score higher by the margin.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from training.gpu import pieces, wordings
from training.gpu.gather import FENCED
from training.gpu.lessons import Lessons
from training.gpu.network import DEVICE
from training.gpu.relevance import HEAD_PARTS, crop, kept, nothing, padded, where
from training.gpu.store import Span, draw

DOCUMENTS = 4
FIELDS = 3
TEXT_TOKENS_MAX = 170
NEUTRAL_SHARE = 0.14
SHARED_TOKENS, SHARED_WORDS = 160, 4
# Of language lists: a real question and a passage with its translation, or with one of the other language that is
# about the same. The others have a piece of the passage for a question.
ASKED_SHARE, COMPARABLE_SHARE, ASKED_MIN = 0.7, 0.35, 200
WHOLE_SHARE, BEGUN_SHARE, MIXED_SHARE = 0.3, 0.15, 0.25  # of real questions: unchanged; begun late; words of both
FOREIGN_SHARE = 0.15  # of language lists: documents begin with words of the other language
SHORTEST = (7, 6)  # tokens of an English and of a Chinese twin
KINDS = {"language": 0.28, "code": 0.28, "date": 0.1, "source": 0.05, "number": 0.09, "exclusion": 0.16, "kind": 0.04}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferred:
    kind: str
    head: list[Span]
    documents: list[list[Span]]
    level: Tensor  # (rows, documents); 0 is irrelevant, -1 is absent
    neutral: Tensor  # rows whose instruction prefers nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A question and relevant documents, before an instruction is chosen."""

    question: list[Span]
    relevant: list[Tensor]
    other: Tensor


def doubled(values: Tensor) -> Tensor:
    return values.repeat_interleave(2, 0)


def doubled_span(span: Span) -> Span:
    return Span(doubled(span.start), doubled(span.length))


def alternating(one: Span, other: Span) -> Span:
    """Row 2i of one, row 2i+1 of the other."""
    return Span(
        torch.stack([one.start, other.start], 1).flatten(), torch.stack([one.length, other.length], 1).flatten()
    )


class PreferenceLists:
    def __init__(self, lessons: Lessons, rng: random.Random, *, part: tuple[int, int] = (0, 1)) -> None:
        """`part` (k, n): of twins in two languages and their questions, only the k-th of n parts."""
        self.lessons, self.store, self.rng = lessons, lessons.store, rng
        arrays = self.store.arrays
        self.twin_rows = torch.as_tensor(arrays["twin_rows"], device=DEVICE)
        self.excluded = torch.as_tensor(arrays["excluded_rows"], device=DEVICE)
        first, second = self.twin_rows[:, 0], self.twin_rows[:, 1]
        length = self.store.length
        free = ~(lessons.is_held[first] | lessons.is_held[second])
        free &= (length[first] > SHORTEST[0]) & (length[second] > SHORTEST[1])
        ours = torch.arange(len(first), device=DEVICE) % part[1] == part[0]
        self.two_languages = torch.where(free & ours & ~lessons.is_chinese[first] & lessons.is_chinese[second])[0]
        differ = ~lessons.is_code[first] & lessons.is_code[second]
        self.two_kinds = self._two_kinds(free & differ & (length[first] > 14) & (length[second] > 16))
        self.asked_twins = self._asked_twins()
        compared = [lessons.comparable(chinese=chinese) for chinese in (False, True)]
        self.comparable = [rows[rows[:, 0] % part[1] == part[0]] for rows in compared]
        self.pools = {name: rows[(length[rows] > 30) & ~lessons.is_held[rows]] for name, rows in lessons.pools.items()}
        self.pools = {name: rows for name, rows in self.pools.items() if len(rows) > 200}
        self.pool_weights = [len(rows) ** 0.5 for rows in self.pools.values()]
        self.first_or_second = torch.tensor([[2.0, 1, 0, 0], [1, 2, 0, 0]], device=DEVICE)
        self.wanted = torch.tensor([[2.0, 1, 1, 0], [1, 2, 1, 0]], device=DEVICE)
        self.unwanted = torch.tensor([[2.0, 1, 2, 0], [1, 2, 2, 0]], device=DEVICE)
        self.value_first = self.store.pieces[f"date:{wordings.DATE_FIELDS[0]}:0"][0]
        names = [kind for kind in KINDS if kind != "exclusion" or len(self.excluded)]
        self.kinds_of_document = lessons.kinds_alike()
        given = {"code": sum(map(len, self.two_kinds)), "kind": len(self.kinds_of_document)}
        self.kinds = [kind for kind in names if given.get(kind, 1)]

    def draw(self, rows: int, *, hard: float) -> Preferred:
        """`hard` is the share of irrelevant documents that are near the relevant ones; zero at first."""
        kind = self.rng.choices(self.kinds, [KINDS[k] for k in self.kinds])[0]
        half = rows // 2
        if kind in ("language", "code"):
            return self.of_twins(kind, half, hard)
        if kind == "exclusion":
            return self.of_exclusions(half, hard)
        if kind == "kind":
            return self.of_kinds(half)
        return self.of_fields(kind, half, hard)

    # ---- questions and documents

    def _two_kinds(self, usable: Tensor) -> list[Tensor]:
        """Twins of prose and code: functions, and code in documents of many kinds, as far as there are any."""
        groups = torch.as_tensor(self.store.arrays["twin_group"], device=DEVICE)
        fenced = [number for number, name in enumerate(self.store.groups) if name.startswith(FENCED)]
        is_fenced = torch.isin(groups, torch.tensor(fenced, device=DEVICE, dtype=groups.dtype))
        return [rows for rows in (torch.where(usable & some)[0] for some in (~is_fenced, is_fenced)) if len(rows)]

    def _asked_twins(self) -> list[Tensor]:
        """(n, 2): questions of a passage that has a translation, and the row of that twin; English, and Chinese."""
        lessons = self.lessons
        twin = torch.full((self.store.counts["passage"],), -1, device=DEVICE)
        for side in (0, 1):
            twin[self.twin_rows[self.two_languages, side]] = self.two_languages
        twin_of_question = twin[lessons.query_passage]
        asked = torch.where((twin_of_question >= 0) & ~lessons.query_held)[0]
        found, is_chinese = torch.stack([asked, twin_of_question[asked]], 1), lessons.is_chinese[lessons.query_passage]
        return [found[~is_chinese[asked]], found[is_chinese[asked]]]

    def of_either(self, found: list[Tensor], rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Columns of as many English as Chinese rows, and which are Chinese."""
        chinese = torch.rand(rows, device=DEVICE) < 0.5
        drawn = [some[draw(len(some), rows)] for some in found]
        one, other = torch.where(chinese[:, None], drawn[1], drawn[0]).unbind(1)
        return one, other, chinese

    def asked_in_two_languages(self, rows: int) -> Base:
        """A real question, its passage, and the translation, which shares fewer words with the question."""
        question, twin, chinese = self.of_either(self.asked_twins, rows)
        first, second = self.twin_rows[twin].unbind(1)
        other = self.twin_rows[self.lessons.some_of(self.two_languages, rows)]
        asked = self.varied(question, torch.where(chinese, first, second))
        return Base(question=asked, relevant=[first, second], other=other)

    def asked_of_comparable(self, rows: int) -> Base:
        """A real question, its passage, and a passage of the other language that is about the same."""
        question, theirs, chinese = self.of_either(self.comparable, rows)
        ours = self.lessons.query_passage[question]
        relevant = [torch.where(chinese, theirs, ours), torch.where(chinese, ours, theirs)]
        _, other, _ = self.of_either(self.comparable, rows)
        stranger, _, _ = self.of_either(self.comparable, rows)
        others = torch.stack([other, self.lessons.query_passage[stranger]], 1)
        return Base(question=self.varied(question, theirs), relevant=relevant, other=others)

    def varied(self, question: Tensor, foreign: Tensor) -> list[Span]:
        """Questions, most of them begun late or without some tokens, some with words of the foreign passage."""
        rows, whole = len(question), self.store.span("query", question, 80)
        share = torch.rand(6, rows, device=DEVICE)
        size = whole.length
        is_whole = (share[0] < WHOLE_SHARE) | (size < 6)
        begin = torch.where(~is_whole & (share[1] < BEGUN_SHARE), (share[2] * size / 2).long(), 0)
        first = begin + (share[3] * (size - begin) / 2).long()  # behind each of two places, up to three tokens go
        second = first + ((0.3 + 0.7 * share[4]) * (size - first)).long()
        lost = torch.where(is_whole, 0, draw(4, 2 * rows).view(2, rows))
        behind = torch.minimum(first + lost[0], second), torch.minimum(second + lost[1], size)
        parts = [Span(whole.start + a, (b - a).clamp(min=0))
                 for a, b in ((begin, first), (behind[0], second), (behind[1], size))]  # fmt: skip
        is_mixed = share[5] < MIXED_SHARE
        words = crop(self.store, self.store.passage(foreign, 160), torch.ones(rows, dtype=torch.bool, device=DEVICE))
        return [*parts, *(kept(word, is_mixed) for word in words[:2]), self.store.piece("document", rows)]

    def twins(self, kind: str, rows: int) -> Base:
        way = self.rng.random()
        if kind == "language" and min(map(len, self.asked_twins)) >= ASKED_MIN and way < ASKED_SHARE:
            return self.asked_in_two_languages(rows)
        alike = self.two_languages if kind == "language" else self.rng.choice(self.two_kinds)
        twin = self.lessons.some_of(alike, rows)
        first, second = self.twin_rows[twin].unbind(1)
        other = self.twin_rows[self.lessons.some_of(alike, rows)]
        if kind == "code":
            return Base(question=self.asked_of_code(twin), relevant=[first, second], other=other)
        side = torch.rand(rows, device=DEVICE) < 0.5
        passage = self.store.passage(torch.where(side, second, first), 160)
        core = crop(self.store, passage, torch.rand(rows, device=DEVICE) < 0.4)
        return Base(question=self.asking(core, rows), relevant=[first, second], other=other)

    def asked_of_code(self, twin: Tensor) -> list[Span]:
        """The questions of these twins, some with words of the code or of the prose behind them."""
        rows = len(twin)
        side = draw(2, rows)
        foreign = self.twin_rows[twin].gather(1, side[:, None])[:, 0]
        words = crop(self.store, self.store.passage(foreign, 160), torch.ones(rows, dtype=torch.bool, device=DEVICE))
        is_mixed = torch.rand(rows, device=DEVICE) < MIXED_SHARE
        return [self.store.span("twin", twin, 60), *(kept(word, is_mixed) for word in words[:2]),
                self.store.piece("document", rows)]  # fmt: skip

    def asking(self, core: list[Span], rows: int) -> list[Span]:
        before = nothing(rows)
        if self.rng.random() < 0.3:
            before = self.store.piece("question:en" if self.rng.random() < 0.5 else "question:zh", rows)
        return [before, *core, self.store.piece("document", rows)]

    def same_text(self, rows: int) -> Base:
        """One passage several times: only its fields differ."""
        pool = self.pools[self.rng.choices(list(self.pools), self.pool_weights)[0]]
        passage = self.lessons.some_of(pool, rows)
        core = crop(self.store, self.store.passage(passage, 160), torch.rand(rows, device=DEVICE) < 0.5)
        other = self.lessons.some_of(pool, rows * 2).view(rows, 2)
        return Base(question=self.asking(core, rows), relevant=[passage] * 3, other=other)

    def questions(self, rows: int) -> Base:
        """A real question and its passage."""
        mined = self.lessons.mined[self.rng.choice(list(self.lessons.mined))]
        question = self.lessons.some_of(mined.questions, rows)
        passage = self.lessons.query_passage[question]
        other = self.lessons.some_of(mined.pool, rows * 2).view(rows, 2)
        return Base(question=[self.store.span("asked", question, 80)], relevant=[passage] * 3, other=other)

    def shared_words(self, rows: int) -> tuple[Base, Tensor]:
        """Two passages that have a word in common, which is the question."""
        chosen = draw(len(self.excluded), rows)
        first, second = self.excluded[chosen].unbind(1)
        other = self.excluded[draw(len(self.excluded), rows)]
        base = Base(question=[self.store.span("excluded", chosen, 60)], relevant=[first, second], other=other)
        return base, chosen

    def others(self, base: Base, hard: float) -> list[Tensor]:
        """Two documents that do not answer: random, or near ones."""
        if self.rng.random() >= hard:
            return list(base.other.unbind(1))
        return [self.lessons.near(base.relevant[0], 1)[:, 0], self.lessons.near(base.relevant[1], 1)[:, 0]]

    # ---- lists

    def made(
        self,
        kind: str,
        base: Base,
        relevant: list[Tensor],
        others: list[Tensor],
        *,
        wants: tuple[Span, Span],
        level: Tensor,
        fields: list[list[Span]] | None = None,
        neutral_share: float = NEUTRAL_SHARE,
    ) -> Preferred:
        """`level` (rows of both instructions, documents); `fields` has one list per document, of single rows."""
        rows = len(others[0]) * 2
        documents = [*relevant, *others][:DOCUMENTS]
        neutral = (torch.rand(rows // 2, device=DEVICE) < neutral_share).repeat_interleave(2)
        asks_nothing = self.store.piece("default" if self.rng.random() < 0.5 else "neutral", rows)
        instruction = where(neutral, asks_nothing, alternating(*wants))
        relevance = torch.where(level > 0, 1.0, level)
        level = torch.where(neutral[:, None], relevance, level)
        same = torch.stack([(document == documents[0]) for document in documents], 1)
        is_copy = doubled(same) & (level <= 0)
        level = torch.where(is_copy, -1.0, level)
        suffix = self.store.fixed("scaffold", 1, rows)
        blank = self.store.piece("blank", rows)
        told = []
        for place, document in enumerate(documents):
            text = doubled_span(self.store.passage(document, TEXT_TOKENS_MAX))
            before = [doubled_span(part) for part in fields[place]] if fields else [nothing(rows // 2)] * FIELDS
            if fields:
                before = [*before, blank]
            before = padded(before, FIELDS + 1, rows) if fields else [nothing(rows)] * (FIELDS + 1)
            told.append([*before, text, suffix])
        head = [self.store.fixed("scaffold", 0, rows), instruction, *(doubled_span(part) for part in base.question)]
        return Preferred(kind=kind, head=padded(head, HEAD_PARTS, rows), documents=told, level=level, neutral=neutral)

    def of_twins(self, kind: str, rows: int, hard: float) -> Preferred:
        base, neutral_share = self.twins(kind, rows), NEUTRAL_SHARE
        if kind == "language" and min(map(len, self.comparable)) and self.rng.random() < COMPARABLE_SHARE:
            # Without a preference the two are not level: one answers, the other is about the same.
            base, hard, neutral_share = self.asked_of_comparable(rows), 0.0, 0.0
        wanted = ("en", "zh") if kind == "language" else ("prose", "code")
        wants = (self.store.piece(f"prefer:{wanted[0]}", rows), self.store.piece(f"prefer:{wanted[1]}", rows))
        level = self.first_or_second.repeat(rows, 1)
        fields = self.any_fields(rows) if self.rng.random() < 0.15 else None
        if kind == "language" and self.rng.random() < FOREIGN_SHARE:
            fields = self.foreign_lines(base.relevant, rows)
        return self.made(kind, base, base.relevant, self.others(base, hard), wants=wants, level=level, fields=fields,
                         neutral_share=neutral_share)  # fmt: skip

    def of_exclusions(self, rows: int, hard: float) -> Preferred:
        base, chosen = self.shared_words(rows)
        wants = (self.store.span("instructed", 2 * chosen, 160), self.store.span("instructed", 2 * chosen + 1, 160))
        level = self.first_or_second.repeat(rows, 1)
        return self.made("exclusion", base, base.relevant, self.others(base, min(hard, 0.3)), wants=wants, level=level)

    def of_kinds(self, rows: int) -> Preferred:
        """Two passages of one subject and two kinds of document; the question is the rarest words of both."""
        (one, two), pairs = self.rng.choice(self.kinds_of_document)
        chosen = draw(len(pairs), rows)
        first, second = pairs[chosen].unbind(1)
        side = (torch.rand(rows, device=DEVICE) < 0.5)[:, None]
        ours, theirs = torch.where(side, pairs[chosen], pairs[chosen].flip(1)).unbind(1)
        core = self.words_of_both(self.store.passage(ours, SHARED_TOKENS), self.store.passage(theirs, SHARED_TOKENS))
        base = Base(question=self.asking(core, rows), relevant=[first, second], other=pairs[draw(len(pairs), rows)])
        wants = (self.store.piece(f"prefer:kind:{one}", rows), self.store.piece(f"prefer:kind:{two}", rows))
        level = self.first_or_second.repeat(rows, 1)
        return self.made(
            "kind", base, base.relevant, self.others(base, 0.0), wants=wants, level=level, neutral_share=0.0
        )

    def words_of_both(self, ours: Span, theirs: Span) -> list[Span]:
        """The rarest tokens of the first passage that the second has too, each once, with the token behind it."""
        store = self.store
        ids, length = store.assemble([ours], SHARED_TOKENS)
        others, other_length = store.assemble([theirs], SHARED_TOKENS)
        place = torch.arange(SHARED_TOKENS, device=DEVICE)
        folded = store.folded[ids]
        known = torch.where(place[None] < other_length[:, None], store.folded[others], -1)
        is_shared = (folded[:, :, None] == known[:, None, :]).any(2) & (place[None] < length[:, None] - 1)
        is_again = ((folded[:, :, None] == folded[:, None, :]) & (place[:, None] > place[None])).any(2)
        worth = torch.where(is_shared & ~is_again, store.rarity[ids], 0.0)
        best, found = worth.topk(SHARED_WORDS, 1)
        return [Span(ours.start + found[:, i], torch.where(best[:, i] > 0, 2, 0)) for i in range(SHARED_WORDS)]

    def of_fields(self, kind: str, rows: int, hard: float) -> Preferred:
        """Three relevant documents (two if a base has two) with different fields, and an irrelevant one."""
        base = self.base_for_fields(rows)
        relevant = (base.relevant * 2)[:3] if len(base.relevant) > 2 else base.relevant
        others = self.others(base, hard)[: DOCUMENTS - len(relevant)]
        lines, level, wants = self.by_source(rows) if kind == "source" else self.by_value(kind, rows)
        fields = [[line] for line in lines]
        if self.rng.random() < 0.5:  # another field, which the instruction does not mention
            more = self.other_lines(kind, rows)
            newline = self.store.piece("newline", rows)
            is_before = self.rng.random() < 0.5
            fields = [[one, newline, *line] if is_before else [*line, newline, one]
                      for line, one in zip(fields, more, strict=True)]  # fmt: skip
        fields = [padded(line, FIELDS, rows) for line in fields]
        level = level.clone()
        level[:, len(relevant) :] = 0
        return self.made(kind, base, relevant, others, wants=wants, level=level, fields=fields)

    def base_for_fields(self, rows: int) -> Base:
        way = self.rng.random()
        if way < 0.35:
            return self.same_text(rows)
        if way < 0.6:
            return self.questions(rows)
        if way < 0.85 and len(self.excluded):
            return self.shared_words(rows)[0]
        return self.twins("language", rows)

    def by_value(self, kind: str, rows: int) -> tuple[list[Span], Tensor, tuple[Span, Span]]:
        """Lines with a date or a number for each document, and levels that rise and fall with it."""
        if kind == "date":
            name, form = self.rng.choice(wordings.DATE_FIELDS), self.rng.choice([0, 0, 0, 1, 2, 3, 4, 5])
            group, up, down = f"date:{name}:{form}", "prefer:new", "prefer:old"
        else:
            number = self.rng.choice(list(wordings.NUMBERS))
            group = f"number:{number}:{self.rng.choice(wordings.NUMBERS[number][0])}"
            up, down = f"prefer:most:{number}", f"prefer:least:{number}"
        first, stop = self.store.pieces[group]
        chosen = first + draw(stop - first, rows * DOCUMENTS)
        lines = self.store.span("piece", chosen)
        value = self.store.values[chosen - self.value_first].view(rows, DOCUMENTS)
        spread = 0.25 if kind == "date" else 0.12
        level = 2 + spread * torch.stack([value - value[:, :1], value[:, :1] - value], 1).flatten(0, 1)
        parts = [Span(lines.start.view(rows, DOCUMENTS)[:, i], lines.length.view(rows, DOCUMENTS)[:, i])
                 for i in range(DOCUMENTS)]  # fmt: skip
        level = level - level[:, :3].min(1, keepdim=True).values + 1
        return parts, level, (self.store.piece(up, rows), self.store.piece(down, rows))

    def by_source(self, rows: int) -> tuple[list[Span], Tensor, tuple[Span, Span]]:
        """The first document has one source, the second another; one instruction prefers each."""
        kinds = list(wordings.SOURCES) if self.rng.random() < 0.75 else pieces.NAMES
        one, two, three = self.rng.sample(kinds, 3)
        name = self.rng.choice(wordings.SOURCE_FIELDS)
        lines = [self.store.piece(f"source:{source}:{name}", rows) for source in (one, two, three)]
        lines.append(lines[self.rng.randrange(2)])
        wants_one, wants_two = f"prefer:source:{one}", f"prefer:source:{two}"
        if self.rng.random() < 0.25:
            wants_one, wants_two = f"avoid:source:{two}", f"avoid:source:{one}"
            level = self.unwanted.repeat(rows, 1)
        else:
            level = self.wanted.repeat(rows, 1)
        return lines, level, (self.store.piece(wants_one, rows), self.store.piece(wants_two, rows))

    def other_lines(self, kind: str, rows: int) -> list[Span]:
        fields = [name for name in self.store.pieces if name.split(":")[0] in ("date", "source", "number")]
        group = self.rng.choice([name for name in fields if not name.startswith(kind)])
        return [self.store.piece(group, rows) for _ in range(DOCUMENTS)]

    def foreign_lines(self, relevant: list[Tensor], rows: int) -> list[list[Span]]:
        """For each document some words of the other language, as its first line; the others get Chinese ones."""
        always = torch.ones(rows, dtype=torch.bool, device=DEVICE)
        english, chinese = (crop(self.store, self.store.passage(one, 120), always)[:FIELDS] for one in relevant)
        return [padded(line, FIELDS, rows) for line in (chinese, english, chinese, chinese)]

    def any_fields(self, rows: int) -> list[list[Span]]:
        lines = self.other_lines("none", rows)
        return [padded([line], FIELDS, rows) for line in lines]
