"""The mteb models, in `mteb.evaluate`, against a real service."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

pytest.importorskip("mteb", reason="mteb is not installed here: python -m tests.frameworks.run")

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from tests.frameworks.conftest import CHINESE_FIRST, CORPUS
from winnow_client import Client
from winnow_client.mteb import WinnowEncoder, WinnowSearch


def metadata(name: str, kind: str) -> TaskMetadata:
    unsaid: dict[str, Any] = dict.fromkeys(
        ("reference", "date", "domains", "task_subtypes", "license", "annotations_creators", "dialect",
         "sample_creation", "bibtex_citation")
    )  # fmt: skip
    return TaskMetadata(
        name=name,
        description="The project's own corpus.",
        dataset={"path": "data/corpus", "revision": "1"},
        type=kind,
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn", "cmn-Hans"],
        main_score="ndcg_at_10",
        **unsaid,
    )


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / name).read_text(encoding="utf-8").splitlines()]


def judgments() -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for line in (CORPUS / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        found.setdefault(query, {})[document] = int(grade)
    return found


class OwnRetrieval(AbsTaskRetrieval):
    """Every sixth query of data/corpus."""

    metadata = metadata("OwnRetrieval", "Retrieval")
    instruction: ClassVar[str | None] = None
    top_ranked: ClassVar[bool] = False

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        judged = judgments()
        queries = [each for each in rows("queries.jsonl") if each["_id"] in judged][::6]
        asked = {} if self.instruction is None else {"instruction": self.instruction}
        corpus = [{"id": each["_id"], "title": each["title"], "text": each["text"]} for each in rows("corpus.jsonl")]
        relevant = {each["_id"]: judged[each["_id"]] for each in queries}
        beside = [each["id"] for each in corpus[::20]]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(corpus),
                    "queries": Dataset.from_list(
                        [{"id": each["_id"], "text": each["text"], **asked} for each in queries]
                    ),
                    "relevant_docs": relevant,
                    "top_ranked": {id_: [*beside, *(set(relevant[id_]) - set(beside))] for id_ in relevant}
                    if self.top_ranked
                    else None,
                }
            }
        }
        self.data_loaded = True


class OwnReranking(OwnRetrieval):
    """The same queries; the documents to rerank are the relevant ones and eleven others."""

    metadata = metadata("OwnReranking", "Reranking")
    top_ranked = True


class OwnInstructions(OwnRetrieval):
    """The same queries, each with an instruction."""

    metadata = metadata("OwnInstructions", "InstructionRetrieval")
    instruction = CHINESE_FIRST


def score_of(model: WinnowSearch | WinnowEncoder, task: AbsTaskRetrieval) -> float:
    result = mteb.evaluate(model, task, cache=None, show_progress_bar=False)
    score: float = result[0].get_score()
    return score


@pytest.fixture
def names(url: str) -> Iterator[Any]:
    """Names of the collections that a test has made, asked for when called; it leaves none behind."""
    with Client(url, key=key()) as client:
        before = {each["name"] for each in client.collections()}

        def made() -> list[str]:
            return [each["name"] for each in client.collections() if each["name"] not in before]

        yield made
        assert made() == []


def key() -> str:
    return os.environ["WINNOW_API_KEY"]  # noqa: TID251


def test_the_whole_pipeline_is_evaluated(url: str, names: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Recall alone and with the reranker; the corpus is written and deleted again, and the limit is warned about."""
    with caplog.at_level(logging.WARNING, "winnow_client"), WinnowSearch(url, key=key(), rerank=False) as model:
        recalled = score_of(model, OwnRetrieval())
        (made,) = names()
        assert made.startswith("mteb-ownretrieval-default-test-")
        assert model.mteb_model_meta.name == "winnow/winnow-embed"
    assert "200 documents, not 1000" in caplog.text
    with WinnowSearch(url, key=key(), candidates=10) as model:
        reranked = score_of(model, OwnRetrieval())
        assert model.mteb_model_meta.name == "winnow/winnow-embed+winnow-rerank"
        assert model.mteb_model_meta.experiment_kwargs == {"rerank": True, "candidates": 10}
    assert min(recalled, reranked) > 0.3


def test_the_embedder_is_evaluated(url: str) -> None:
    """Close to dense recall, which differs in that it compares a document chunk by chunk, below its headings."""
    encoder = WinnowEncoder(url, key=key())
    with WinnowSearch(url, key=key(), rerank=False, recall="dense") as search:
        assert score_of(encoder, OwnRetrieval()) == pytest.approx(score_of(search, OwnRetrieval()), abs=0.05)
    encoder.close()


def test_reranking_writes_nothing(url: str, names: Any) -> None:
    with WinnowSearch(url, key=key()) as model:
        assert score_of(model, OwnReranking()) > 0.6
        assert names() == []


def test_instructions_of_a_task_reach_the_reranker(url: str) -> None:
    """They change what comes first, as the model's own instruction does."""
    with WinnowSearch(url, key=key(), candidates=10) as model:
        by_task = score_of(model, OwnInstructions())
        plain = score_of(model, OwnRetrieval())
    with WinnowSearch(url, key=key(), candidates=10, instruction=CHINESE_FIRST) as model:
        by_model = score_of(model, OwnRetrieval())
    assert by_task == by_model != plain
