"""`winnow index --url`: documents are read here, sent in batches, and reported as a run over a data folder."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.api.cli.client.conftest import Run
from winnow.api.cli.client.upload import document_line
from winnow.api.collections.given_parts import make_structured
from winnow.indexer.corpus import refusal
from winnow.indexer.decoding.json_values import parse_record
from winnow.retrieval.records import Document, Location, Part, PartKind

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS | st.lists(WORDS, max_size=3)


@given(
    id_=WORDS,
    text=WORDS,
    title=st.just("") | WORDS,
    url=st.none() | WORDS,
    metadata=st.dictionaries(WORDS | st.sampled_from(["id", "text", "metadata", "parts", "_id"]), VALUES, max_size=4),
    is_structured=st.booleans(),
)
def test_a_document_arrives_as_it_was_read(
    id_: str, text: str, title: str, url: str | None, metadata: dict[str, object], *, is_structured: bool
) -> None:
    part = Part(
        start=0,
        end=len(text),
        kind=PartKind.ROWS,
        section=("a", "b"),
        header="h",
        location=Location(page=2, symbol="s"),
    )
    parts = (part,) if is_structured else ()
    read = Document(id=id_, text=text, title=title, url=url, metadata=metadata, parts=parts)  # type: ignore[arg-type]
    if refusal(read) is not None:
        return
    sent = parse_record(document_line(read))
    assert isinstance(sent, dict)
    arrived = make_structured(sent)
    assert arrived == read
    assert arrived.content_hash == read.content_hash


def written(folder: Path, *records: object) -> str:
    file = folder / "docs.jsonl"
    lines = [each if isinstance(each, str) else json.dumps(each) for each in records]
    file.write_text("\n".join(lines), encoding="utf-8")
    return str(file)


def documents(count: int) -> list[dict[str, str]]:
    return [{"id": f"d{number}", "title": f"t{number}", "text": f"the {number}th text"} for number in range(count)]


def test_a_run_is_counted_and_a_second_one_changes_nothing(remote: Run, tmp_path: Path) -> None:
    """150 documents go in three requests."""
    source = written(tmp_path, *documents(150))
    first = remote("index", source, "-c", "docs", "--json")
    assert first.code == 0, first.err
    report = json.loads(first.out)
    assert (report["added"], report["documents"], report["unchanged"]) == (150, 150, 0)
    again = json.loads(remote("index", source, "-c", "docs", "--json").out)
    assert (again["added"], again["changed"], again["unchanged"], again["tokens"]) == (0, 0, 150, 0)
    changed = json.loads(remote("index", written(tmp_path, {"id": "d0", "text": "new"}), "-c", "docs", "--json").out)
    assert (changed["added"], changed["changed"], changed["documents"]) == (0, 1, 150)
    assert set(report) == set(again)


def test_rejects_are_listed_with_line_and_reason(remote: Run, tmp_path: Path) -> None:
    source = written(tmp_path, {"id": "a", "text": "good"}, "{broken", {"text": "no id"}, {"id": "a", "text": "twice"})
    done = remote("index", source, "-c", "docs", "--json")
    assert done.code == 3
    report = json.loads(done.out)
    assert (report["rejected"], report["documents"]) == (3, 1)
    rows = [json.loads(line) for line in Path(report["rejects"]).read_text(encoding="utf-8").splitlines()]
    assert [each["line"] for each in rows] == [2, 3, 4]
    only = remote("index", written(tmp_path, "{broken"), "-c", "docs")
    assert (only.code, "Every record was rejected" in only.err) == (1, True)


def test_a_collection_that_is_made_otherwise_is_refused(remote: Run, tmp_path: Path) -> None:
    """In the words of a run over a data folder."""
    source = written(tmp_path, *documents(1))
    assert remote("index", source, "-c", "docs", "--chunk-tokens", "64", "--rerank-fields", "title").code == 0
    made = json.loads(remote("collections", "show", "docs", "--json").out)
    assert (made["chunk_tokens"], made["rerank_fields"]) == (64, ["title"])
    for flags in (("--chunk-tokens", "99"), ("--rerank-fields", "url"), ("--embed-fields", "title")):
        refused = remote("index", source, "-c", "docs", *flags)
        assert (refused.code, refused.out) == (2, "")
        assert "docs" in refused.err


def test_vectors_in_float16_are_chosen_once_and_their_loss_is_told(remote: Run, local: Run, tmp_path: Path) -> None:
    """By a service and in a data folder alike; a run that writes nothing loses nothing."""
    for run, name in ((remote, "there"), (local, "here")):
        source = written(tmp_path, *documents(3))
        first = run("index", source, "-c", name, "--vectors", "float16", "--json")
        assert first.code == 0, first.err
        report = json.loads(first.out)
        assert report["vectors"] == "float16"
        assert 0 < report["cosine_loss"] < 5e-4
        assert json.loads(run("collections", "show", name, "--json").out)["vectors"] == "float16"
        again = json.loads(run("index", source, "-c", name, "--json").out)
        assert (again["vectors"], again["cosine_loss"]) == ("float16", None)
        refused = run("index", source, "-c", name, "--vectors", "float32")
        assert (refused.code, refused.out) == (2, "")
        assert f"{name} stores its vectors as float16, which cannot be changed" in refused.err
        told = run("index", written(tmp_path, {"id": "n", "text": "new"}), "-c", name).out
        assert "Vectors are stored as float16, which moves no cosine by more than 0.000" in told
    assert json.loads(remote("index", source, "-c", "usual", "--json").out)["vectors"] == "float32"


def test_documents_that_the_corpus_lost_are_pruned_if_it_could_be_read(remote: Run, tmp_path: Path) -> None:
    assert remote("index", written(tmp_path, *documents(5)), "-c", "docs").code == 0
    unread = remote("index", written(tmp_path, documents(1)[0], "{broken"), "-c", "docs", "--prune", "--json")
    assert json.loads(unread.out)["removed"] == 0
    assert "Nothing was pruned: 1 records were refused" in unread.err
    pruned = json.loads(remote("index", written(tmp_path, documents(1)[0]), "-c", "docs", "--prune", "--json").out)
    assert (pruned["removed"], pruned["documents"], pruned["unchanged"]) == (4, 1, 1)
    empty = remote("index", written(tmp_path, "{broken"), "-c", "docs", "--prune")
    assert (empty.code, "nothing was removed" in empty.err) == (2, True)
