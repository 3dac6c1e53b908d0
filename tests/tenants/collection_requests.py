"""Requests about collections, documents, searches and generations, and what the model expects of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import SHARED_COLLECTION, SHARED_DOCUMENT, Collection, Document, Tenant, words_of
from winnow.api.library.instructions import BUILT_IN
from winnow.retrieval.catalog.calibrations import CalibratedFor, Calibration
from winnow.retrieval.document_fields import NO_CHOICE
from winnow.retrieval.tenancy import TenantName

COLLECTIONS_MAX, DOCUMENTS_MAX = 4, 14  # of a tenant, of a collection: small, so that all of it can be compared


def make_collection(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Of a new name, or of one that it has; or of one that another tenant has, which is free here."""
    names = [life.world.canary(tenant.number, "coll")] * 3 + [SHARED_COLLECTION, *tenant.collections]
    name = life.chances.choice(names)
    if name not in tenant.collections and len(tenant.collections) >= COLLECTIONS_MAX:
        name = life.chances.choice(list(tenant.collections))
    body, is_refused = life.widened(tenant, {"name": name})
    is_there = name in tenant.collections
    life.ask(tenant, operation, body, expect=422 if is_refused else 409 if is_there else 201)
    if not is_refused and not is_there:
        tenant.collections[name] = Collection(canary_key=life.world.canary(tenant.number, "key"), words={name})


def list_collections(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    found = {each["name"]: each["documents"] for each in said["collections"]}
    life.same(
        f"collections of {tenant.name}", found, {name: len(each.documents) for name, each in tenant.collections.items()}
    )


def get_collection(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.collection_name(tenant)
    known = tenant.collections.get(name)
    answer = life.ask(tenant, operation, expect=200 if known else 404, name=name)
    if known and answer.status_code == 200:
        said = answer.json()
        life.same(f"{name} of {tenant.name}", (said["documents"], said["instruction"]),
                  (len(known.documents), known.instruction))  # fmt: skip
        life.same(f"attributes of {name} of {tenant.name}", set(said["attributes"]), known.ever)


def change_collection(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, instruction = life.world.collection_name(tenant), life.world.instruction_name(tenant)
    known, versions = tenant.collections.get(name), tenant.instructions.get(instruction, {})
    can_serve = any(state == "published" for state, _ in versions.values())
    chosen = life.chances.choice([None, instruction])
    expected = 404 if known is None or (chosen and not can_serve) else 200
    if not life.ask(tenant, operation, {"instruction": chosen}, expect=expected, name=name).is_error and known:
        known.instruction = chosen
        known.words |= words_of(chosen)


def remove_collection(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Mostly those of others, so that something stays to be looked for."""
    name = life.world.collection_name(tenant)
    if name in tenant.collections and life.chances.random() < 0.7:
        name = life.world.collection_name(life.world.other(tenant))
    known = tenant.collections.get(name)
    answer = life.ask(tenant, operation, expect=(200, 503) if known else 404, name=name)
    if answer.status_code == 200:
        tenant.collections.pop(name, None)


def upsert(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Documents under ids of its own, under one that everybody uses, and under other tenants' ids."""
    name = life.world.collection_name(tenant)
    known, world = tenant.collections.get(name), life.world
    theirs = world.document_id(world.other(tenant))
    ids = [world.canary(tenant.number, "doc") for _ in range(2)] + [SHARED_DOCUMENT, *([theirs] * (not known))]
    if known and len(known.documents) >= DOCUMENTS_MAX:
        ids = life.chances.sample(sorted(known.documents), 2)
    documents, bodies = {}, []
    for document_id in ids:
        document = Document(
            text=f"{world.canary(tenant.number, 'txt')} waits for {life.chances.choice(WORDS)} in the hall.",
            line=life.chances.choice("ab"),
            key=known.canary_key if known else "none",
            value=world.canary(tenant.number, "val"),
        )
        documents[document_id] = document
        claimed = world.other(tenant).name
        tenant.own_words.add(claimed)
        bodies.append({
            "id": document_id, "text": document.text, "title": world.canary(tenant.number, "ttl"),
            "url": f"https://example.org/{world.canary(tenant.number, 'url')}", "tenant": claimed,
            "metadata": {"line": document.line, document.key: document.value},
        })  # fmt: skip
    answer = life.ask(tenant, operation, {"documents": bodies}, expect=200 if known else 404, name=name)
    if answer.status_code == 200 and known:
        life.same(f"accepted in {name}", answer.json()["accepted"], len(bodies))
        known.documents |= documents
        known.ever |= {"line", "tenant", known.canary_key}
        known.words |= words_of(bodies)
        tenant.written += len(bodies)


def list_documents(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.collection_name(tenant)
    known = tenant.collections.get(name)
    answer = life.ask(tenant, operation, expect=200 if known else 404, name=name)
    if known and answer.status_code == 200:
        life.same(
            f"documents of {name} of {tenant.name}",
            [each["id"] for each in answer.json()["documents"]],
            sorted(known.documents),
        )


def get_document(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, document_id = life.world.collection_name(tenant), life.world.document_id(tenant)
    known = tenant.collections.get(name)
    document = known.documents.get(document_id) if known else None
    answer = life.ask(tenant, operation, expect=200 if document else 404, name=name, document_id=document_id)
    if document and answer.status_code == 200:
        life.same(f"{name}/{document_id} of {tenant.name}", answer.json()["text"], document.text)


def delete_document(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, document_id = life.world.collection_name(tenant), life.world.document_id(tenant)
    known = tenant.collections.get(name)
    is_there = known is not None and document_id in known.documents
    answer = life.ask(tenant, operation, expect=200 if is_there else 404, name=name, document_id=document_id)
    if known and answer.status_code == 200:
        known.documents.pop(document_id, None)


def delete_matching(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """A filter that says whose documents are meant removes nobody else's."""
    name = life.world.collection_name(tenant)
    known = tenant.collections.get(name)
    where, matches, named = life.filter_of(tenant, known)
    is_dry = life.chances.random() < 0.8
    body = {"filter": where, "dry_run": is_dry}
    is_known = where is not None and known is not None and named - {"never"} <= known.ever
    expected = 422 if where is None else 404 if known is None else 200 if is_known else 422
    answer = life.ask(tenant, operation, body, expect=expected, name=name)
    if known and answer.status_code == 200:
        gone = _matching(known, matches, named, where)
        if gone is not None:
            life.same(f"removed from {name} of {tenant.name}", answer.json()["documents"], len(gone))
        if not is_dry and gone is not None:
            known.documents = {each: found for each, found in known.documents.items() if each not in gone}
        if not is_dry and gone is None:  # what its documents claim is not in the model; the list says which are left
            _read_again(life, tenant, name, known)


def search(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Its own, another tenant's by name, and as `owner/name` where it was granted and where it was not."""
    name = searched_name(life, tenant)
    known = life.world.searched(tenant, name)
    where, matches, named = life.filter_of(tenant, known)
    is_reranked = life.chances.random() < 0.5
    asked = [life.world.canary(tenant.number, "query"), *WORDS, *_texts_of_others(life, tenant)]
    body: dict[str, Any] = {
        "query": life.chances.choice(asked),
        "collection": name, "top_k": 200, "candidates": 200, "filter": where,
        "rerank": is_reranked, "recall": life.chances.choice(("dense", "lexical", "hybrid")),
        "explain": life.chances.random() < 0.3, "group_by_document": life.chances.random() < 0.2,
        "neighbours": life.chances.choice((0, 0, 3)), "highlight": is_reranked and life.chances.random() < 0.4,
    }  # fmt: skip
    may_conflict: set[int] = set()
    if is_reranked and life.chances.random() < 0.3:
        body["min_relevance"] = "calibrated"
        may_conflict = {409}  # calibrated for another instruction, or not at all
    instruction = life.chances.choice([None, None, life.world.instruction_name(tenant)])
    if instruction is not None:
        body["instruction"] = {"name": instruction}
    body, is_refused = life.widened(tenant, body)
    versions = tenant.instructions.get(instruction, {}) if instruction else {}
    can_serve = instruction is None or any(state == "published" for state, _ in versions.values())
    is_known = known is not None and (where is None or named - {"never"} <= known.ever)
    expected = {404} if known is None or not can_serve else {*ready(known, 200 if is_known else 422), *may_conflict}
    answer = life.ask(tenant, operation, body, expect=422 if is_refused else expected, shown=shown_of(known))
    if answer.status_code != 200 or known is None:
        return
    tenant.searches += 1
    found = {each["document_id"] for each in answer.json()["results"]}
    expect = _matching(known, matches, named, where)
    if body["recall"] == "lexical" or expect is None:
        life.same(f"found in {name} for {tenant.name} beyond what is there", found - set(known.documents), set())
    else:
        life.same(f"found in {name} for {tenant.name} with {where}", found, expect)


def calibrate(life: Asking, tenant: Tenant, name: str) -> None:
    """Store a threshold that all passages reach. Only its owner may see the name of its instruction."""
    calibration = Calibration(
        tenant=TenantName(tenant.name),
        collection=name,
        measured_for=CalibratedFor(
            reranker="prefers-word", revision="1", instruction_sha256=BUILT_IN.sha256, fields=NO_CHOICE
        ),
        instruction=f"{life.world.canary(tenant.number, 'ins')}@1",
        threshold=0.0, precision=0.8, confidence=0.95, lower=0.8, observed=0.9, coverage=1.0, kept=1.0,
        queries=100, tested=80, answered=80, top_k=200, candidates=200, seed=1,
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    life.service.parts.disk.catalog.calibrations.put(calibration)


def list_generations(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.collection_name(tenant)
    life.ask(tenant, operation, expect=200 if name in tenant.collections else 404, name=name)


def roll_back(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Where there is an older index; the answers stay those of the newest documents."""
    name = life.world.collection_name(tenant)
    body, is_refused = life.widened(tenant, {})
    expected = 422 if is_refused else (200, 422) if name in tenant.collections else 404
    life.ask(tenant, operation, body, expect=(404, 422) if is_refused else expected, name=name)


def fold(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Seldom of its own, since each is a process; others are built by the service itself, by size."""
    name = life.world.collection_name(tenant)
    if name in tenant.collections and life.chances.random() < 0.7:
        name = life.world.collection_name(life.world.other(tenant))
    life.ask(tenant, operation, expect=(200, 202, 503) if name in tenant.collections else 404, name=name)


def rerank(life: Asking, tenant: Tenant, operation: Operation) -> None:
    texts = [life.world.canary(tenant.number, "txt"), *_texts_of_others(life, tenant)]
    said = life.ask(tenant, operation, {"query": texts[-1], "documents": texts}, expect=200).json()
    life.same("documents that were ranked", {each["document"]["text"] for each in said["results"]}, set(texts))


def searched_name(life: Asking, tenant: Tenant) -> str:
    granted = list(life.world.received(tenant))
    other = life.world.other(tenant)
    theirs = [f"{other.name}/{name}" for name in other.collections]
    return life.chances.choice([
        *list(tenant.collections)[:2], life.world.collection_name(tenant), *granted[:3], *theirs[:2],
        f"{other.name}/{SHARED_COLLECTION}",
    ])  # fmt: skip


def ready(known: Collection, expected: int) -> tuple[int, ...]:
    """A collection in which nothing is says so, unless an index of it was built."""
    return (expected,) if known.documents else (expected, 409)


def shown_of(known: Collection | None) -> set[str]:
    return set() if known is None else known.words


def _matching(known: Collection, matches: Any, named: set[str], where: Any) -> set[str] | None:
    """The ids that a filter means; None where the model does not hold what it asks for."""
    if "never" in named:
        return None
    return {each for each, document in known.documents.items() if where is None or matches(document)}


def _read_again(life: Asking, tenant: Tenant, name: str, known: Collection) -> None:
    operation = ("GET", "/v1/collections/{name}/documents/{document_id:path}")
    for document_id in list(known.documents):
        answer = life.ask(tenant, operation, expect=(200, 404), name=name, document_id=document_id)
        if answer.status_code == 404:
            del known.documents[document_id]


def _texts_of_others(life: Asking, tenant: Tenant) -> list[str]:
    """A text that another tenant has, word for word."""
    texts = [each.text for one in life.world.other(tenant).collections.values() for each in one.documents.values()]
    return texts[:1]


WORDS = ("a train", "the rain", "an answer", "雨停", "退货", "somebody else")
