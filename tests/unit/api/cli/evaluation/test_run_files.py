"""Run files from elsewhere are ordered as trec_eval orders them, and what is wrong in one is said with its line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.api.cli.evaluation.run import Case, Run, trec_lines, values_of
from winnow.api.cli.evaluation.run_files import ForeignRun, named_runs, read_run
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.measures import parse

CASES = [Case(id="q1", text="x"), Case(id="q2", text="y")]
GOOD = "q1 Q0 b 1 2.5 bm25\n"


def read(folder: Path, content: str | bytes) -> ForeignRun:
    path = folder / "theirs.trec"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_run(path)


def test_scores_order_and_ranks_do_not(tmp_path: Path) -> None:
    """Equal scores, also those that differ beyond single precision only, are ordered by document id, descending."""
    found = read(
        tmp_path,
        "q1 Q0 low 1 -3e2 bm25\r\n\nq1 Q0 a 2 7 bm25\nq1\tQ0\ta b\t3\t7.00000001\tbm25\n"
        "q1 Q0 题 9 7 bm25\nq2 0 x 1 inf bm25",
    )
    assert found.tag == "bm25"
    assert {query_id: list(scored) for query_id, scored in found.run.items()} == {
        "q1": ["题", "a b", "a", "low"],
        "q2": ["x"],
    }


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("q1 Q0 b 1 2.5", "5 columns; expected 6: query, Q0, document, rank, score, tag"),
        ("q1 Q0 a doc 1 2.5 bm25", "7 columns"),
        ("q1 Q0 c 1 high bm25", "the score 'high' is not a number"),
        ("q1 Q0 c 1 nan bm25", "the score 'nan' is not a number"),
        ("q1 Q0 b 2 1.5 bm25", "document 'b' is named twice for query 'q1'"),
        ("q1 Q0 c 2 1.5 other", "the run is 'other' here and 'bm25' before"),
    ],
)
def test_a_malformed_line_is_told_with_file_and_number(tmp_path: Path, line: str, wrong: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(tmp_path, f"{GOOD}\n{line}\nq2 Q0 b 1 2.5 bm25\n")
    assert f"theirs.trec, line 3: {wrong}" in refused.value.detail


def test_what_is_no_text_or_empty_or_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is empty"):
        read(tmp_path, "\n")
    with pytest.raises((InvalidRequest, CorpusUnreadable), match=r"theirs\.trec"):
        read(tmp_path, GOOD.encode() + b"q1 Q0 \xff\x00\xfe 2 1 bm25\n")
    with pytest.raises(CorpusUnreadable, match=r"none\.trec"):
        read_run(tmp_path / "none.trec")


def test_runs_have_their_own_names(tmp_path: Path) -> None:
    """The tag; of two runs with one tag the second has its file's name, too."""
    found = read(tmp_path, GOOD)
    other = ForeignRun(path=tmp_path / "other.trec", tag="bm25", run={})
    assert list(named_runs([found, other], ("recall",))) == ["bm25", "bm25:other.trec"]
    assert list(named_runs([found], ("bm25",))) == ["bm25:theirs.trec"]
    with pytest.raises(InvalidRequest, match="rename the file"):
        named_runs([found, found, found], ())


def definition(spelling: str, ranking: list[str], grades: dict[str, int]) -> float:
    """The measures written another way."""
    name, depth = spelling.split("@")
    top = ranking[: int(depth)]
    relevant = [document for document, grade in grades.items() if grade > 0]
    if name == "R":
        return sum(document in relevant for document in top) / len(relevant)
    if name == "MRR":
        return max([1 / (place + 1) for place, document in enumerate(top) if document in relevant], default=0.0)
    ideal = sorted(grades.values())[::-1][: int(depth)]
    gained, best = (
        sum(grade / math.log2(place + 2) for place, grade in enumerate(gains))
        for gains in ([grades.get(document, 0) for document in top], ideal)
    )
    return gained / best


@given(st.lists(st.sampled_from([0.5, 0.25, 1e-9]) | st.floats(-50, 50), min_size=1, max_size=12), st.data())
def test_figures_are_those_of_the_exported_run(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float], data: st.DataObject
) -> None:
    """Written and read again, a run has the same order, and the figures of the definition."""
    documents = [f"d{number}" for number in range(len(scores))]
    run: Run = {"q1": dict(zip(data.draw(st.permutations(documents)), sorted(scores, reverse=True), strict=True))}
    grades = {document: data.draw(st.integers(0, 3)) for document in documents} | {"unfound": 1}
    exported = read(tmp_path_factory.mktemp("run"), "\n".join(trec_lines(run, "two-stage")))
    assert exported.tag == "winnow-two-stage"
    measures = {spelling: parse(spelling) for spelling in ("nDCG@10", "R@5", "MRR@10", "nDCG@3")}
    ours = values_of(run, CASES[:1], {"q1": grades}, measures)
    assert values_of(exported.run, CASES[:1], {"q1": grades}, measures) == ours
    for spelling, values in ours.items():
        assert values[0] == pytest.approx(definition(spelling, list(exported.run["q1"]), grades), abs=1e-9)
