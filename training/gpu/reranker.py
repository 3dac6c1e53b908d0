"""Trains the reranker: next tokens first, then lists of relevance and of preference."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.gpu.network import DEVICE, DTYPE, ON_GPU, VOCABULARY, Muon, Network, list_mask
from training.gpu.preferences import PreferenceLists, Preferred
from training.gpu.processes import Clock, Ending, Processes
from training.gpu.relevance import Lists, RelevanceLists, joined
from training.gpu.store import Rows, Store, draw

Say = Callable[..., None]
MATRIX_RATE, ROW_RATE, HEAD_RATE = 0.012, 1e-3, 2e-3
WARM_STEPS, FLAT = 60, 0.35
NEXT_LENGTH = 256
LIST_LENGTH, PREFERENCE_LENGTH = 1_408, 896
PARTS = 2  # groups per step and process
MARGIN_RELEVANT, MARGIN_PREFERRED = 4.0, 6.0
HOLD = 1.5  # weight of an earlier reranker's scores beside the target


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    next_rows: int = 256
    lists: int = 96
    preferences: int = 192


class Optimizer:
    """Muon for the layers' matrices, AdamW for rows and norms."""

    def __init__(self, network: Network, processes: Processes) -> None:
        self.network, self.processes = network, processes
        named = list(network.named_parameters())
        matrices = [p for name, p in named if p.dim() == 2 and "embed" not in name]
        self.others = [p for name, p in named if not (p.dim() == 2 and "embed" not in name)]
        self.all = [p for _, p in named]
        self.factor = 1.0  # of all rates
        self.muon = Muon(matrices, MATRIX_RATE)
        self.adam = torch.optim.AdamW(self.others, lr=ROW_RATE, betas=(0.9, 0.98), weight_decay=0)

    def rate(self, share: float) -> None:
        share *= self.factor
        self.muon.rate = MATRIX_RATE * share
        for group in self.adam.param_groups:
            group["lr"] = ROW_RATE * share

    def step(self) -> None:
        self.processes.average_gradients(self.all)
        nn.utils.clip_grad_norm_(self.others, 1.0)
        self.muon.step()
        self.adam.step()
        self.network.zero_grad(set_to_none=True)

    def state(self) -> dict[str, object]:
        return {"adam": self.adam.state_dict(), "muon": self.muon.buffers}

    def load(self, state: dict[str, object]) -> None:
        self.adam.load_state_dict(state["adam"])  # type: ignore[arg-type]
        for ours, theirs in zip(self.muon.buffers, state["muon"], strict=True):  # type: ignore[arg-type, call-overload]
            for one, other in zip(ours, theirs, strict=True):
                one.copy_(other)


def autocast() -> torch.autocast:
    return torch.autocast("cuda", dtype=torch.bfloat16, enabled=ON_GPU)


def start_rows(network: Network, rows: Tensor) -> Tensor:
    """Token rows from the embedder's: their main directions, RMS 0.7."""
    used = rows.shape[0] - 96  # added tokens and padding follow the pieces
    with torch.no_grad():
        mean = rows[:used].mean(0)
        directions = torch.linalg.svd((rows[:used] - mean).float().cpu(), full_matrices=False)[2].to(rows.device)
        flat = (rows - mean) @ directions[: network.shape["hidden"]].T
        flat = flat / flat.pow(2).mean(1, keepdim=True).sqrt().clamp(min=0.05) * 0.7
        network.embed_tokens.weight[:used] = flat[:used]
    return flat


class NextTokens:
    """Half running text, half "question <Document>: passage" twice."""

    def __init__(self, store: Store, query_passage: Tensor, head: Tensor, optimizer: Optimizer) -> None:
        self.store, self.query_passage, self.optimizer = store, query_passage, optimizer
        self.network = optimizer.network
        self.head = nn.Linear(head.shape[1], VOCABULARY, bias=False, device=DEVICE)
        self.head.weight.data.copy_(head * 0.03)
        self.head_optimizer = torch.optim.AdamW(self.head.parameters(), lr=HEAD_RATE, betas=(0.9, 0.98))
        self.text_tokens = int(store.start[store.offset["query"]]) - NEXT_LENGTH - 1
        self.loss = torch.compile(next_loss, dynamic=False) if ON_GPU else next_loss

    def rows(self, count: int, *, running: bool) -> tuple[Tensor, Tensor]:
        if running:
            begin = draw(self.text_tokens, count)
            ids = self.store.flat[begin[:, None] + torch.arange(NEXT_LENGTH, device=DEVICE)[None]].long()
            return ids, torch.full((count,), NEXT_LENGTH, device=DEVICE)
        parts = []
        for _ in range(2):
            question = draw(self.store.counts["asked"], count)
            parts += [self.store.span("asked", question, 60), self.store.passage(self.query_passage[question], 110)]
        return self.store.assemble(parts, NEXT_LENGTH)

    def train(self, processes: Processes, clock: Clock, rows: int, say: Say) -> int:
        step, mean = 0, None
        while (share := clock.read()) < 1:
            warm = min(1.0, step / WARM_STEPS)
            self.optimizer.rate(warm)
            self.head_optimizer.param_groups[0]["lr"] = HEAD_RATE * warm * (1 - 0.8 * share)
            ids, length = self.rows(rows, running=step % 2 == 1)
            kept = torch.arange(1, NEXT_LENGTH, device=DEVICE)[None] < length[:, None]
            wanted = torch.where(kept, ids[:, 1:], -100)
            with autocast():
                states = self.network.norm(self.network.states(ids, None, None, fast=True)) * 10
            loss = self.loss(states[:, :-1], self.head.weight, wanted)
            loss.backward()
            processes.average_gradients(self.head.parameters())
            self.optimizer.step()
            self.head_optimizer.step()
            self.head_optimizer.zero_grad(set_to_none=True)
            mean = loss.detach() if mean is None else mean * 0.95 + loss.detach() * 0.05
            step += 1
            if step == 8:
                clock.restart()
            if step % 50 == 0:
                say(f"next tokens step {step} {share:.2f} loss {float(mean):.3f}")
        return step


def next_loss(states: Tensor, head: Tensor, wanted: Tensor) -> Tensor:
    logits = functional.linear(states.to(DTYPE), head.to(DTYPE)).float()
    return functional.cross_entropy(logits.reshape(-1, VOCABULARY), wanted.reshape(-1), ignore_index=-100)


def relevance_loss(scores: Tensor, lists: Lists) -> tuple[Tensor, Tensor]:
    scores = scores.masked_fill(lists.unusable, -1e4)
    target = lists.target.masked_fill(lists.unusable, -1e4)
    alike = functional.kl_div(functional.log_softmax(scores, -1), functional.softmax(target, -1), reduction="batchmean")
    own = lists.own > 0
    right = (torch.logsumexp(scores, 1) - torch.logsumexp(scores.masked_fill(~own, -1e4), 1)).mean()
    sure = functional.binary_cross_entropy_with_logits(scores, lists.own, weight=(~lists.unusable).float())
    hit = (scores.detach().argmax(1) == 0).float()
    return alike + 0.25 * right + 0.1 * sure, hit


def hold_loss(scores: Tensor, before: Tensor, held: Tensor) -> Tensor:
    """How far scores have moved from those of before, among the documents of each row that are held.

    Their differences by the divergence, their height, which the order's weights count on, by cross-entropy."""
    earlier, now = (functional.log_softmax(some.masked_fill(~held, -1e4), -1) for some in (before, scores))
    rows = held.any(1)
    apart = ((earlier.exp() * (earlier - now)).sum(-1) * rows).sum() / rows.sum().clamp(min=1)
    high = functional.binary_cross_entropy_with_logits(scores, before.sigmoid(), weight=held.float(), reduction="sum")
    return apart + 0.1 * high / held.sum().clamp(min=1)


def preference_loss(scores: Tensor, lists: Preferred) -> tuple[Tensor, Tensor]:
    """Every two documents with different levels, by a margin; without a preference, relevant ones are equal."""
    level = lists.level
    higher = (level[:, :, None] - level[:, None, :]) > 1e-3
    higher &= (level[:, None, :] >= 0) & (level[:, :, None] >= 0)
    against_irrelevant = level[:, None, :] == 0
    apart = scores[:, :, None] - scores[:, None, :]
    distance = (level[:, :, None] - level[:, None, :]).clamp(max=1.0)
    margin = torch.where(against_irrelevant, MARGIN_RELEVANT, MARGIN_PREFERRED * distance)
    lost = functional.softplus(margin - apart)
    weight = torch.where(against_irrelevant, 0.35, 1.0) * higher
    order = (lost * weight).sum() / weight.sum().clamp(min=1)
    level_ones = (level[:, :, None] > 0) & (level[:, None, :] > 0) & lists.neutral[:, None, None]
    even = (apart.clamp(-6, 6).pow(2) * level_ones).sum() / level_ones.sum().clamp(min=1)
    relevant = (level > 0).float()
    sure = functional.binary_cross_entropy_with_logits(scores, relevant, weight=(level >= 0).float())
    wished = (level[:, 0] > 0) & (level[:, 1] > 0) & ((level[:, 0] - level[:, 1]).abs() > 1e-3)
    right = ((scores[:, 0] - scores[:, 1]) * (level[:, 0] - level[:, 1]) > 0).float()
    counted = wished.view(-1, 2).all(1)
    both = ((right.view(-1, 2).sum(1) == 2) & counted).sum() / counted.sum().clamp(min=1)
    return order + 0.05 * even + 0.1 * sure, both


class ListTraining:
    def __init__(self, optimizer: Optimizer, relevance: RelevanceLists, preferences: PreferenceLists, sizes: Sizes,
                 *, shared: random.Random, before: Network | None = None) -> None:  # fmt: skip
        """`before` is a reranker whose order of plain lists is held."""
        self.optimizer, self.network, self.sizes = optimizer, optimizer.network, sizes
        self.before = before
        self.relevance, self.preferences, self.shared = relevance, preferences, shared
        self.store = relevance.store
        self.running: dict[str, Tensor] = {}
        self.lists = self.steps = 0

    def scores(self, rows: Rows, network: Network) -> Tensor:
        mask = list_mask(rows.document, flexible=network.flexible)
        with autocast():
            states = network.states(rows.ids, rows.positions, mask, fast=True)
        return network.logits(states, rows.last, self.store.yes, self.store.no)

    def note(self, name: str, hits: Tensor) -> None:
        hit = hits.mean()
        before = self.running.get(name)
        self.running[name] = hit if before is None else before * 0.96 + hit * 0.04

    def relevance_step(self) -> Tensor:
        drawn = [self.relevance.draw(self.sizes.lists // PARTS) for _ in range(PARTS)]
        lists = joined([made for _, made in drawn])
        rows = self.store.rows(lists.head, lists.documents, LIST_LENGTH)
        scores = self.scores(rows, self.network)
        loss, hits = relevance_loss(scores, lists)
        if self.before is not None:
            with torch.no_grad():
                before = self.scores(rows, self.before)
            moved = hold_loss(scores, before, lists.held)
            self.note("moved", moved.detach())
            loss = loss + HOLD * moved
        for (name, _), some in zip(drawn, hits.chunk(PARTS), strict=True):
            self.note(name, some)
        self.lists += self.sizes.lists
        return loss

    def preference_step(self, hard: float) -> Tensor:
        lists = self.preferences.draw(self.sizes.preferences, hard=hard)
        scores = self.scores(self.store.rows(lists.head, lists.documents, PREFERENCE_LENGTH), self.network)
        loss, both = preference_loss(scores, lists)
        self.note(f"both:{lists.kind}", both)
        self.lists += self.sizes.preferences
        return loss

    def train(self, clock: Clock | Ending, share_of_preferences: float, say: Say, save: Callable[[float], None],
              stop_at: float = 1.0) -> None:  # fmt: skip
        """Train until the clock ends, or until the share `stop_at` of it."""
        first = self.steps
        while (share := clock.read()) < stop_at:
            fall = 1.0 if share < FLAT else 0.03 + 0.97 * (1 - share) / (1 - FLAT)
            self.optimizer.rate(min(1.0, (self.steps - first + 1) / WARM_STEPS) * max(fall, 0.03))
            if self.shared.random() < share_of_preferences:
                loss = self.preference_step(hard=min(0.5, max(0.0, share - 0.3)))
            else:
                loss = self.relevance_step()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.steps += 1
            if self.steps - first == 12:
                clock.restart()
            if self.steps % 200 == 0:
                told = {name: round(float(value), 2) for name, value in sorted(self.running.items())}
                say(f"lists step {self.steps} {share:.2f} lists {self.lists}", told)
            if self.steps % 400 == 0:
                save(share)
