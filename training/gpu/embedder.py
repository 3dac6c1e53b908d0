"""Trains the embedder's bag on GPUs: in-batch contrast, and similarities of the teachers within the batch."""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from training.bag import HEAD_WIDTH, HEADS, SLOW, Bag
from training.gpu.lessons import Lessons
from training.gpu.network import DEVICE
from training.gpu.processes import Clock, Processes
from training.gpu.relevance import RelevanceLists
from training.gpu.store import Span, draw
from training.texts_alike import TASKS

BATCH = 2_048
RATE = 6e-4
E5_SCALE, E5_BESIDE, MINILM_SCALE, OWN = 55.0, 32.0, 11.0, 1.5
TAUGHT = 1.2  # weight of the teachers' part of the loss
KINDS = {"pair": 1.5, "twin": 2.0, "crop": 0.6, "taught": 1.4}


@torch.no_grad()
def read_back(bag: Bag, path: Path, end: int) -> None:
    """Read the bag that training.bag_as_qwen wrote as a Qwen3 layer."""
    read = {name: tensor.float() for name, tensor in load_file(path).items()}
    layer, rows = "layers.0.", read["embed_tokens.weight"]
    bag.rows.copy_(rows)
    bag.out.copy_(read[f"{layer}self_attn.o_proj.weight"])
    bag.mlp_norm.copy_(read[f"{layer}post_attention_layernorm.weight"])
    bag.gate.copy_(read[f"{layer}mlp.gate_proj.weight"])
    bag.up.copy_(read[f"{layer}mlp.up_proj.weight"])
    bag.down.copy_(read[f"{layer}mlp.down_proj.weight"])
    bag.final_norm.copy_(read["norm.weight"])
    asking = rows[end] / (rows[end].pow(2).mean() + 1e-6).sqrt()
    length = read[f"{layer}self_attn.q_norm.weight"][0] * math.sqrt(HEAD_WIDTH)
    for head in range(HEADS):
        first = head * HEAD_WIDTH
        query = read[f"{layer}self_attn.q_proj.weight"][first : first + HEAD_WIDTH] @ asking
        bag.query[head] = (query / query.norm() * length)[SLOW]
        for place, dimension in enumerate(SLOW):
            bag.key[head * len(SLOW) + place] = read[f"{layer}self_attn.k_proj.weight"][first + dimension]


class Embedding:
    def __init__(self, lessons: Lessons, lists: RelevanceLists, bag: Bag, rng: random.Random) -> None:
        self.lessons, self.lists, self.bag, self.rng, self.store = lessons, lists, bag, rng, lessons.store
        self.groups: list[tuple[str, str, Tensor]] = []
        for number, name in enumerate(self.store.groups):
            rows = torch.where((lessons.query_group == number) & ~lessons.query_held)[0]
            self.groups.append(("pair", name, rows))
        self.groups += [("twin", name, rows) for name, rows in lists.twins.items()]
        self.groups += [("crop", name, rows) for name, rows in lists.cropped.items() if len(rows) > 1_500]
        self.groups += [("taught", name, rows) for name, rows in lists.taught.items()]
        self.groups = [group for group in self.groups if len(group[2]) > 200]
        self.weights = [len(rows) ** 0.5 * KINDS[kind] * lists._weight(name) for kind, name, rows in self.groups]  # noqa: SLF001

    def embed(self, table: Tensor, parts: list[Span], length: int) -> Tensor:
        rows = len(parts[0].start)
        end = Span(
            torch.full((rows,), self.store.end_span[0], device=DEVICE),
            torch.ones(rows, dtype=torch.long, device=DEVICE),
        )
        ids, sizes = self.store.assemble([*parts, end], length)
        kept = torch.arange(length, device=DEVICE)[None] < sizes[:, None]
        return self.bag.embed(table, ids[kept], sizes.cumsum(0) - sizes, self.store.end)

    def task(self, rows: int) -> Span:
        chosen = 0 if self.rng.random() < 0.6 else self.rng.randrange(len(TASKS))
        return self.store.fixed("scaffold", 2 + chosen, rows)

    def batch(self, rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None, str]:
        """Queries, passages, identity of each passage, and the teachers' logits if there are some."""
        kind, _, pool = self.rng.choices(self.groups, self.weights)[0]
        rows = min(rows, len(pool))
        chosen = (
            pool[torch.randperm(len(pool), device=DEVICE)[:rows]]
            if len(pool) < 3 * rows
            else self.lessons.some_of(pool, rows)
        )
        table, store, lessons, taught = self.bag.table(), self.store, self.lessons, None
        if kind == "pair":
            passage = lessons.query_passage[chosen]
            query = store.span("query", chosen, 100)
            taught = self.taught(lessons.questions[chosen], lessons.english_questions[chosen], passage)
        elif kind == "taught":
            passage = lessons.crop_passage[chosen]
            query = Span(lessons.crop.start[chosen], lessons.crop.length[chosen])
            taught = self.taught(lessons.crops[chosen], lessons.english_crops[chosen], passage)
        elif kind == "twin":
            twin = self.lists.twin_rows[chosen]
            side = torch.randint(0, 2, (1,)).item()
            ours, passage = twin[:, side], twin[:, 1 - side]
            whole = store.passage(ours, 200)
            cut = (torch.rand(rows, device=DEVICE) < 0.5) & (whole.length > 24)
            length = torch.where(cut, 6 + draw(18, rows), whole.length)
            begin = whole.start + torch.where(
                cut, (torch.rand(rows, device=DEVICE) * (whole.length - length + 1)).long(), 0
            )
            query = Span(begin, length)
            passage = torch.cat(
                [passage, ours]
            )  # a translation is to be nearer than others of the query's own language
        else:
            return self.rest(chosen, table)
        queries = self.embed(table, [self.task(rows), query], 260)
        passages = self.embed(table, [store.passage(passage, 240)], 241)
        return queries, passages, passage, taught, kind

    def rest(self, chosen: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor, None, str]:
        """A piece of a passage, and the passage, often without that piece."""
        rows = len(chosen)
        whole = self.store.passage(chosen, 300)
        length = torch.minimum((4 + torch.empty(rows, device=DEVICE).exponential_(1 / 14).long()).clamp(max=60),
                               (whole.length // 2).clamp(min=4))  # fmt: skip
        begin = whole.start + (torch.rand(rows, device=DEVICE) * (whole.length - length + 1)).long()
        without = torch.rand(rows, device=DEVICE) < 0.45
        behind = begin + length
        first = Span(whole.start, torch.where(without, begin - whole.start, whole.length))
        second = Span(behind, torch.where(without, (whole.start + whole.length - behind).clamp(min=0), 0))
        queries = self.embed(table, [self.task(rows), Span(begin, length)], 120)
        return queries, self.embed(table, [first, second], 301), chosen, None, "crop"

    def taught(self, e5: Tensor, minilm: Tensor | None, passage: Tensor) -> Tensor:
        lessons = self.lessons
        meaning = (e5 @ lessons.passages[passage].T).float()
        if minilm is None:
            return E5_SCALE * meaning
        english = (minilm @ lessons.english_passages[passage].T).float()
        is_english = ~lessons.is_chinese[passage]
        return torch.where(is_english[None], E5_BESIDE * meaning + MINILM_SCALE * english + 0.0, E5_SCALE * meaning)

    def loss(self, rows: int) -> tuple[Tensor, str, Tensor]:
        queries, passages, passage, taught, kind = self.batch(rows)
        count = len(queries)
        own = torch.eye(count, len(passages), dtype=torch.bool, device=DEVICE)
        copies = (passage[:count, None] == passage[None]) & ~own
        if len(passages) > count:  # the query's own text, in its language, is no negative
            copies |= torch.eye(count, dtype=torch.bool, device=DEVICE).repeat(1, 2) & ~own
        scores = ((queries @ passages.T) * self.bag.log_scale.exp().clamp(max=60)).masked_fill(copies, -1e4)
        right = torch.arange(count, device=DEVICE)
        contrast = functional.cross_entropy(scores, right) + 0.4 * functional.cross_entropy(scores[:, :count].T, right)
        if taught is None:
            return contrast, kind, contrast.detach()
        wanted = (taught + OWN * own).masked_fill(copies, -1e4)
        alike = functional.kl_div(
            functional.log_softmax(scores, -1), functional.softmax(wanted, -1), reduction="batchmean"
        )
        return 0.5 * contrast + TAUGHT * alike, kind, contrast.detach()


def train(embedding: Embedding, processes: Processes, clock: Clock, *, rows: int, say: object) -> int:
    bag = embedding.bag
    parameters = list(bag.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.98), weight_decay=0)
    running: dict[str, float | Tensor] = {}
    step = 0
    while (share := clock.read()) < 1:
        rate = RATE * min(1.0, share / 0.03) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, kind, contrast = embedding.loss(rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        processes.average_gradients(parameters)
        optimizer.step()
        bag.normalise_rows()
        running[kind] = contrast if kind not in running else running[kind] * 0.97 + contrast * 0.03
        step += 1
        if step % 100 == 0:
            torch.cuda.synchronize() if DEVICE == "cuda" else None
            say(f"embedder step {step} {share:.2f}", {k: round(float(v), 3) for k, v in running.items()})  # type: ignore[operator]
    return step
