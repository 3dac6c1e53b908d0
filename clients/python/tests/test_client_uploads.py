"""Uploads: batches of bounded size, read as they are sent; what is rejected is told by its place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import Ask, Asked, Reply, answering, ask_with, problem

from winnow_client import AsyncClient, Client, InvalidRequest, Unavailable, Written
from winnow_client.uploading import REJECTS_KEPT_MAX, Upload

PATH = "/v1/collections/docs/documents"


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return ask_with(request.param)


def lines_of(asked: Asked) -> list[Any]:
    return [json.loads(line) for line in asked.body.splitlines()]


def storing(asked: Asked) -> Reply:
    """As the service: a document without a text is rejected; where all are, the answer is 422."""
    documents = lines_of(asked)
    rejected = [
        {"line": line, "id": str(each["id"]), "reason": "no text"}
        for line, each in enumerate(documents, start=1)
        if "text" not in each
    ]
    accepted = len(documents) - len(rejected)
    said = {"collection": "docs", "accepted": accepted, "unchanged": 0, "chunks": accepted, "tokens": 5 * accepted}
    said |= {"rejected": rejected, "store_version": 7 if accepted else None}
    return Reply(body=said) if accepted else Reply(status=422, body=problem(422, "invalid_request") | said)


def document(number: int) -> dict[str, Any]:
    return {"id": str(number), "text": f"Number {number}."}


def test_documents_are_read_as_they_are_sent(ask: Ask) -> None:
    """At no time is more than a batch waiting, and progress is told after each."""
    read, seen = [], []

    def documents() -> Iterator[dict[str, Any]]:
        for number in range(25):
            read.append(number)
            yield document(number)

    def answer(asked: Asked) -> Reply:
        seen.append(len(read))
        return storing(asked)

    told: list[Written] = []
    with answering(answer) as server:
        done = ask(
            server.url,
            lambda client: client.write("docs", documents(), batch_documents=10, on_progress=told.append),
        )
    assert seen == [10, 20, 25]
    assert [each.documents for each in told] == [10, 20, 25]
    assert (
        done
        == told[-1]
        == Written(collection="docs", documents=25, accepted=25, chunks=25, tokens=125, store_version=7)
    )
    assert [each["id"] for asked in server.asked for each in lines_of(asked)] == [str(number) for number in range(25)]
    assert {asked.path for asked in server.asked} == {PATH}
    assert {asked.headers["content-type"] for asked in server.asked} == {"application/x-ndjson"}


def test_a_batch_has_a_limit_in_bytes() -> None:
    """A document that is longer goes alone."""
    long = {"id": "long", "text": "x" * 5_000}
    with answering(storing) as server, Client(server.url) as client:
        client.write("docs", [*map(document, range(3)), long, *map(document, range(3, 50))], batch_bytes=1_000)
    batches = [lines_of(each) for each in server.asked]
    assert [long] in batches
    assert all(len(each.body) <= 1_000 for each in server.asked if b"long" not in each.body)
    assert sum(map(len, batches)) == 51
    assert len(batches) < 10


def test_rejects_are_told_by_their_place_among_all(ask: Ask) -> None:
    """Whoever rejects them: the service, or the client because JSON cannot hold them. Batches of rejects too."""
    documents: list[Any] = [document(number) for number in range(1, 13)]
    for place in (2, 4, 5, 6, 11):  # the whole second batch among them
        del documents[place - 1]["text"]
    documents[7]["year"] = float("nan")
    with answering(storing) as server:
        done = ask(server.url, lambda client: client.write("docs", documents, batch_documents=3))
    assert {each["line"]: each["id"] for each in done.rejected} == {place: str(place) for place in (2, 4, 5, 6, 8, 11)}
    (strange,) = [each for each in done.rejected if each["line"] == 8]
    assert "not JSON" in strange["reason"]
    assert (done.documents, done.accepted, done.rejected_count) == (12, 6, 6)


def test_if_all_are_rejected_it_is_an_error(ask: Ask) -> None:
    with answering(storing) as server, pytest.raises(InvalidRequest, match=r"all 5 .* document 1: no text") as refused:
        ask(server.url, lambda client: client.write("docs", [{"id": number} for number in range(5)], batch_documents=2))
    assert len(refused.value.body["rejected"]) == 5
    with answering(storing) as server:
        assert ask(server.url, lambda client: client.write("docs", [])).documents == 0
    assert server.asked == []


def test_lines_of_a_file_are_documents(ask: Ask, tmp_path: Path) -> None:
    """Blank ones are not; a text of several lines is none."""
    file = tmp_path / "documents.jsonl"
    file.write_bytes(b'{"id": "1", "text": "One."}\n\n  \r\n{"id": "2", "text": "\xe9\x80\x80"}\r\n{"id": "3"}')
    with answering(storing) as server, file.open("rb") as opened:
        done = ask(server.url, lambda client: client.write("docs", opened))
    assert (done.documents, done.accepted, done.rejected[0]["line"]) == (3, 2, 5)
    with answering(storing) as server:
        done = ask(server.url, lambda client: client.write("docs", [json.dumps(document(1)), '{"id":\n"2"}']))
    assert done.rejected[0]["reason"].endswith("one line of JSON")


def test_a_batch_that_a_proxy_finds_too_large_is_halved(ask: Ask) -> None:
    """A document that alone is too large is a reject."""

    def small_only(asked: Asked) -> Reply:
        return (
            Reply(status=413, body=b"<h1>Too Large</h1>", kind="text/html") if len(asked.body) > 200 else storing(asked)
        )

    documents = [*map(document, range(20)), {"id": "long", "text": "x" * 300}]
    with answering(small_only) as server:
        done = ask(server.url, lambda client: client.write("docs", documents))
    assert (done.accepted, [each["id"] for each in done.rejected]) == (20, ["long"])
    stored = [each["id"] for asked in server.asked if len(asked.body) <= 200 for each in lines_of(asked)]
    assert stored == [str(number) for number in range(20)]


def test_a_batch_is_sent_again_after_a_cut(ask: Ask) -> None:
    """A document replaces itself."""
    with answering(Reply(cut_at=-1), storing) as server:
        assert ask(server.url, lambda client: client.write("docs", [document(1)])).accepted == 1
    assert server.asked[0].body == server.asked[1].body


def test_a_failure_says_how_many_documents_are_stored(ask: Ask) -> None:
    with (
        answering(storing, Reply(status=503, body=problem(503, "overloaded"), headers={"Retry-After": "99"})) as server,
        pytest.raises(Unavailable) as failed,
    ):
        ask(server.url, lambda client: client.write("docs", map(document, range(9)), batch_documents=4))
    assert failed.value.__notes__ == ["4 documents were stored before; the rest may be sent again."]


async def test_documents_may_come_asynchronously() -> None:
    async def documents() -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            yield document(number)

    with answering(storing) as server:
        async with AsyncClient(server.url) as client:
            assert (await client.write("docs", documents())).accepted == 3


def test_memory_does_not_grow_with_rejects() -> None:
    upload = Upload("docs", batch_documents=1, batch_bytes=1)
    for _ in range(REJECTS_KEPT_MAX + 5):
        upload.add({"id": "x", "text": {"a set"}})
    assert (upload.written.rejected_count, len(upload.written.rejected)) == (REJECTS_KEPT_MAX + 5, REJECTS_KEPT_MAX)


def test_half_a_character_is_a_reject_of_the_service_and_not_a_crash() -> None:
    with answering(storing) as server, Client(server.url) as client:
        client.write("docs", [{"id": "1", "text": "\ud800"}])
    assert b"\\ud800" in server.asked[0].body
