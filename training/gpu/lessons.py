"""Teachers' vectors and mined data: crops, neighbours, negatives. Kept on the device."""

from __future__ import annotations

import itertools
import pickle
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.gpu import teachers
from training.gpu.network import DEVICE, DTYPE, ON_GPU
from training.gpu.phrases import KINDS, kind_of
from training.gpu.processes import Processes
from training.gpu.store import Span, Store, draw, on
from training.gpu.tokens import shown

NEIGHBOURS = 24
HARDEST = 32
POOL = 30_000
MINED_POOL = 36_000
QUESTIONS_MIN = 150
CROPS_OF_SOURCE_MAX = 30_000
COMPARED_QUESTIONS, COMPARED_PASSAGES, COMPARED_SHARE = 160_000, 120_000, 0.3
KIND_POOL, KIND_PAIRS_MIN, KIND_PAIRS_MAX = 12_000, 100, 1_000
TEXT_CHARACTERS = {"en": 1_000, "zh": 420}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Questions of one source, their hardest negatives, and all passages that were searched."""

    questions: Tensor
    hardest: Tensor
    pool: Tensor


class Lessons:
    """Everything that lists are drawn from, except the tokens."""

    def __init__(self, store: Store, texts: Path, packed: Path, processes: Processes, kept: Path) -> None:
        """`kept` is a folder in which the teachers' vectors are saved, and found by the next run on the same texts."""
        self.store, self.processes, self.kept = store, processes, kept
        arrays = store.arrays
        self.is_chinese, self.is_code, self.is_held = (
            on(arrays[name], torch.bool) for name in ("is_chinese", "is_code", "is_held")
        )
        self.source = on(arrays["passage_source"])
        self.query_passage, self.query_held = on(arrays["query_passage"]), on(arrays["query_held"], torch.bool)
        self.query_group = on(arrays["query_group"])
        self.kind = torch.where(self.is_code, 2, torch.where(self.is_chinese, 1, 0))
        passages, questions, _ = pickle.loads(texts.read_bytes())  # noqa: S301 (written by training.gpu.gather)
        said = [shown(p)[: TEXT_CHARACTERS["zh" if p[1] == "zh" else "en"]] for p in passages]
        asked = [q[1][:400] for q in questions]
        self.crop_passage, self.crop = self._crops()
        cropped = self._texts_of(self.crop)
        e5 = teachers.multilingual_e5(packed / "e5s.npz.xz")
        self.passages = self._shared("e5-passages", e5, said, is_query=False)
        self.questions = self._shared("e5-questions", e5, asked, is_query=True)
        self.crops = self._shared("e5-crops", e5, cropped, is_query=True)
        small = teachers.minilm(packed / "minilm.npz.xz", packed / "minilm_tok.json")
        english = [i for i, p in enumerate(passages) if p[1] != "zh"]
        self.english_passages = torch.zeros(len(said), teachers.WIDTH, device=DEVICE, dtype=DTYPE)
        self.english_passages[torch.tensor(english, device=DEVICE)] = self._shared(
            "minilm-passages", small, [said[i] for i in english], is_query=False
        )
        self.english_questions = self._shared("minilm-questions", small, asked, is_query=True)
        self.english_crops = self._shared("minilm-crops", small, cropped, is_query=True)

    def _shared(self, name: str, teacher: teachers.Teacher, texts: list[str], *, is_query: bool) -> Tensor:
        """Each process encodes its share, and gets the others'; the first saves all."""
        digest = 0
        for text in texts:
            digest = zlib.crc32(text.encode("utf-8", "surrogatepass"), digest)
        saved = self.kept / f"{name}-{len(texts)}-{digest:08x}.pt"
        if saved.exists():
            vectors: Tensor = torch.load(saved, map_location=DEVICE)
            return vectors
        rank, world = self.processes.rank, self.processes.world
        own = teacher.vectors(texts[rank::world], is_query=is_query)
        whole = torch.zeros(len(texts), teachers.WIDTH, device=DEVICE, dtype=DTYPE)
        whole[rank::world] = own
        self.processes.add_up(whole)
        if self.processes.is_first:
            beside = saved.with_suffix(".part")
            torch.save(whole, beside)
            beside.replace(saved)
        return whole

    def _crops(self) -> tuple[Tensor, Span]:
        """Pieces of 4 to 26 tokens of passages, starting at a word; the same in every process."""
        generator = np.random.default_rng(7)
        arrays, lengths = self.store.arrays, self.store.length.cpu().numpy()
        usable = ~arrays["is_held"] & (lengths[: self.store.counts["passage"]] > 20)
        group = arrays["passage_source"] * 3 + np.where(arrays["is_code"], 2, arrays["is_chinese"].astype(int))
        chosen = []
        for number in np.unique(group):
            rows = np.where(usable & (group == number))[0]
            if len(rows) > 100:
                count = min(CROPS_OF_SOURCE_MAX, len(rows) * 2, int(len(rows) ** 0.5 * 80))
                chosen.append(generator.choice(rows, count))
        rows = np.concatenate(chosen)
        start = self.store.start.cpu().numpy()[rows]
        whole = np.minimum(lengths[rows], 220)
        length = np.minimum(4 + (generator.random(len(rows)) ** 1.5 * 22).astype(int), whole - 4)
        begin = start + (generator.random(len(rows)) * (whole - length)).astype(int)
        begin = np.minimum(self.store.next_word.cpu().numpy()[begin], start + whole - 4)
        return on(rows), Span(on(begin), on(np.minimum(length, start + whole - begin)))

    def _texts_of(self, span: Span) -> list[str]:
        flat = self.store.flat_host
        pairs = zip(span.start.tolist(), span.length.tolist(), strict=True)
        return [text.strip() for text in self.store.tokenizer.decode_batch([flat[a : a + n] for a, n in pairs])]

    @torch.no_grad()
    def mine(self) -> None:
        self._find_neighbours()
        self.mined: dict[str, Mined] = {}
        for number, name in enumerate(self.store.groups):
            rows = torch.where((self.query_group == number) & ~self.query_held)[0]
            rows = rows[self.store.length[self.query_passage[rows]] > 3]
            if len(rows) >= QUESTIONS_MIN:
                self.mined[name] = self._mine(rows)

    def _find_neighbours(self) -> None:
        """Find the nearest passages of the same source, language and kind."""
        count = self.store.counts["passage"]
        self.neighbours = torch.zeros(count, NEIGHBOURS, dtype=torch.int32, device=DEVICE)
        self.pools: dict[str, Tensor] = {}
        group = self.source * 3 + self.kind
        long_enough = self.store.length[:count] > 3
        for number in group.unique().tolist():
            rows = torch.where((group == number) & long_enough)[0]
            if len(rows) <= 60:
                continue
            rows = rows[torch.randperm(len(rows), device=DEVICE)]
            kept = []
            for pool in rows.split(POOL):
                if len(pool) <= 60:
                    continue
                kept.append(pool)
                for some in torch.arange(len(pool), device=DEVICE).split(4_096):
                    near = self.passages[pool[some]] @ self.passages[pool].T
                    near[torch.arange(len(some), device=DEVICE), some] = -9
                    self.neighbours[pool[some]] = pool[near.topk(NEIGHBOURS, 1).indices].int()
            name = f"{self.store.sources[number // 3]}:{('en', 'zh', 'code')[number % 3]}"
            self.pools[name] = torch.cat(kept)

    def _mine(self, rows: Tensor) -> Mined:
        """By e5 and BM25 over folded tokens, each standardised over the pool."""
        store = self.store
        pool = self.query_passage[rows].unique()
        pool = pool[torch.randperm(len(pool), device=DEVICE)[:MINED_POOL]]
        kind = torch.float16 if ON_GPU else torch.float32
        weights = torch.zeros(len(pool), store.folded_count, device=DEVICE, dtype=kind)
        for some in torch.arange(len(pool), device=DEVICE).split(2_048):
            counts, length = self._counts(store.passage(pool[some], 300), 300)
            saturated = counts * 1.9 / (counts + 0.9 * (0.6 + 0.4 * length[:, None] / 120))
            weights[some] = (saturated * store.folded_rarity).to(kind)
        hardest = torch.zeros(len(rows), HARDEST, dtype=torch.int32, device=DEVICE)
        for some in torch.arange(len(rows), device=DEVICE).split(1_024):
            asked, _ = self._counts(store.span("query", rows[some], 64), 64)
            words = (asked.clamp(max=1).to(kind) @ weights.T).float()
            meaning = (self.questions[rows[some]] @ self.passages[pool].T).float()
            both = standard(words) + standard(meaning)
            found = pool[both.topk(min(HARDEST, len(pool)), 1).indices].int()
            hardest[some, : found.shape[1]] = found
        return Mined(questions=rows, hardest=hardest, pool=pool)

    def _counts(self, span: Span, length: int) -> tuple[Tensor, Tensor]:
        ids, sizes = self.store.assemble([span], length)
        kept = torch.arange(length, device=DEVICE)[None] < sizes[:, None]
        counts = torch.zeros(len(ids), self.store.folded_count, device=DEVICE)
        return counts.scatter_add_(1, self.store.folded[ids], kept.float()), sizes.float()

    @torch.no_grad()
    def kinds_alike(self) -> list[tuple[tuple[str, str], Tensor]]:
        """Pairs of passages of one subject and language but of two kinds of document (phrases.KINDS), by E5."""
        count = self.store.counts["passage"]
        kinds = list(KINDS)
        named = [kind_of(source) for source in self.store.sources]
        of_source = torch.tensor([kinds.index(name) if name else -1 for name in named], device=DEVICE)
        kind = of_source[self.source]
        usable = ~self.is_held & (self.store.length[:count] > 30) & ~self.is_code & (kind >= 0)
        found = []
        for chinese in (False, True):
            rows = [torch.where(usable & (kind == k) & (self.is_chinese == chinese))[0] for k in range(len(kinds))]
            rows = [some[torch.randperm(len(some), device=DEVICE)[:KIND_POOL]] for some in rows]
            for one, two in itertools.combinations(range(len(kinds)), 2):
                if min(len(rows[one]), len(rows[two])) < KIND_PAIRS_MIN:
                    continue
                near, place = (self.passages[rows[one]] @ self.passages[rows[two]].T).max(1)
                best = near.float().topk(min(KIND_PAIRS_MAX, max(KIND_PAIRS_MIN, len(near) // 12), len(near))).indices
                found.append(((kinds[one], kinds[two]), torch.stack([rows[one][best], rows[two][place[best]]], 1)))
        return found

    @torch.no_grad()
    def comparable(self, *, chinese: bool) -> Tensor:
        """(n, 2): questions of a passage in this language, and the passage of the other language nearest to both.

        By E5, less what it finds near everything; the nearer part of those that were compared.
        """
        count = self.store.counts["passage"]
        usable = ~self.is_held & ~self.is_code & (self.store.length[:count] > 14)
        own = usable[self.query_passage] & (self.is_chinese[self.query_passage] == chinese) & ~self.query_held
        asked, pool = torch.where(own)[0], torch.where(usable & (self.is_chinese != chinese))[0]
        asked = asked[torch.randperm(len(asked), device=DEVICE)[:COMPARED_QUESTIONS]]
        pool = pool[torch.randperm(len(pool), device=DEVICE)[:COMPARED_PASSAGES]]
        if not len(asked) or not len(pool):
            return torch.zeros(0, 2, dtype=torch.long, device=DEVICE)
        meant = (self.questions[asked].float() + self.passages[self.query_passage[asked]].float()).to(DTYPE)
        offered = self.passages[pool]
        usual = (meant[:2_000] @ offered.T).float().mean(0)
        found = [((some @ offered.T).float() - usual).max(1) for some in meant.split(2_048)]
        worth, place = torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])
        best = worth.topk(max(1, int(len(asked) * COMPARED_SHARE))).indices
        return torch.stack([asked[best], pool[place[best]]], 1)

    def near(self, rows: Tensor, count: int) -> Tensor:
        places = torch.randperm(NEIGHBOURS, device=DEVICE)[:count]
        return self.neighbours[rows][:, places].long()

    def some_of(self, rows: Tensor, count: int) -> Tensor:
        return rows[draw(len(rows), count)]


def standard(values: Tensor) -> Tensor:
    return (values - values.mean(1, keepdim=True)) / (values.std(1, keepdim=True) + 1e-6)


def bm25(store: Store, query: Tensor, query_length: Tensor, ids: Tensor, length: Tensor) -> Tensor:
    """(rows, documents): of query tokens (rows, q) against documents' tokens (rows * documents, d), folded."""
    rows, documents = len(query), len(ids) // len(query)
    asked = store.folded[query]
    size = query.shape[1]
    place = torch.arange(size, device=DEVICE)
    again = ((asked[:, :, None] == asked[:, None, :]) & (place[:, None] > place[None])).any(-1)
    fresh = ~again & (place[None] < query_length[:, None])
    kept = torch.arange(ids.shape[1], device=DEVICE)[None] < length[:, None]
    said = torch.where(kept, store.folded[ids], -1).view(rows, documents, -1)
    total = torch.zeros(rows, documents, device=DEVICE)
    norm = 0.9 * (0.6 + 0.4 * length.view(rows, documents, 1).float() / 120)
    for first in range(0, size, 8):
        some = slice(first, first + 8)
        counts = (asked[:, None, some, None] == said[:, :, None, :]).sum(-1).float()
        weight = store.rarity[query[:, some]] * fresh[:, some]
        total += (weight[:, None] * counts * 1.9 / (counts + norm)).sum(-1)
    return total
