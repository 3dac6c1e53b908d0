"""A service with a collection and a golden set, whose parts the tests change between two runs."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import FakeReranker, HashEmbedder
from winnow.api.assemble import Services, wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.rerank.ranking import make_ranking
from winnow.rerank.reranker import Ranking
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Candidate

BIRDS: Final = ("heron", "stork", "crane", "gull", "wren", "robin", "finch", "swift", "kite", "owl")
QUERIES: Final = [f"where does the {bird} stand" for bird in BIRDS[:5]]
FOLD_SECONDS_MAX: Final = 300  # another process builds it, at a low priority
PLACES: Final = ("lake", "river", "roof", "field", "tower", "shore", "meadow", "forest")


class Scripted(FakeReranker):
    """Scores by the words of the passage, the instruction and its own seed; the same every time."""

    def __init__(self, name: str = "scripted", *, seed: int = 0, noise: float = 0.0) -> None:
        self.name = name
        self._seed = seed
        self._noise = noise  # added to every logit

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        logits = [self._logit(each.chunk.passage, instruction) + self._noise for each in candidates]
        return make_ranking(candidates, logits, judged_by=self.name, instruction_applied=True)

    def _logit(self, passage: str, instruction: str) -> float:
        return random.Random(f"{self._seed} {instruction} {passage}").uniform(-3, 3)


def documents(count: int, *, edition: str = "first", begin: int = 0) -> list[dict[str, Any]]:
    chance = random.Random(7)
    made = [
        {
            "id": f"d{number}",
            "text": f"{chance.choice(BIRDS)} at {chance.choice(PLACES)}, {edition} {chance.getrandbits(24):x}",
        }
        for number in range(begin + count)
    ]
    return made[begin:]


def services(
    folder: Path,
    tokenizer: PlainTokenizer,
    *rerankers: FakeReranker,
    revision: str = "a",
    runs_on: str = "cpu",
    embedder: HashEmbedder | None = None,
    **settings: Any,
) -> Services:
    """The first reranker is the default; all have this revision and run there."""
    embedding = LoadedEmbedder(embedder=embedder or HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging, *also = [
        LoadedReranker(reranker=each, runs_on=runs_on, device="cpu", revision=revision) for each in rerankers
    ]
    return wire(Settings(data=folder, **settings), embedding, judging, also=also)


@contextlib.contextmanager
def serving(parts: Services) -> Iterator[TestClient]:
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        yield client


def fill(client: TestClient, count: int = 60, **golden: Any) -> None:
    """Create the collection and its golden set."""
    assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
    upsert(client, documents(count))
    add_set(client, **golden)


def add_set(client: TestClient, **golden: Any) -> None:
    body = {"name": "everyday", "collection": "docs", "queries": [{"query": each} for each in QUERIES], **golden}
    added = client.post("/v1/stability/golden", json=body)
    assert added.status_code == 200, added.text


def fold(client: TestClient) -> None:
    """Build the index; on a busy machine an answer comes before it is built, and asking again waits for it."""
    deadline = time.monotonic() + FOLD_SECONDS_MAX
    while (status := client.post("/v1/collections/docs/fold").status_code) == 202:
        assert time.monotonic() < deadline, "the index is not built in time"
    assert status == 200


def upsert(client: TestClient, changed: list[dict[str, Any]]) -> None:
    for start in range(0, len(changed), 1_000):
        body = {"documents": changed[start : start + 1_000]}
        assert client.post("/v1/collections/docs/documents", json=body).status_code == 200


def run(client: TestClient, *, rebase: bool = False) -> Any:
    """Run the golden set, and return the run."""
    found = client.post("/v1/stability/runs", json={"name": "everyday", "rebase": rebase})
    assert found.status_code == 200, found.text
    return found.json()["run"]


def causes(run: Any) -> dict[str, str]:
    """The kinds of a run's causes, and how each was found."""
    return {each["kind"]: each["proof"] for each in run["causes"]}
