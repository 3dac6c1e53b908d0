"""What a program that tries a client is given, what it prints, and the row that follows from it.

A program (tests/clients/programs) is called with the path of a JSON file, a `Target`. It tries its client in every case
and prints one JSON object a line, an `Observation`, and nothing else on standard output. It judges nothing: `row_of`
does. `tests.clients.run` starts the services and the programs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypedDict

from tests.clients.cases import Outcome, Row


class Case(StrEnum):
    """The cases of `tests.clients.cases`, and what of a target leads to each."""

    SUCCESS = "success"
    UNAUTHORIZED = "401"  # `wrong_key`
    NOT_FOUND = "404"  # a path that does not exist, or a collection that does not
    INVALID = "422"  # `unknown_model`, whose instruction is not in the library; or what the route refuses
    LIMITED = "429"  # `limited_key`, whose tenant has four requests a minute: again until it is refused
    UNAVAILABLE = "503"  # `rerank_down_url` for rerank, `embed_down_url` for embeddings and search
    DEGRADED = "degraded"  # a search at `rerank_down_url`: recall's order, said in the answer
    NULLS = "null fields"  # every optional field as null, where the client sends it
    INSTRUCTION = "instruction"  # `instruction` in a field, or `instructed_model`: the order changes


class Target(TypedDict):
    """What a program is given. URLs have no path: a program adds /v1 and the like."""

    url: str
    rerank_down_url: str
    embed_down_url: str
    key: str
    wrong_key: str
    limited_key: str
    model: str
    instructed_model: str  # MODEL@NAME, of the instruction below
    unknown_model: str
    embedding_model: str
    instruction: str
    collection: str  # holds `documents` under their ids
    query: str
    documents: dict[str, str]  # texts by id; the order of a rerank request
    winnow: list[str]  # the command line's program and its first arguments


class Observation(TypedDict):
    """What one call of a client did. Of `order`, `error` and `skipped`, exactly one is not null."""

    route: str  # "POST /v2/rerank"
    case: str
    version: str  # of the client
    order: list[str] | None  # ids of the documents in the order of the answer; of embeddings by similarity to the query
    error: str | None  # the class of the exception
    status: int | None  # that the exception holds
    skipped: str | None  # why the case does not apply
    note: str  # what a user of the client should know: the option that is needed
    seconds: float  # that the calls took


FIRST: Final = "returns-en"  # answers the query without an instruction
PREFERRED: Final = "returns-zh"  # what the instruction moves up
DOCUMENTS: Final = {
    "delivery-en": "Parcels arrive within three working days after the order.",
    PREFERRED: "消费者通过网络购买商品的，自收到商品之日起七日内有权退货。",
    FIRST: "You may return goods bought online within fourteen days.",
}
QUERY: Final = "return goods bought online"
INSTRUCTION: Final = "Prefer documents written in Chinese"
CRASHES: Final = {"AssertionError", "AttributeError", "IndexError", "KeyError", "TypeError"}  # no client's own errors
WAIT_SECONDS: Final = 5.0  # a call that took longer waited for the limit to end
ERRORS: Final = (Case.UNAUTHORIZED, Case.NOT_FOUND, Case.INVALID, Case.LIMITED, Case.UNAVAILABLE)


def is_well_formed(observation: Observation) -> bool:
    given = [observation["order"], observation["error"], observation["skipped"]]
    return (
        observation["case"] in set(Case)
        and bool(observation["route"] and observation["version"])
        and sum(each is not None for each in given) == 1
        and set(observation["order"] or ()) <= set(DOCUMENTS)
    )


def outcome_of(observation: Observation, successful: Observation) -> Outcome:
    """Judge one observation. `successful` is the one of the same route in the case `success`."""
    case, order = Case(observation["case"]), observation["order"]
    if observation["skipped"] is not None:
        return Outcome.NOT_APPLICABLE
    if case is Case.LIMITED and order is not None:
        works = observation["seconds"] > WAIT_SECONDS
    elif case in ERRORS:
        error = observation["error"]
        works = error is not None and error not in CRASHES and observation["status"] in {None, int(case)}
    elif order is None:
        works = False
    elif case is Case.INSTRUCTION:
        usual = successful["order"] or []
        works = PREFERRED in order and PREFERRED in usual and order.index(PREFERRED) < usual.index(PREFERRED)
    elif case is Case.NULLS:
        works = order == successful["order"]
    else:
        works = order[:1] == [FIRST]
    return Outcome.WORKS if works else Outcome.REFUSED


def row_of(client: str, observation: Observation, successful: Observation) -> Row:
    """Return what the page says of one observation."""
    shown = observation["skipped"] or ""
    if observation["error"] is not None:
        shown = f"`{observation['error']}`" + (f", status {status}" if (status := observation["status"]) else "")
    elif observation["case"] == Case.LIMITED and not shown:
        shown = f"waits as `Retry-After` says, here {observation['seconds']:.0f} s"
    return Row(
        client=client,
        version=observation["version"],
        language="python",
        route=observation["route"],
        case=observation["case"],
        outcome=outcome_of(observation, successful),
        note="; ".join(filter(None, (shown, observation["note"]))),
    )
