"""One message to a real receiver on loopback: what is sent, what is refused, and what a failure says."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import pytest

from tests.stability.webhook_receiver import Receiver
from winnow.retrieval.webhook.allowed import AllowedHosts, IpAddress, parse_rules
from winnow.retrieval.webhook.client import NotDelivered, WebhookClient

SECONDS = 5.0
HEADERS = {"Content-Type": "application/json", "Idempotency-Key": "k"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as receiver:
        yield receiver


class Names:
    """Resolves names to the addresses given, one list after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[IpAddress]:
        self.asked.append(f"{host}:{port}")
        return [ip_address(each) for each in (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])]


async def problem(rules: str, url: str, names: Names | None = None, *, seconds: float = SECONDS) -> str | None:
    """Why a message was not delivered; None if it was."""
    async with WebhookClient(AllowedHosts(parse_rules(rules)), resolve=names) as client:
        try:
            await client.post(url, b'{"a": 1}', HEADERS, seconds=seconds)
        except NotDelivered as failed:
            return str(failed)
    return None


async def test_a_message_arrives_as_it_was_sent(receiver: Receiver) -> None:
    """Body, headers, path and query; `Host` is the name, the connection goes to its address."""
    names = Names(["127.0.0.1"])
    url = receiver.url("/a?token=b", host="hooks.example.org")
    assert await problem(f"hooks.example.org:{receiver.port}", url, names) is None
    (received,) = receiver.received
    assert (received.path, received.body, received.key) == ("/a?token=b", b'{"a": 1}', "k")
    assert received.headers["Host"] == f"hooks.example.org:{receiver.port}"
    assert names.asked == [received.headers["Host"]]


async def test_a_name_is_resolved_once_and_its_address_is_checked(receiver: Receiver) -> None:
    """A name server that says another address the second time gains nothing."""
    names = Names(["192.0.2.1", "127.0.0.1"], ["10.0.0.1"])
    url = receiver.url(host="rebind.example")
    assert await problem(f"127.0.0.0/8:{receiver.port}", url, names) is None
    assert (len(names.asked), len(receiver.received)) == (1, 1)
    refused = await problem(f"127.0.0.0/8:{receiver.port}", url, names)
    assert refused == f"the operator of this service allows no webhook to rebind.example:{receiver.port}"
    assert len(receiver.received) == 1


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """Neither to another host, nor to the same one."""
    with Receiver().listening() as private:
        for status in (301, 302, 303, 307, 308):
            receiver.statuses, receiver.location = [status], private.url()
            rules = f"127.0.0.1:{receiver.port}, 127.0.0.1:{private.port}"
            assert await problem(rules, receiver.url()) == f"status {status}: redirects are not followed"
        assert private.received == []


async def test_a_failure_says_the_status_and_nothing_of_the_reply(receiver: Receiver) -> None:
    receiver.statuses = [500, 404, 204]
    rule = f"127.0.0.1:{receiver.port}"
    assert [await problem(rule, receiver.url("/secret")) for _ in range(3)] == ["status 500", "status 404", None]


async def test_a_slow_receiver_is_left_at_the_deadline(receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    before = time.monotonic()
    assert await problem(f"127.0.0.1:{receiver.port}", receiver.url(), seconds=0.2) == "no answer within 0.2 s"
    assert time.monotonic() - before < SECONDS


async def test_a_receiver_that_is_away_is_told_from_one_that_is_refused() -> None:
    """By its own tenant; a name that no rule names does not show whether it exists."""
    with Receiver().listening() as gone:
        pass
    assert await problem(f"127.0.0.1:{gone.port}", gone.url()) == "no connection could be made"
    assert await problem("a.example", "https://a.example/", Names([])) == "a.example cannot be resolved"
    for answers in ([], ["192.0.2.1"]):
        refused = await problem("10.0.0.0/8", "https://b.example/", Names(answers))
        assert refused == "the operator of this service allows no webhook to b.example:443"
    assert await problem("", "http://127.0.0.1/") == "the operator of this service allows no webhook to 127.0.0.1:80"
    assert (await problem("a.example", "https://@/") or "").startswith("the address cannot be used")


async def test_a_server_without_tls_or_http_is_a_failure() -> None:
    """A wrong scheme, or something else that listens there."""
    with Receiver().listening() as plain:
        found = await problem(f"127.0.0.1:{plain.port}", plain.url().replace("http:", "https:"))
        assert found == "TLS failed; check the certificate"

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 not HTTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await problem(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}/")
        assert (found or "").startswith("the connection failed: ")


async def test_the_next_address_of_a_name_is_tried(receiver: Receiver) -> None:
    """If nothing listens at the first one: nothing was sent there."""
    names = Names(["127.0.0.2", "127.0.0.1"])
    assert await problem(f"two.example:{receiver.port}", receiver.url(host="two.example"), names) is None
    assert len(receiver.received) == 1


async def test_the_system_resolves_names(receiver: Receiver) -> None:
    rules = f"localhost:{receiver.port}, does-not-exist.invalid"
    assert await problem(rules, receiver.url(host="localhost")) is None
    assert await problem(rules, "https://does-not-exist.invalid/") == "does-not-exist.invalid cannot be resolved"


async def test_an_address_is_checked_before_it_is_stored() -> None:
    """A named host is not resolved: its receiver may come later."""
    names = Names(["10.1.2.3"])
    async with WebhookClient(AllowedHosts(parse_rules("a.example, 10.1.0.0/16")), resolve=names) as client:
        await client.require_allowed("https://a.example/", seconds=SECONDS)
        assert names.asked == []
        await client.require_allowed("https://10.1.0.1/", seconds=SECONDS)
        await client.require_allowed("https://b.example/", seconds=SECONDS)
        names.answers = [["192.0.2.1"]]
        with pytest.raises(ValueError, match=r"allows no webhook to b\.example:443"):
            await client.require_allowed("https://b.example/", seconds=SECONDS)
    with pytest.raises(ValueError, match="sends no webhooks"):
        await WebhookClient(AllowedHosts()).require_allowed("https://a.example/", seconds=SECONDS)
