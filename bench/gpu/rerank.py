"""Speed of POST /v1/rerank on one GPU, compared with vLLM's own /v1/rerank and with plain /classify, in one run.

    python -m bench.gpu.rerank --tokenizer FOLDER --vllm-python "env PYTHONPATH=... python3" --out FILE.jsonl
    python -m bench.gpu.rerank --read FILE.jsonl

Three ways to the same scores, over the same texts and with the same prompts, token for token (checked):

    stock    vLLM's POST /v1/rerank, with a correct chat template for this model
    bare     vLLM's POST /classify with ids and bodies prepared beforehand; for a server with `front` in its name this
             is api/vllm/front, which has no /v1/rerank
    winnow   POST /v1/rerank of a winnow process, from texts to texts; "winnow 2" has two such vLLM servers, both on
             this GPU: while one waits for its host the other computes

Weights are random, texts are new in every request, and every way has its own part of vLLM's prefix cache: nothing is
cached but the prefix that prompts share. All servers of a run share one GPU and are called in turn, so that other load
on the machine affects all of them. First every setting is tried briefly; then the best for each number format is
measured, one request at a time and several at once. Every figure is written to the file as soon as it is known: a run
that is killed has measured something.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.gpu.client import Caller, Refused, Timed, burst
from bench.gpu.models import SHAPES, WINDOW, Shape, chat_template, write_folder
from bench.gpu.report import as_text
from bench.gpu.rows import Rows, run_or_read
from bench.gpu.servers import (
    HOST,
    Server,
    card,
    difference,
    free_port,
    metrics,
    start,
    vllm_command,
    wait,
    winnow_command,
)
from bench.gpu.texts import Asked, Requests
from bench.gpu.variants import flags_of, launcher_of
from winnow.rerank.vllm_reranker import FIRST_PORTION_TOKENS, SHARED_SECONDS

STOCK: Final = "stock"
BARE: Final = "bare"
WINNOW: Final = "winnow"
BF16: Final = "bf16"
WINNOW_TWINS: Final = "winnow 2"
PATHS: Final = {STOCK: "/v1/rerank", BARE: "/classify", WINNOW: "/v1/rerank", WINNOW_TWINS: "/v1/rerank"}
WHOLE: Final = "whole"  # no prompt is split over two steps
TWINS: Final = "twins"  # a second server of the same kind
FRONT: Final = "front"  # vLLM's engine behind api/vllm/front instead of vLLM's own server
TRIED: Final = "tried"
MEASURED: Final = "measured"
PROCESS_SECONDS: Final = 60  # for winnow's own start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Way:
    """One way to a vLLM server."""

    name: str
    server: Server  # the vLLM server that computes
    port: int  # of the process that is called
    slice: str | None = None  # tokens per request, or with those of the first portion, as in --slices
    keys: tuple[str, ...] = ()  # of its tenants

    @property
    def is_winnow(self) -> bool:
        return self.name in {WINNOW, WINNOW_TWINS}

    @property
    def said(self) -> dict[str, Any]:
        return {"server": self.server.name, "way": self.name, "slice": self.slice}

    def caller(self) -> Caller:
        return Caller(self.port, PATHS[self.name], self.keys[0] if self.keys else None)

    def body(self, asked: Asked) -> bytes:
        return asked.ids if self.name == BARE else asked.texts

    def counts_rightly(self, timed: Timed, asked: Asked) -> bool:
        """Whether both sides read the same number of tokens."""
        return bool(timed.body["usage"]["total_tokens"] == (asked.tokens if self.is_winnow else asked.prompt_tokens))


class Bench:
    """The servers, and the phases of a run."""

    def __init__(self, arguments: argparse.Namespace, rows: Rows, folder: Path) -> None:
        self.arguments = arguments
        self.rows = rows
        self.folder = folder
        self.began = time.monotonic()
        self.servers: list[Server] = []
        self.twins: dict[str, Server] = {}  # by the server that they copy
        self.services: list[Server] = []
        self._seed = 0

    def left(self) -> float:
        """Seconds left of the budget."""
        return float(self.arguments.budget - (time.monotonic() - self.began))

    def run(self) -> None:
        shape = SHAPES[self.arguments.shape]
        self.rows.add("run", arguments=vars(self.arguments) | {"layer_weights": shape.layer_weights})
        if not self.arguments.no_card:
            self.rows.add("card", **card())
        try:
            model = self._started_models(shape)
            self.requests = Requests(model, documents=self.arguments.documents, tokens_max=WINDOW)
            every = [*self.servers, *self.twins.values()]
            wait(every, "/health", until=self.began + self.arguments.start_seconds)
            self._note(every)
            self.rows.add(
                "vllm", version=[json.loads(server.get("/version")) for server in self.servers if server.is_up]
            )
            ways = list(self._ways(model))
            self._note(self.services)
            ways = self._compared(ways)
            if not ways:
                return
            self._one_at_a_time(ways, TRIED, seconds=self.arguments.try_seconds)
            best = self._best(ways)
            self._one_at_a_time(best, MEASURED, seconds=self.arguments.one_seconds)
            self._at_once(best, seconds=self.left() - self.arguments.spare_seconds)
        finally:
            for server in [*self.services, *self.servers, *self.twins.values()]:
                server.stop()

    def _started_models(self, shape: Shape) -> Path:
        model = self.arguments.model
        if model is None:
            model = self.folder / self.arguments.shape
            write_folder(model, shape, self.arguments.tokenizer)
        template = self.folder / "rerank.jinja"
        template.write_text(chat_template(), encoding="utf-8")
        for spec in self.arguments.servers.split(","):
            number, batched, *more = spec.split(":")
            extra = [*self.arguments.extra.split(), "--max-num-batched-tokens", batched]
            extra += ["--quantization", number] if number.startswith("fp8") else []
            extra += [] if self.arguments.model else ["--load-format", "dummy"]
            extra += ["--no-enable-chunked-prefill"] if WHOLE in more else []
            extra += flags_of(more)
            name = "-".join((number, batched, *(each for each in more if each != TWINS)))
            template_or_none = None if FRONT in more else template
            launcher = launcher_of(more)
            self.servers.append(self._started(name, model, template_or_none, extra, launcher))
            if TWINS in more:
                self.twins[name] = self._started(f"{name}-twin", model, template_or_none, extra, launcher)
        return Path(model)

    def _started(
        self, name: str, model: Path, template: Path | None, extra: Sequence[str], launcher: Sequence[str]
    ) -> Server:
        """Start a server. Our own front needs no template."""
        port = free_port()
        command = vllm_command(
            self.arguments.vllm_python,
            model,
            port,
            is_reranker=True,
            template=template,
            extra=extra,
            by_our_front=template is None,
            launcher=launcher,
        )
        return start(name, command, port, self.arguments.logs)

    def _ways(self, model: Path) -> Iterator[Way]:
        """Start winnow's processes together, one for each server and slice size."""
        up = [server for server in self.servers if server.is_up]
        begun: list[tuple[Server, str, str, Server]] = []
        for server in up:
            twin = self.twins.get(server.name)
            for size in self.arguments.slices.split(","):
                tokens, _, portion = size.partition("/")
                for way, behind in ((WINNOW, [server]), (WINNOW_TWINS, [server, twin])):
                    if all(each is not None and each.is_up for each in behind):
                        name, port = f"{way.replace(' ', '-')}-{server.name}-{size.replace('/', '-')}", free_port()
                        urls = ",".join(f"http://{HOST}:{each.port}" for each in behind if each is not None)
                        command = winnow_command(
                            urls, model, port, self.folder / name, slice_tokens=int(tokens),
                            tenants=self.arguments.tenants, shared_seconds=self.arguments.shared_seconds,
                            first_portion=int(portion) if portion else FIRST_PORTION_TOKENS,
                        )  # fmt: skip
                        begun.append((server, way, size, start(name, command, port, self.arguments.logs)))
        self.services = [service for *_, service in begun]
        wait(self.services, "/healthz", until=time.monotonic() + PROCESS_SECONDS)
        for server in up:
            if FRONT not in server.name.split("-"):
                yield Way(name=STOCK, server=server, port=server.port)
            yield Way(name=BARE, server=server, port=server.port)
            for owner, way, size, service in begun:
                if owner is server and service.is_up:
                    keys = _keys(self.folder / service.name)
                    yield Way(name=way, server=server, port=service.port, slice=size, keys=keys)

    def _note(self, servers: Sequence[Server]) -> None:
        for server in servers:
            said = {"server": server.name, "command": server.command, "seconds": server.seconds_to_start}
            self.rows.add("server", **said, log=None if server.is_up else server.end_of_log)

    def _draw(self, length: int) -> Asked:
        self._seed += 1
        return self.requests.draw(length, seed=self._seed)

    def _lengths(self) -> list[int]:
        return [int(length) for length in self.arguments.lengths.split(",")]

    def _compared(self, ways: Sequence[Way]) -> list[Way]:
        """Warm up every way, then check that scores and tokens of all agree on one request. Drops those that fail."""
        good = []
        theirs: dict[tuple[str, int], list[float]] = {}
        warm = self._draw(self._lengths()[0])
        same = [self._draw(length) for length in self._lengths()]
        for way in ways:
            caller = way.caller()
            try:
                caller.ask(way.body(warm))
                for length, asked in zip(self._lengths(), same, strict=True):
                    timed = caller.ask(way.body(asked))
                    scores = _scores(way, timed.body)
                    stock = theirs.setdefault((way.server.name, length), scores)
                    self.rows.add(
                        "compared", **way.said, length=length, tokens_agree=way.counts_rightly(timed, asked),
                        prompt_tokens=asked.prompt_tokens, tokens=asked.tokens, lowest=min(scores), highest=max(scores),
                        apart=max(abs(one - other) for one, other in zip(scores, stock, strict=True)),
                    )  # fmt: skip
                good.append(way)
            except (Refused, OSError) as error:
                self.rows.add("failed", **way.said, error=repr(error))
            finally:
                caller.close()
        return good

    def _one_at_a_time(self, ways: Sequence[Way], phase: str, *, seconds: float) -> None:
        """Rounds over all ways and lengths, with new texts each, until time is up; at least one."""
        until = time.monotonic() + min(seconds, self.left() - self.arguments.spare_seconds)
        for number in range(self.arguments.rounds):
            if number and time.monotonic() > until:
                return
            for length in self._lengths():
                asked = self._draw(length)
                turned = number % len(ways)
                for way in [*ways[turned:], *ways[:turned]]:
                    self._ask_once(way, asked, phase=phase, length=length)

    def _ask_once(self, way: Way, asked: Asked, *, phase: str, length: int) -> None:
        caller = way.caller()
        before = metrics(way.server)
        try:
            timed = caller.ask(way.body(asked))
        except (Refused, OSError) as error:
            self.rows.add("failed", **way.said, phase=phase, error=repr(error))
            return
        finally:
            caller.close()
        spent = difference(before, metrics(way.server))
        shared = (asked.prompt_tokens - asked.tokens) // (asked.documents - 1)
        self.rows.add(
            "one", **way.said, phase=phase, length=length, ms=round(timed.ms, 2), documents=asked.documents,
            prompt_tokens=asked.prompt_tokens, tokens=asked.tokens, tokens_agree=way.counts_rightly(timed, asked),
            only_shared_was_cached=spent["tokens_cached"] <= asked.documents * shared, vllm=spent,
        )  # fmt: skip

    def _best(self, ways: Sequence[Way]) -> list[Way]:
        """All stock in bf16; for each number format winnow's fastest settings, and every bare server of it."""
        chosen = [way for way in ways if way.name == STOCK and way.server.name.startswith(BF16)]
        for number in dict.fromkeys(way.server.name.partition("-")[0] for way in ways):
            for name in (WINNOW, WINNOW_TWINS):
                ours = [way for way in ways if way.name == name and way.server.name.startswith(f"{number}-")]
                if not ours:
                    continue
                winner = min(ours, key=self._cost)
                self.rows.add("chosen", **winner.said)
                chosen += [way for way in ways if way.name == BARE and way.server.name.startswith(f"{number}-")]
                chosen += [way for way in ways if way.name == STOCK and way.server is winner.server] + [winner]
        return list(dict.fromkeys(chosen))

    def _cost(self, way: Way) -> float:
        """Time it takes, with equal weight for all lengths."""
        found = [
            median(times) / length
            for length in self._lengths()
            if (times := [row["ms"] for row in self.rows.of("one", **way.said, phase=TRIED, length=length)])
        ]
        return sum(found) if found else float("inf")

    def _at_once(self, ways: Sequence[Way], *, seconds: float) -> None:
        until = time.monotonic() + seconds
        for number in range(self.arguments.rounds):
            for length in self._lengths():
                bodies = [self._draw(length) for _ in range(self.arguments.at_once)]
                turned = number % len(ways)
                for way in [*ways[turned:], *ways[:turned]]:
                    if number and time.monotonic() > until:
                        return
                    self._ask_many(way, bodies, length, way.keys[:1])
                    if len(way.keys) > 1:
                        fresh = [self._draw(length) for _ in range(self.arguments.at_once)]
                        self._ask_many(way, fresh, length, way.keys)

    def _ask_many(self, way: Way, bodies: Sequence[Asked], length: int, keys: Sequence[str]) -> None:
        try:
            found = burst(way.port, PATHS[way.name], [way.body(asked) for asked in bodies], keys)
        except (Refused, OSError) as error:
            self.rows.add("failed", **way.said, phase="at once", error=repr(error))
            return
        agree = all(way.counts_rightly(*pair) for pair in zip(found.answers, bodies, strict=True))
        kind = "tenants" if len(keys) > 1 else "many"
        self.rows.add(
            kind, **way.said, length=length, seconds=round(found.seconds, 3), requests=len(bodies),
            documents=sum(asked.documents for asked in bodies), tokens=sum(asked.tokens for asked in bodies),
            ms=[round(timed.ms, 1) for timed in found.answers], tokens_agree=agree,
        )  # fmt: skip


def _keys(data: Path) -> tuple[str, ...]:
    file = data / "keys.json"
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else ()


def _scores(way: Way, body: dict[str, Any]) -> list[float]:
    """Scores in the order of the documents."""
    if way.name == BARE:
        return [row["probs"][0] for row in sorted(body["data"], key=lambda row: int(row["index"]))]
    return [row["relevance_score"] for row in sorted(body["results"], key=lambda row: int(row["index"]))]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", type=Path, help="only print the table of an earlier run")
    parser.add_argument("--out", type=Path, default=Path("gpu-rerank.jsonl"))
    parser.add_argument("--logs", type=Path, default=Path("/tmp"), help="folder for the servers' logs")  # noqa: S108
    parser.add_argument("--tokenizer", type=Path, help="folder with Qwen3's tokenizer")
    parser.add_argument("--model", type=Path, help="folder with weights, instead of random ones")
    parser.add_argument("--shape", choices=SHAPES, default="4b")
    parser.add_argument("--vllm-python", default=sys.executable, help="how to run a Python that has vLLM")
    parser.add_argument(
        "--servers",
        default="bf16:8192,bf16:16384,fp8:16384",
        help="format:batched tokens[:whole][:twins][:front][:variant of it], ...",
    )
    parser.add_argument(
        "--slices", default="8192,16384,65536", help="tokens per request from winnow[/of its first portion]"
    )
    parser.add_argument("--extra", default="", help="additional flags for every vLLM server")
    parser.add_argument("--lengths", default="128,512", help="of documents, in tokens")
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=30, help="maximum per phase")
    parser.add_argument("--budget", type=float, default=500.0, help="seconds for the whole run")
    parser.add_argument("--start-seconds", type=float, default=240.0)
    parser.add_argument("--try-seconds", type=float, default=80.0)
    parser.add_argument("--one-seconds", type=float, default=110.0)
    parser.add_argument("--spare-seconds", type=float, default=30.0, help="kept for stopping")
    parser.add_argument("--tenants", type=int, default=0, help="winnow also serves so many in turn, 16 at once")
    parser.add_argument("--shared-seconds", type=float, default=SHARED_SECONDS, help="of work in flight meanwhile")
    parser.add_argument("--no-card", action="store_true")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    run_or_read(arguments, as_text, lambda rows, folder: Bench(arguments, rows, folder).run())


if __name__ == "__main__":
    main()
