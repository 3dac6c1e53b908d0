"""What alice asks that bob has, and what nobody has: pairs of requests that differ in nothing else.

Of each thing there are `POOL` that bob has and as many that nobody has, with names of the same form, and each is asked
for as often, so that nothing is known better for having been asked for before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from tests.tenants.service import Service

POOL: Final = 32
DOCUMENTS: Final = 96  # of alice, in each deployment
SUBJECTS: Final = ("trains", "returns", "vectors", "courts", "rain", "keys", "herons", "contracts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request that is ready to be sent."""

    service: Service
    key: str
    method: str
    url: str
    body: Any = None
    before: tuple[Ask, ...] = ()  # sent just before it, and not timed

    def send(self) -> Any:
        return self.service.ask(self.key, self.method, self.url, self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Makes the request of a pair's number, about what is there or about what is nowhere."""

    name: str
    asked: Callable[[int, bool], Ask]
    status: int | None = None  # of both answers; None: the answers may tell, and their time should


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """Of one kind of thing."""

    there: Sequence[str]
    nowhere: Sequence[str]

    def of(self, number: int, is_there: bool) -> str:  # noqa: FBT001  (a callback's)
        pool = self.there if is_there else self.nowhere
        return pool[number % len(pool)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployments:
    """One of alice and bob, and one of alice alone. She has the same documents in both."""

    shared: Service
    alone: Service
    texts: Sequence[str]
    copied: frozenset[int]  # places of those of which bob has near-duplicates
    keys: Mapping[tuple[Service, str], str]

    @classmethod
    def of(cls, shared: Service, alone: Service, chances: random.Random) -> Self:
        texts = [_text(chances) for _ in range(DOCUMENTS)]
        copied = frozenset(chances.sample(range(DOCUMENTS), DOCUMENTS // 2))
        keys = {}
        near = {number: f"{texts[number]} Or so." for number in copied}
        for service, tenant, held in ((alone, "alice", dict(enumerate(texts))), (shared, "bob", near),
                                      (shared, "alice", dict(enumerate(texts)))):  # fmt: skip
            made = _sent(service, service.operator, "/v1/tenants", {"name": tenant})
            key = keys[service, tenant] = str(made.json()["key"]["key"])
            _sent(service, key, "/v1/collections", {"name": "docs"})
            _write(service, key, {f"d{number}": text for number, text in held.items()})
            _sent(service, key, "/v1/collections/docs/fold", None, status=200)
        return cls(shared=shared, alone=alone, texts=texts, copied=copied, keys=keys)


def of_names(both: Deployments, chances: random.Random) -> list[Case]:
    """Of collections, tenants, instructions, documents and keys; and the controls."""
    shared, alice, bob = both.shared, both.keys[both.shared, "alice"], both.keys[both.shared, "bob"]
    collections, instructions, documents, tenants = (_names(chances) for _ in range(4))
    for name in collections.there:
        _sent(shared, bob, "/v1/collections", {"name": name})
    for name in instructions.there:
        _sent(shared, bob, "/v1/instructions", {"name": name, "text": "Prefer what is short"})
    _write(shared, bob, {name: f"{name} waits in the hall." for name in documents.there})
    for name in tenants.there:
        _sent(shared, shared.operator, "/v1/tenants", {"name": name})
    made = [_sent(shared, bob, "/v1/keys", {"scopes": ["search"]}).json()["id"] for _ in range(POOL)]
    ids = _Names(there=made, nowhere=[f"{chances.getrandbits(48):012x}" for _ in made])
    nobodys = _Names(there=_names(chances).there, nowhere=_names(chances).nowhere)
    own = _Names(there=[f"d{number}" for number in range(POOL)], nowhere=[f"e{number}" for number in range(POOL)])

    def of(names: _Names, method: str, url: str, body: Any = None) -> Callable[[int, bool], Ask]:
        """With the name in place of `*`."""

        def asked(number: int, is_there: bool) -> Ask:  # noqa: FBT001
            name = names.of(number, is_there)
            filled = None if body is None else {key: _filled(value, name) for key, value in body.items()}
            return Ask(service=shared, key=alice, method=method, url=url.replace("*", name), body=filled)

        return asked

    def guessed(number: int, is_there: bool) -> Ask:  # noqa: FBT001
        text = f"wk_{ids.of(number, is_there)}_{chances.getrandbits(256):064x}"
        return Ask(service=shared, key=text, method="GET", url="/v1/collections")

    query = {"query": "a train", "top_k": 3}
    document = "/v1/collections/docs/documents/*"
    of_alice = of(own, "GET", document)
    asked = {
        "control: nobody's and nobody's": of(nobodys, "GET", "/v1/collections/*"),
        "GET a collection": of(collections, "GET", "/v1/collections/*"),
        "DELETE a collection": of(collections, "DELETE", "/v1/collections/*"),
        "write into a collection": of(
            collections, "POST", "/v1/collections/*/documents", {"id": "d", "text": "a train"}
        ),
        "search a collection": of(collections, "POST", "/v1/search", query | {"collection": "*"}),
        "search a collection as bob/NAME": of(collections, "POST", "/v1/search", query | {"collection": "bob/*"}),
        "search of a tenant NAME/docs": of(tenants, "POST", "/v1/search", query | {"collection": "*/docs"}),
        "GET an instruction": of(instructions, "GET", "/v1/instructions/*"),
        "search under an instruction": of(
            instructions, "POST", "/v1/search", query | {"collection": "docs", "instruction": {"name": "*"}}
        ),
        "GET a document": of(documents, "GET", document),
        "DELETE a document": of(documents, "DELETE", document),
        "revoke a key": of(ids, "DELETE", "/v1/keys/*"),
    }
    return [
        Case(name="control: alice's own documents and nobody's", asked=of_alice),
        *(Case(name=name, status=404, asked=each) for name, each in asked.items()),
        Case(name="a wrong key with the id of one", status=401, asked=guessed),
    ]


def of_searches(both: Deployments) -> list[Case]:
    """Of alice's own collection, near to which bob has texts, or has asked something. No two ask the same."""
    shared, alone, texts = both.shared, both.alone, both.texts
    halves = {True: sorted(both.copied), False: sorted(set(range(DOCUMENTS)) - both.copied)}

    def search(service: Service, tenant: str, query: str, *, before: tuple[Ask, ...] = ()) -> Ask:
        body = {"query": query, "collection": "docs", "top_k": 3, "candidates": 3, "timeout_ms": 120_000}
        key = both.keys[service, tenant]
        return Ask(service=service, key=key, method="POST", url="/v1/search", body=body, before=before)

    def near(number: int, is_there: bool) -> Ask:  # noqa: FBT001
        half = halves[is_there]
        return search(shared, "alice", f"{texts[half[number % len(half)]]} {number:06}")

    def beside(number: int, is_there: bool) -> Ask:  # noqa: FBT001
        service = shared if is_there else alone
        return search(service, "alice", f"{texts[number % DOCUMENTS]} {number:06} beside")

    def asked(number: int, is_there: bool) -> Ask:  # noqa: FBT001
        text = f"{texts[number % DOCUMENTS]} {number:06} {'yes' if is_there else 'not'}"
        bobs = text if is_there else text[::-1]
        return search(shared, "alice", text, before=(search(shared, "bob", bobs),))

    return [
        Case(name="search what bob has near-duplicates of, and has none of", status=200, asked=near),
        Case(name="search beside bob's near-duplicates, and without bob", status=200, asked=beside),
        Case(name="search what bob has just asked, and has not", status=200, asked=asked),
    ]


def _names(chances: random.Random) -> _Names:
    drawn = [f"n{chances.getrandbits(40):010x}" for _ in range(2 * POOL)]
    return _Names(there=drawn[:POOL], nowhere=drawn[POOL:])


def _text(chances: random.Random) -> str:
    """All are of a length."""
    return f"The {chances.choice(SUBJECTS):9} of {chances.getrandbits(24):06x} waited {chances.randrange(10, 99)} days."


def _filled(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, name) for key, each in value.items()}
    return value.replace("*", name) if isinstance(value, str) else value


def _write(service: Service, key: str, texts: Mapping[str, str]) -> None:
    documents = [{"id": name, "text": text} for name, text in texts.items()]
    _sent(service, key, "/v1/collections/docs/documents", {"documents": documents}, status=200)


def _sent(service: Service, key: str, url: str, body: Any, *, status: int = 201) -> Any:
    answer = service.ask(key, "POST", url, body)
    assert answer.status_code == status, answer.text
    return answer
