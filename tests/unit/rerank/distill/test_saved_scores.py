"""A teacher is asked once for each query and passage, whatever kills the run between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import PrefersWord
from winnow.rerank.distill.saved_scores import SavedScores, ScoredBy
from winnow.rerank.distill.scoring import Question, Scoring, is_scored, split
from winnow.rerank.reranker import Ranking
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.records import Candidate, FieldLines, candidates_of

TEACHER = ScoredBy(name="large", revision="sha256:1", prompt="i")


class Counting:
    """Counts what a reranker is asked. Implements `Reranker`."""

    name = "large"
    reads_instruction = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._inner = PrefersWord("refund")

    def changes_order(self, instruction: str) -> bool:
        return True

    async def rank(
        self,
        query: str,
        candidates: list[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,
    ) -> Ranking:
        self.asked += [each.chunk.text for each in candidates]
        return await self._inner.rank(
            query, candidates, instruction=instruction, tenant=tenant, deadline=deadline, top_k=top_k
        )


def question(*texts: str) -> Question:
    return Question(id="q", text="refund?", candidates=tuple(candidates_of(texts)))


async def test_only_what_has_no_score_is_asked(tmp_path: Path) -> None:
    """Of equal passages one; of a second process only what is new; the scores stand with their passages."""
    file, teacher = tmp_path / "scores", Counting()
    first = Scoring(teacher, SavedScores.open(file, TEACHER), instruction="i", tenant="t")
    await first.score(question("a refund", "b", "a refund"))
    assert teacher.asked == ["a refund", "b"]
    second = Scoring(teacher, SavedScores.open(file, TEACHER), instruction="i", tenant="t")
    wider = question("b", "c", "a refund")
    assert not is_scored(wider, second)
    await second.score(wider)
    assert teacher.asked == ["a refund", "b", "c"]
    assert is_scored(wider, second)
    scores = second.logits(wider)
    assert scores[2] > scores[0] == scores[1]
    await second.score(wider)
    assert len(teacher.asked) == 3


async def test_fields_are_part_of_what_is_scored(tmp_path: Path) -> None:
    """The same passage with another date is another text."""
    scoring = Scoring(Counting(), SavedScores.open(tmp_path / "scores", TEACHER), instruction="i", tenant="t")
    asked = question("a refund")
    await scoring.score(asked)
    dated = asked.candidates[0].with_fields(FieldLines(lines=("date: 2026",), tokens_max=8))
    assert not is_scored(replace(asked, candidates=(dated,)), scoring)


async def test_no_text_is_written(tmp_path: Path) -> None:
    file = tmp_path / "scores"
    await Scoring(Counting(), SavedScores.open(file, TEACHER), instruction="i", tenant="t").score(question("a refund"))
    content = file.read_text(encoding="utf-8")
    assert len(content.splitlines()) == 2
    assert "refund" not in content


@pytest.mark.parametrize("torn", [1, 20, 60])
async def test_a_torn_line_is_asked_again(tmp_path: Path, torn: int) -> None:
    """The lines before it stay."""
    file, teacher = tmp_path / "scores", Counting()
    scoring = Scoring(teacher, SavedScores.open(file, TEACHER), instruction="i", tenant="t")
    other = replace(question("c"), text="other?")
    await scoring.score(question("a", "b"))
    await scoring.score(other)
    content = file.read_bytes()
    file.write_bytes(content[:-torn])
    again = Scoring(teacher, SavedScores.open(file, TEACHER), instruction="i", tenant="t")
    assert is_scored(question("a", "b"), again)
    assert not is_scored(other, again)
    await again.score(other)
    assert file.read_bytes() == content


@pytest.mark.parametrize("changed", [{"name": "x"}, {"revision": "x"}, {"prompt": "x"}])
def test_scores_of_another_model_are_refused(tmp_path: Path, changed: dict[str, str]) -> None:
    SavedScores.open(tmp_path / "scores", TEACHER)
    with pytest.raises(InvalidRequest, match="another --output"):
        SavedScores.open(tmp_path / "scores", replace(TEACHER, **changed))


@pytest.mark.parametrize("count", [0, 1, 19, 40, 57, 400])
def test_no_query_serves_two_purposes(count: int) -> None:
    """And any number of them is divided in about the same shares."""
    questions = [replace(question("a"), id=str(number)) for number in range(count)]
    parted = split(questions)
    parts = (parted.training, parted.development, parted.held_back)
    assert sorted(int(each.id) for part in parts for each in part) == list(range(count))
    for part, share in zip(parts, (0.55, 0.15, 0.3), strict=True):
        assert len(part) == pytest.approx(share * count, abs=2)
