"""Trains the default pair on all GPUs for a given number of seconds, saved and resumed.

    torchrun --nproc-per-node N -m training.gpu.train --texts FILE --tokens FILE --packed DIR --models data/models \\
        --out DIR --embedder-seconds 60 --next-seconds 80 --list-seconds 700

Phases: teachers' vectors (saved in --out), the embedder, mining, next tokens, lists. Each phase ends by the clock and
is not repeated if --out has its result; lists resume from the last save. It also runs without a GPU, slowly: first try
every run that way, with --scale 0.02 and a few seconds.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch

from training.bag import Bag
from training.gpu import embedder
from training.gpu.lessons import Lessons
from training.gpu.network import DEVICE, ON_GPU, Network, read_weights
from training.gpu.preferences import PreferenceLists
from training.gpu.processes import Clock, Ending, Processes
from training.gpu.relevance import RelevanceLists
from training.gpu.reranker import ListTraining, NextTokens, Optimizer, Sizes, start_rows
from training.gpu.store import Store

SHAPE = {"hidden": 384, "inner": 576, "heads": 6, "kv": 3, "layers": 5}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("texts", "tokens", "packed", "models", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name, value in (("embedder", 60.0), ("next", 80.0), ("list", 600.0)):
        parser.add_argument(f"--{name}-seconds", type=float, default=value)
    parser.add_argument(
        "--list-stop", type=float, default=1.0, help="stop after this share of the lists, to resume later"
    )
    parser.add_argument("--until", type=Path, help="file with the epoch second at which lists end, which may be moved "
                        "while they run, instead of --list-seconds")  # fmt: skip
    parser.add_argument("--preferences", type=float, default=0.38, help="share of the steps for preference lists")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for all batch sizes")
    for name in ("layers", "inner"):
        parser.add_argument(f"--{name}", type=int, default=SHAPE[name])
    parser.add_argument(
        "--earlier", type=Path, help="folder of an earlier run (embedder.pt, reranker.pt), or of exported models"
    )
    parser.add_argument("--hold", type=Path, help="a reranker whose order is held where no preference is asked for")
    parser.add_argument("--memory", type=float, help="share of the GPU's memory that this process may take")
    parser.add_argument("--vectors", type=Path, help="folder of the teachers' vectors, shared by runs; default: --out")
    parser.add_argument(
        "--part", type=part, default=(0, 1), help="K/N: only the K-th of N parts of the questions with a translation"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="factor for the reranker's learning rates")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--dense", action="store_true", help="use a plain mask instead of flex attention")
    return parser.parse_args()


def part(text: str) -> tuple[int, int]:
    """K/N as (K - 1, N). ValueError unless 1 <= K <= N, which argparse reports."""
    number, parts = (int(side) for side in text.split("/"))
    if not 1 <= number <= parts:
        raise ValueError(text)
    return number - 1, parts


class Run:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.processes = arguments, Processes()
        self.began = time.monotonic()
        self.out: Path = arguments.out
        self.out.mkdir(parents=True, exist_ok=True)
        seed = arguments.seed * 1_000 + self.processes.rank
        torch.manual_seed(seed)
        torch.set_float32_matmul_precision("high")
        if arguments.memory and ON_GPU:
            torch.cuda.set_per_process_memory_fraction(arguments.memory)
        self.rng, self.shared = random.Random(seed), random.Random(arguments.seed)
        self.store = Store(arguments.tokens, arguments.models / "winnow-rerank" / "tokenizer.json")
        self.say("store read", self.store.counts)
        self.lessons = Lessons(self.store, arguments.texts, arguments.packed, self.processes,
                               arguments.vectors or self.out)  # fmt: skip
        self.say("teachers' vectors", len(self.lessons.passages), len(self.lessons.questions), len(self.lessons.crops))
        self.lessons.mine()
        self.say("mined", {name: len(one.questions) for name, one in self.lessons.mined.items()})
        self.relevance = RelevanceLists(self.lessons, self.rng)
        self.preferences = PreferenceLists(self.lessons, self.rng, part=arguments.part)
        shares = sorted(zip(self.relevance.weights, self.relevance.groups, strict=True), reverse=True)
        self.say("groups", [(f"{kind}:{name}", round(weight, 3)) for weight, (kind, name) in shares[:60]])

    def say(self, *words: object) -> None:
        if self.processes.is_first:
            print(f"[{time.monotonic() - self.began:6.1f}]", *words, flush=True)

    def rows(self, count: int) -> int:
        return max(4, int(count * self.arguments.scale) // 4 * 4)

    def embedder(self) -> Bag:
        bag = Bag(seed=1).to(DEVICE)
        done = self.out / "embedder.pt"
        if done.exists():
            bag.load_state_dict(torch.load(done, map_location=DEVICE))
            return bag
        earlier = self.arguments.earlier / "embedder.pt" if self.arguments.earlier else None
        if earlier and earlier.exists():
            bag.load_state_dict(torch.load(earlier, map_location=DEVICE))
        else:
            embedder.read_back(bag, self.arguments.models / "winnow-embed" / "model.safetensors", self.store.end)
        embedding = embedder.Embedding(self.lessons, self.relevance, bag, self.rng)
        clock = Clock(self.processes, self.arguments.embedder_seconds)
        steps = embedder.train(embedding, self.processes, clock, rows=self.rows(embedder.BATCH), say=self.say)
        self.say("embedder", steps, "steps")
        if self.processes.is_first:
            torch.save({name: value.float().cpu() for name, value in bag.state_dict().items()}, done)
        return bag

    def held(self) -> Network:
        shape, weights = read_weights(self.arguments.hold)
        network = Network(shape, compiled=ON_GPU, flexible=ON_GPU and not self.arguments.dense)
        network.load_state_dict({name: value.float() for name, value in weights.items()})
        return network.to(DEVICE).requires_grad_(requires_grad=False)

    def reranker(self, bag: Bag) -> None:
        arguments = self.arguments
        shape = {**SHAPE, "layers": arguments.layers, "inner": arguments.inner}
        network = Network(shape, compiled=ON_GPU, flexible=ON_GPU and not arguments.dense).to(DEVICE)
        self.processes.same(network.parameters())
        optimizer = Optimizer(network, self.processes)
        optimizer.factor = arguments.rate
        sizes = Sizes(next_rows=self.rows(256), lists=self.rows(96), preferences=self.rows(192))
        before = self.held() if arguments.hold else None
        training = ListTraining(optimizer, self.relevance, self.preferences, sizes, shared=self.shared, before=before)
        saved = self.out / "reranker.state.pt"
        used = 0.0
        if saved.exists():
            state = torch.load(saved, map_location=DEVICE)
            network.load_state_dict(state["network"])
            optimizer.load(state["optimizer"])
            training.steps, training.lists = state["steps"], state["lists"]
            used = state["share"]
            self.say("resumed at", used)
        elif arguments.earlier:
            saved_before = arguments.earlier / "reranker.pt"
            exported = arguments.earlier / "winnow-rerank"
            network.load_state_dict(read_weights(saved_before if saved_before.exists() else exported)[1])
        else:
            head = start_rows(network, bag.rows.detach().float())
            self.processes.same(network.parameters())
            tokens = NextTokens(self.store, self.lessons.query_passage, head, optimizer)
            clock = Clock(self.processes, arguments.next_seconds)
            self.say("next tokens", tokens.train(self.processes, clock, sizes.next_rows, self.say), "steps")

        def save(share: float) -> None:
            if self.processes.is_first:
                beside = saved.with_suffix(".part")
                torch.save({"network": network.state_dict(), "optimizer": optimizer.state(), "share": share,
                            "steps": training.steps, "lists": training.lists, "shape": shape}, beside)  # fmt: skip
                beside.replace(saved)
                weights = {name: value.to(torch.bfloat16).cpu() for name, value in network.state_dict().items()}
                torch.save({"shape": shape, "weights": weights}, self.out / "reranker.part")
                (self.out / "reranker.part").replace(self.out / "reranker.pt")

        until: Clock | Ending = Clock(self.processes, arguments.list_seconds, used=used * arguments.list_seconds)
        if arguments.until:
            until = Ending(self.processes, arguments.until, used=used)
        training.train(until, arguments.preferences, self.say, save, arguments.list_stop)
        save(until.share)
        self.say("lists", training.lists, "steps", training.steps)

    def end(self) -> None:
        if ON_GPU:
            self.say("peak GiB", torch.cuda.max_memory_allocated() / 2**30)
        self.processes.close()


def main() -> None:
    run = Run(options())
    run.reranker(run.embedder())
    run.end()


if __name__ == "__main__":
    main()
