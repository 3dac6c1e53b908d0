"""Real processes over real models: the bundled pair where it is there, else a tiny one made on the spot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.orphans import ends_with_parent
from tests.tiny_models import write_embedder, write_reranker

PROJECT = Path(__file__).resolve().parents[2]
BUNDLED = PROJECT / "data" / "models"
DOCUMENTS = (
    {"_id": "refunds", "title": "Refunds", "text": "You may return goods bought online within fourteen days."},
    {"_id": "herons", "title": "Herons", "text": "The heron stands still in shallow water and strikes at fish."},
    {
        "_id": "退货",
        "title": "退货",
        "text": "消费者通过网络购买商品的，自收到商品之日起七日内有权退货。",
        "lang": "zh",
    },
    {"_id": "index", "title": "Index", "text": "An index is rebuilt from the store; search finds the nearest chunks."},
)
QUERIES = ({"_id": "q1", "text": "return goods bought online"}, {"_id": "q2", "text": "网上购买的商品可以退货吗"})
QRELS = "query-id\tcorpus-id\tscore\nq1\trefunds\t2\nq1\t退货\t1\nq2\t退货\t2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`winnow` as a person would start it, with these models and this data folder."""

    data: Path
    environment: dict[str, str]

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "winnow.api.cli", *arguments]

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Finished:
        done = subprocess.run(
            self.argv(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            env=self.environment | variables,
            cwd=PROJECT,
            check=False,
        )
        return Finished(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ends_with_parent(self.argv(*arguments)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment | variables,
            cwd=PROJECT,
        )


def write_corpus(folder: Path, documents: Sequence[dict[str, str]] = DOCUMENTS) -> Path:
    """A BEIR folder."""
    folder.mkdir(parents=True)
    for name, records in (("corpus", documents), ("queries", QUERIES)):
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(QRELS, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Which models the processes load, as variables."""
    if (BUNDLED / "winnow-embed").is_dir() and (BUNDLED / "winnow-rerank").is_dir():
        return {}
    folder = tmp_path_factory.mktemp("models")
    return {
        "WINNOW_EMBED_MODEL": str(write_embedder(folder / "embedder")),
        "WINNOW_RERANK_MODEL": str(write_reranker(folder / "reranker")),
    }


def command_in(data: Path, models: dict[str, str]) -> Command:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251
    threads = {"OMP_NUM_THREADS": "2"}  # at most, unless the tests themselves were started with another number
    return Command(data=data, environment=threads | inherited | models | {"WINNOW_DATA": str(data)})


@pytest.fixture
def winnow(tmp_path: Path, models: dict[str, str]) -> Command:
    """With an empty data folder of its own."""
    return command_in(tmp_path / "data", models)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "four")


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str], corpus: Path) -> Command:
    """With the collection `four`. Tests that share it leave it as it is."""
    command = command_in(tmp_path_factory.mktemp("shared") / "data", models)
    done = command.run("index", str(corpus), "--collection", "four")
    assert done.code == 0, done.err
    return command
