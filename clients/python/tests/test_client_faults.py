"""What happens when the service refuses, is slow or goes away: both clients do the same, and it ends in time."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from scripted import Ask, Reply, answering, ask_with, problem

from winnow_client import (
    AsyncClient,
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidRequest,
    RateLimited,
    ServerError,
    Unavailable,
    WinnowError,
)

FOUND = Reply(body={"results": []})
SLOW_SECONDS = 0.4  # a deadline; and the answers take ten times as long
LATE_SECONDS_MAX = 5.0  # on a busy machine, still far below the answers' own time


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return ask_with(request.param)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winnow_client.retrying.FIRST_PAUSE", 0.001)


def search(client: Any) -> Any:
    return client.search("heron", collection="docs")


def create(client: Any) -> Any:
    return client.create_collection("docs")


def delete(client: Any) -> Any:
    return client.delete_collection("docs")


@pytest.mark.parametrize("work", [search, create, delete])
def test_a_refused_call_is_repeated_after_the_pause_that_the_service_asks_for(ask: Ask, work: Any) -> None:
    busy = Reply(status=429, body=problem(429, "quota_exceeded"), headers={"Retry-After": "0.3"})
    with answering(busy, FOUND) as server:
        assert ask(server.url, work) == FOUND.body
    first, second = server.asked
    assert (first.method, first.path, first.body) == (second.method, second.path, second.body)
    assert second.at - first.at >= 0.3


def test_a_long_pause_is_left_to_the_caller(ask: Ask) -> None:
    """No call hangs for a minute because a quota is used up."""
    busy = Reply(
        status=429, body=problem(429, "quota_exceeded", limit="searches_per_minute"), headers={"Retry-After": "60"}
    )
    with answering(busy) as server, pytest.raises(RateLimited) as refused:
        ask(server.url, search, timeout=None)
    assert len(server.asked) == 1
    assert (refused.value.retry_after, refused.value.limit) == (60.0, "searches_per_minute")
    assert (refused.value.code, refused.value.status, refused.value.request_id) == ("quota_exceeded", 429, "r1")


def test_a_pause_beyond_the_deadline_is_not_waited_for(ask: Ask) -> None:
    busy = Reply(status=503, body=problem(503, "overloaded"), headers={"Retry-After": "5"})
    began = time.monotonic()
    with answering(busy) as server, pytest.raises(Unavailable):
        ask(server.url, search, timeout=2.0)
    assert time.monotonic() - began < 2.0
    assert len(server.asked) == 1


def test_retry_after_may_be_a_date(ask: Ask) -> None:
    """That of 1994 has passed."""
    busy = Reply(status=503, headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"})
    with answering(busy, FOUND) as server:
        assert ask(server.url, search) == FOUND.body


@pytest.mark.parametrize("header", ["soon", "nan", "inf", "-1", "9" * 400])
def test_a_strange_retry_after_does_no_harm(ask: Ask, header: str) -> None:
    busy = Reply(status=503, body=problem(503, "overloaded"), headers={"Retry-After": header})
    with answering(busy, FOUND) as server:
        assert ask(server.url, search) == FOUND.body


@pytest.mark.parametrize(
    ("code", "work", "times"),
    [
        ("overloaded", create, 2),
        ("collection_busy", delete, 2),
        ("catalog_unavailable", search, 2),
        ("catalog_unavailable", create, 1),  # the service may have begun
        ("rerank_unavailable", search, 2),
        ("catalog_unavailable", delete, 1),
    ],
)
def test_what_may_have_begun_is_not_repeated(ask: Ask, code: str, work: Any, times: int) -> None:
    with answering(Reply(status=503, body=problem(503, code)), FOUND) as server:
        if times > 1:
            assert ask(server.url, work) == FOUND.body
        else:
            with pytest.raises(Unavailable, match=code):
                ask(server.url, work)
    assert len(server.asked) == times


def test_retries_are_counted(ask: Ask) -> None:
    for retries in (0, 3):
        with answering(Reply(status=503, body=problem(503, "overloaded"))) as server, pytest.raises(Unavailable):
            ask(server.url, search, retries=retries)
        assert len(server.asked) == 1 + retries


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500, 504, 507])
def test_other_refusals_are_final(ask: Ask, status: int) -> None:
    with (
        answering(Reply(status=status, body=problem(status, "some_code"))) as server,
        pytest.raises(WinnowError, match=r"some_code\.") as refused,
    ):
        ask(server.url, search)
    assert (refused.value.status, refused.value.code, len(server.asked)) == (status, "some_code", 1)


@pytest.mark.parametrize("cut_at", [-1, 5])
def test_a_cut_connection_is_repeated_only_where_that_is_safe(ask: Ask, cut_at: int) -> None:
    """Before the answer, or in its middle. Whether a collection was made or removed is then unknown."""
    with answering(Reply(body={"results": [1]}, cut_at=cut_at), FOUND) as server:
        assert ask(server.url, search) == FOUND.body
    assert len(server.asked) == 2
    for work in (create, delete):
        with (
            answering(Reply(body={"results": [1]}, cut_at=cut_at), FOUND) as server,
            pytest.raises(ConnectionFailed, match="/v1/collections"),
        ):
            ask(server.url, work)
        assert len(server.asked) == 1


def test_a_port_without_a_service_is_named(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    with pytest.raises(ConnectionFailed, match=url) as failed:
        ask(url, create)
    assert (failed.value.code, failed.value.status) == ("connection_failed", None)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(is_silent=True),
        Reply(body=b'{"results": []' + b" " * 200 + b"}", drip_seconds=0.05),
    ],
    ids=["silent", "drip"],
)
def test_the_deadline_holds_for_the_whole_answer(ask: Ask, reply: Reply) -> None:
    """A byte now and then does not prolong it."""
    began = time.monotonic()
    with answering(reply) as server:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.4 s"):
            ask(server.url, search, timeout=SLOW_SECONDS)
        assert time.monotonic() - began < LATE_SECONDS_MAX
        assert len(server.asked) == 1


def test_a_call_can_have_a_deadline_of_its_own(ask: Ask) -> None:
    with answering(Reply(is_silent=True)) as server, pytest.raises(DeadlineExceeded, match=r"within 0\.4 s"):
        ask(server.url, lambda client: client.search("heron", collection="docs", timeout=SLOW_SECONDS), timeout=None)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/html", b"<html>"), ("application/json", b"<html>"), ("application/json", b"[" * 200_000)],
    ids=["page", "damaged", "deep"],
)
def test_what_is_no_service_of_ours_is_told(ask: Ask, kind: str, body: bytes) -> None:
    with (
        answering(Reply(body=body, kind=kind)) as server,
        pytest.raises(InvalidAnswer, match="winnow service") as failed,
    ):
        ask(server.url, search)
    assert (failed.value.code, len(server.asked)) == ("invalid_answer", 1)


def test_a_proxys_page_becomes_an_error_with_its_text(ask: Ask) -> None:
    with (
        answering(Reply(status=500, body=b"<h1>Oops</h1>", kind="text/html")) as server,
        pytest.raises(ServerError, match="Oops") as failed,
    ):
        ask(server.url, search)
    assert failed.value.code == "http_500"


def test_a_redirect_is_told_and_not_followed(ask: Ask) -> None:
    """The key must not go to another address."""
    with answering(FOUND) as other, answering(Reply(status=307, headers={"Location": f"{other.url}/v1"})) as server:
        with pytest.raises(InvalidAnswer, match=f"redirects to {other.url}/v1"):
            ask(server.url, search, key="secret")
        assert other.asked == []


def test_the_key_is_sent_and_never_shown(ask: Ask) -> None:
    with (
        answering(Reply(status=422, body=problem(422, "invalid_request"))) as server,
        pytest.raises(InvalidRequest) as refused,
    ):
        ask(server.url, search, key="wk_secret")
    assert server.asked[0].headers["authorization"] == "Bearer wk_secret"
    assert "wk_secret" not in repr(refused.value) + repr(vars(refused.value))
    assert "wk_secret" not in repr(vars(Client(server.url, key="wk_secret")))
    assert "wk_secret" not in repr(vars(AsyncClient(server.url, key="wk_secret")))


def test_one_connection_serves_many_calls(ask: Ask) -> None:
    with answering(FOUND) as server:
        if ask.__name__ == "ask_sync":
            ask(server.url, lambda client: [search(client) for _ in range(5)])
        else:

            async def five(client: AsyncClient) -> None:
                for _ in range(5):
                    await search(client)

            ask(server.url, five)
    assert (len(server.asked), server.connections) == (5, 1)


def test_threads_may_share_a_client() -> None:
    with answering(FOUND) as server, Client(server.url) as client:
        threads = [threading.Thread(target=search, args=(client,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.asked) == 8


@pytest.mark.parametrize(
    ("url", "sent_to"),
    [("{}/", "/v1/search"), ("{}/v1", "/v1/search"), ("{}/v1/", "/v1/search"), ("{}/winnow/v1", "/winnow/v1/search")],
)
def test_an_address_may_end_as_people_write_it(url: str, sent_to: str) -> None:
    with answering(FOUND) as server, Client(url.format(server.url)) as client:
        search(client)
    assert server.asked[0].path == sent_to


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "https://", "", "http://host/?a=b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="not the address"):
            kind(url)


def test_an_address_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="give the API key as `key`") as refused:
        Client("https://ann:hidden@host")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("key", ["sécret", "a b", "line\nbreak"])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="the key has characters") as refused:
        Client("http://localhost", key=key)
    assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("id_", "path"),
    [("a/b", "a%2Fb"), ("..", "%2E%2E"), ("?x=1#y", "%3Fx%3D1%23y"), ("退货 %", "%E9%80%80%E8%B4%A7%20%25")],
)
def test_no_id_leads_to_another_path(ask: Ask, id_: str, path: str) -> None:
    with answering(Reply(body={})) as server:
        ask(server.url, lambda client: client.fetch("docs", id_))
    assert server.asked[0].path == f"/v1/collections/docs/documents/{path}"
