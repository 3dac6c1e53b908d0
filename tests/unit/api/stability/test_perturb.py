"""Disturbed searches: what they look like, and that our own runtime keeps the first place."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.fakes import FailingReranker
from tests.unit.api.stability.watched import QUERIES, Scripted, documents, fill, services, serving
from winnow.api.cli.main import app
from winnow.api.stability.disturbances import (
    OF_QUERY,
    Disturbance,
    letter_case,
    punctuation,
    script,
    typo,
    white_space,
    width,
)
from winnow.api.stability.perturb import Perturbation
from winnow.rerank.ranking import make_ranking
from winnow.rerank.reranker import Ranking
from winnow.retrieval.errors import RerankTimeout
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

CHANCE = random.Random(1)


@pytest.mark.parametrize(
    ("disturb", "query", "expected"),
    [
        (white_space, "how long", " how  long "),
        (letter_case, "how Long", "HOW LONG"),
        (letter_case, "ABC", "abc"),
        (letter_case, "退货", None),
        (width, "a 1?", "ａ　１？"),
        (width, "ａ１", "a1"),
        (width, "退货", None),
        (script, "洗头发", "洗頭髮"),
        (script, "出发", "出發"),
        (script, "皇后的頭髮", "皇后的头发"),
        (script, "hair", None),
        (punctuation, "how long?", "how long"),
        (punctuation, "how long", "how long?"),
        (punctuation, "退货", "退货？"),
        (typo, "at sea", None),
        (typo, "退货吗", None),
    ],
)
def test_a_query_is_disturbed(disturb: Any, query: str, expected: str | None) -> None:
    """Chinese scripts by words, not by characters: 发 is 髮 or 發."""
    assert disturb(query, CHANCE) == expected


@given(st.text(min_size=1, max_size=60), st.sampled_from(sorted(OF_QUERY)), st.integers())
def test_every_disturbance_changes_the_query_or_does_not_apply(query: str, kind: str, seed: int) -> None:
    """It is the same each time with the same seed, and never an empty query."""
    disturb = OF_QUERY[Disturbance(kind)]
    found = disturb(query, random.Random(seed))
    assert found == disturb(query, random.Random(seed))
    if query.strip():
        assert found is None or (found != query and found.strip())


def test_a_typo_is_one_typo() -> None:
    """Two neighbours swapped inside a word, or one Chinese character less."""
    found = typo("where does the heron stand", CHANCE)
    assert found is not None
    assert sorted(found) == sorted("where does the heron stand")
    assert sum(one != other for one, other in zip(found, "where does the heron stand", strict=True)) == 2
    assert len(typo("七日内有权退货", CHANCE) or "") == 6


class ByOrder(Scripted):
    """Scores by the place in the call, as a reranker that reads its candidates together might."""

    def ranking(self, query: str, candidates: Any, instruction: str) -> Ranking:
        return make_ranking(candidates, [-float(place) for place in range(len(candidates))], judged_by=self.name)


async def tried(folder: Path, tokenizer: PlainTokenizer, reranker: Scripted) -> dict[Disturbance, Any]:
    parts = services(folder, tokenizer, reranker)
    with serving(parts) as client:
        fill(client, 40)
    golden = parts.replays.book.golden_set(DEFAULT_TENANT, "everyday")
    questions = [
        parts.replays.question(golden, each.query) for each in parts.replays.book.queries(DEFAULT_TENANT, "everyday")
    ]
    paraphrases = {questions[0].query: ["heron place", "the heron's place"]}
    perturbation = Perturbation(parts.search, timeout_ms=30_000, paraphrases=paraphrases)
    return {each.kind: each for each in await perturbation.run(questions, list(Disturbance))}


async def test_flips_are_counted_by_kind(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """A reranker that scores each passage alone keeps its order; one that does not is found out."""
    alone = await tried(tmp_path / "alone", tokenizer, Scripted())
    for kind in (Disturbance.CANDIDATE_ORDER, Disturbance.BATCHES, Disturbance.NEAR_DUPLICATE):
        assert (alone[kind].tries >= len(QUERIES), alone[kind].flips, alone[kind].overlap) == (True, 0, 1.0)
        assert alone[kind].score_shift_max == 0.0
    assert alone[Disturbance.PARAPHRASE].tries == 2
    assert (alone[Disturbance.SCRIPT].tries, alone[Disturbance.SCRIPT].flip_rate) == (0, None)
    assert alone[Disturbance.WHITE_SPACE].tries == len(QUERIES)
    together = await tried(tmp_path / "together", tokenizer, ByOrder())
    assert together[Disturbance.CANDIDATE_ORDER].flips > len(QUERIES)
    assert (
        together[Disturbance.CANDIDATE_ORDER].examples[0].before
        != together[Disturbance.CANDIDATE_ORDER].examples[0].after
    )


async def test_a_failing_reranker_is_no_flip(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Recall's order would look like one, so the error is raised."""
    parts = services(tmp_path / "data", tokenizer, FailingReranker(RerankTimeout("too slow")))
    with serving(parts) as client:
        fill(client, 10)
    question = parts.replays.question(parts.replays.book.golden_set(DEFAULT_TENANT, "everyday"), "where is the heron")
    with pytest.raises(RerankTimeout):
        await Perturbation(parts.search, timeout_ms=30_000).run([question], [Disturbance.WHITE_SPACE])


def test_our_own_runtime_keeps_the_first_place(tmp_path: Path) -> None:
    """The bundled pair, in any order and in any batches, under an instruction that gives relevance weight: 0 flips."""
    import json

    folder = tmp_path / "data"
    corpus = tmp_path / "corpus.jsonl"
    zh = ["七日内可以退货，不需要理由。", "退款在十四天内支付。", "数字内容打开后不能退货。", "春节期间不发货。"]
    texts = [each["text"] for each in documents(20)] + zh
    corpus.write_text(
        "".join(json.dumps({"id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(texts)), "utf-8"
    )
    runner = CliRunner()

    def winnow(*words: str) -> Any:
        done = runner.invoke(app, [*words, "--data", str(folder), "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    winnow("index", str(corpus), "--collection", "docs")
    queries = ["where is the heron", "什么时候可以退货", "when is a refund paid"]
    words = [word for query in queries for word in ("--query", query)]
    winnow(
        "stability", "golden", "add", "everyday", "--collection", "docs", *words,
        "--instruction-name", "builtin/legal-statutes",
    )  # fmt: skip
    found = winnow("stability", "perturb", "everyday")
    kinds = {each["kind"]: each for each in found["kinds"]}
    for kind in ("candidate-order", "batch-composition"):
        assert (kinds[kind]["flips"], kinds[kind]["overlap_at_10"]) == (0, 1.0)
        assert kinds[kind]["tries"] >= 3
        assert 0.0 <= kinds[kind]["score_shift_max"] < 1e-5
    assert kinds["chinese-script"]["tries"] == 1
    assert "paraphrase" not in kinds
