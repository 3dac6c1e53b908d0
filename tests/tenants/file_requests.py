"""Requests about uploaded files and vector stores, and what the model expects of each."""

from __future__ import annotations

from typing import Any

from tests.tenants.collection_requests import COLLECTIONS_MAX, WORDS, shown_of
from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import Collection, Document, Tenant, words_of

FILES_MAX = 3  # of a tenant


def make_store(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.canary(tenant.number, "coll")
    if len(tenant.collections) >= COLLECTIONS_MAX:
        life.ask(tenant, operation, {"name": name, "expires_after": {"days": 1}}, expect=422)
        return
    body = {"name": name, "metadata": {"who": life.world.canary(tenant.number, "val")}}
    said = life.ask(tenant, operation, body, expect=200).json()
    life.same("the id of a new vector store", said["id"], name)
    tenant.collections[name] = Collection(canary_key=life.world.canary(tenant.number, "key"), words=words_of(body))


def change_store(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.collection_name(tenant)
    body = {"metadata": {"who": life.world.canary(tenant.number, "val")}}
    answer = life.ask(tenant, operation, body, expect=200 if name in tenant.collections else 404, name=name)
    if answer.status_code == 200:
        life.same(f"metadata of {name}", answer.json()["metadata"], body["metadata"])


def upload(life: Asking, tenant: Tenant, operation: Operation) -> None:
    if len(tenant.files) >= FILES_MAX:
        life.ask(tenant, operation, {"purpose": "assistants"}, expect=415)
        return
    text = f"{life.world.canary(tenant.number, 'txt')} waits for {life.chances.choice(WORDS)} in the hall."
    name = f"{life.world.canary(tenant.number, 'ttl')}.txt"
    form = {"data": {"purpose": "assistants"}, "files": {"file": (name, text.encode())}}
    said = life.ask(tenant, operation, expect=200, form=form).json()
    tenant.files[said["id"]] = (name, text)


def list_files(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    found = {each["id"]: each["filename"] for each in said["data"]}
    life.same(f"files of {tenant.name}", found, {each: name for each, (name, _) in tenant.files.items()})


def read_file(life: Asking, tenant: Tenant, operation: Operation) -> None:
    file_id = _file_id(life, tenant)
    known = tenant.files.get(file_id)
    answer = life.ask(tenant, operation, expect=200 if known else 404, file_id=file_id)
    if known and answer.status_code == 200:
        found = answer.text if operation[1].endswith("/content") else answer.json()["filename"]
        life.same(f"{file_id} of {tenant.name}", found, known[operation[1].endswith("/content")])


def delete_file(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """It leaves every vector store with its documents."""
    file_id = _file_id(life, tenant)
    answer = life.ask(tenant, operation, expect=200 if file_id in tenant.files else 404, file_id=file_id)
    if answer.status_code == 200:
        del tenant.files[file_id]
        for collection in tenant.collections.values():
            _detach(collection, file_id)


def attach(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Also again, with other attributes; another tenant's file or collection is as one that is not there."""
    name, file_id = life.world.collection_name(tenant), _file_id(life, tenant)
    known, file = tenant.collections.get(name), tenant.files.get(file_id)
    value = life.world.canary(tenant.number, "val")
    attributes = {"line": life.chances.choice("ab"), known.canary_key if known else "none": value}
    body: dict[str, Any] = {"attributes": attributes}
    is_change = operation[1].endswith("{file_id}")
    is_there = known is not None and file is not None and (not is_change or file_id in known.files)
    places = {"name": name} | ({"file_id": file_id} if is_change else {})
    if not is_change:
        body["file_id"] = file_id
    answer = life.ask(tenant, operation, body, expect=200 if is_there else 404, **places)
    if answer.status_code != 200 or known is None or file is None:
        return
    life.same(f"{file_id} in {name}", (answer.json()["status"], answer.json()["last_error"]), ("completed", None))
    document = Document(text=file[1], line=attributes["line"], key=known.canary_key, value=value)
    known.documents[f"{file_id}/{file[0]}"] = document
    known.files.add(file_id)
    known.ever |= {"line", known.canary_key}
    known.words |= words_of([file, attributes])
    tenant.written += 1


def list_attached(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.collection_name(tenant)
    known = tenant.collections.get(name)
    answer = life.ask(tenant, operation, expect=200 if known else 404, name=name, shown=shown_of(known))
    if known and answer.status_code == 200:
        life.same(f"files of {name} of {tenant.name}", {each["id"] for each in answer.json()["data"]}, known.files)


def read_attached(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, file_id = life.world.collection_name(tenant), _file_id(life, tenant)
    known = tenant.collections.get(name)
    is_there = known is not None and file_id in known.files
    life.ask(tenant, operation, expect=200 if is_there else 404, name=name, file_id=file_id, shown=shown_of(known))


def detach(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, file_id = life.world.collection_name(tenant), _file_id(life, tenant)
    known = tenant.collections.get(name)
    is_there = known is not None and file_id in known.files
    answer = life.ask(tenant, operation, expect=200 if is_there else 404, name=name, file_id=file_id)
    if answer.status_code == 200 and known:
        _detach(known, file_id)


def refused(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """What comes in many files or parts, whether its collection is there or not."""
    places = {"name": life.world.collection_name(tenant)} if "{name}" in operation[1] else {}
    life.ask(tenant, operation, {}, expect=422, **places)


def _detach(known: Collection, file_id: str) -> None:
    known.files.discard(file_id)
    for each in [each for each in known.documents if each.startswith(f"{file_id}/")]:
        del known.documents[each]


def _file_id(life: Asking, tenant: Tenant) -> str:
    """One of anybody's, or of nobody's."""
    return life.chances.choice([*life.world.whose(tenant).files, *tenant.files, "file-" + "0" * 24])
