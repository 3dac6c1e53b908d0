"""Requests about instructions, and what the model expects of each."""

from __future__ import annotations

from typing import Any

from tests.tenants.collection_requests import ready, searched_name, shown_of
from tests.tenants.requester import Asked, Asking
from tests.tenants.service import Operation
from tests.tenants.world import SHARED_INSTRUCTION, Tenant


def list_instructions(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    found: dict[str, dict[int, tuple[str, str]]] = {}
    for each in said["instructions"]:
        found.setdefault(each["name"], {})[each["version"]] = (each["state"], each["text"])
    life.same(f"instructions of {tenant.name}", found, {name: own for name, own in tenant.instructions.items() if own})
    life.same(f"default of {tenant.name}", said["default"], tenant.default)


def publish(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Under a name of its own, under one that everybody uses, and under another tenant's: each has its own of it."""
    name = _written_name(life, tenant)
    body, is_refused = life.widened(
        tenant, _content(life, tenant) | {"name": name, "draft": life.chances.random() < 0.3}
    )
    has_draft = any(state == "draft" for state, _ in tenant.instructions.get(name, {}).values())
    expected = 422 if is_refused else 409 if has_draft and not body["draft"] else 201
    _wrote(tenant, life.ask(tenant, operation, body, expect=expected))


def write_draft(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = _written_name(life, tenant)
    body, is_refused = life.widened(tenant, _content(life, tenant))
    _wrote(tenant, life.ask(tenant, operation, body, expect=422 if is_refused else 200, name=name))


def publish_draft(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, version, state = _version(life, tenant)
    expected = {None: 404, "draft": 200}.get(state, (404, 409))
    _wrote(tenant, life.ask(tenant, operation, expect=expected, name=name, version=str(version)))


def retire(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """409 where it is the last that a default can be served with."""
    name, version, state = _version(life, tenant)
    expected = {None: 404, "published": (200, 409)}.get(state, 409)
    _wrote(tenant, life.ask(tenant, operation, expect=expected, name=name, version=str(version)))


def delete_draft(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, version, state = _version(life, tenant)
    expected = {None: 404, "draft": 200}.get(state, (404, 409))
    if life.ask(tenant, operation, expect=expected, name=name, version=str(version)).status_code == 200:
        del tenant.instructions[name][version]


def get_instruction(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.instruction_name(tenant)
    known = tenant.instructions.get(name)
    answer = life.ask(tenant, operation, expect=200 if known else 404, name=name)
    if known and answer.status_code == 200:
        found = {each["version"]: (each["state"], each["text"]) for each in answer.json()["versions"]}
        life.same(f"{name} of {tenant.name}", found, known)


def get_version(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, version, state = _version(life, tenant)
    answer = life.ask(tenant, operation, expect=404 if state is None else 200, name=name, version=str(version))
    if state is not None and answer.status_code == 200:
        life.same(f"{name}@{version}", answer.json()["text"], tenant.instructions[name][version][1])


def diff(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, version, state = _version(life, tenant)
    expected = 200 if state is not None and 1 in tenant.instructions[name] else 404
    life.ask(tenant, operation, expect=expected, query=f"?before=1&after={version}", name=name)


def get_default(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    life.same(f"default of {tenant.name}", said["instruction"], tenant.default)


def set_default(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.chances.choice([None, life.world.instruction_name(tenant)])
    versions = tenant.instructions.get(name, {}) if name else {}
    can_serve = name is None or any(state == "published" for state, _ in versions.values())
    answer = life.ask(tenant, operation, {"instruction": name}, expect=200 if can_serve else 404)
    if answer.status_code == 200:
        tenant.default = name


def export(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """All of its own, or those of names of which some are another tenant's."""
    names = life.chances.choice([[], [life.world.instruction_name(tenant)]])
    known = all(tenant.instructions.get(name) for name in names)
    query = "?" + "&".join(f"name={name}" for name in names) if names else ""
    life.ask(tenant, operation, expect=200 if known else 404, query=query)


def bring_in(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """A file that says whose it is is refused, whole."""
    other = life.world.other(tenant)
    life.ask(tenant, operation, {"tenant": other.name, "instructions": []}, expect=422)


def preview(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.instruction_name(tenant)
    versions = tenant.instructions.get(name, {})
    can_serve = any(state in {"published", "draft"} for state, _ in versions.values())
    expected = 200 if any(state == "published" for state, _ in versions.values()) else (200, 404) if can_serve else 404
    asked: dict[str, Any] = {"instruction": {"name": name}, "query": "q"}
    known = None
    if life.chances.random() < 0.5:
        searched = searched_name(life, tenant)
        known = life.world.searched(tenant, searched)
        everybodys = [
            each for one in life.world.tenants for held in one.collections.values() for each in held.documents
        ]
        document = life.chances.choice([*sorted(known.documents if known else {}), *sorted(everybodys)[:3], "none"])
        asked |= {"collection": searched, "document_id": document}
        expected = expected if known is not None and document in known.documents else 404
    else:
        asked["document"] = "d"
    body, is_refused = life.widened(tenant, asked)
    life.ask(tenant, operation, body, expect=422 if is_refused else expected, shown=shown_of(known))


def try_several(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, (instruction, version, state) = searched_name(life, tenant), _version(life, tenant)
    known = life.world.searched(tenant, name)
    versions: list[Any] = life.chances.choice([["default"], ["default", f"{instruction}@{version}"]])
    is_known = known is not None and (len(versions) == 1 or state is not None)
    body, is_refused = life.widened(tenant, {"query": "a train", "collection": name, "versions": versions})
    expected = ready(known, 200) if is_known and known else 404
    life.ask(tenant, operation, body, expect=422 if is_refused else expected, shown=shown_of(known))


def get_built_in(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """What comes with winnow is everybody's; under `builtin/` lies nothing of anybody's."""
    name = life.chances.choice(["legal-statutes", life.world.instruction_name(tenant)])
    life.ask(tenant, operation, expect=200 if name == "legal-statutes" else 404, name=name)


def _written_name(life: Asking, tenant: Tenant) -> str:
    if len(tenant.instructions) >= 6:
        return life.chances.choice(sorted(tenant.instructions))
    theirs = life.world.instruction_name(life.world.other(tenant))
    name = life.chances.choice([life.world.canary(tenant.number, "ins"), SHARED_INSTRUCTION, theirs])
    if name == theirs:
        tenant.own_words.add(theirs)
    return name


def _content(life: Asking, tenant: Tenant) -> dict[str, Any]:
    canary = life.world.canary
    return {
        "text": f"Prefer passages about {canary(tenant.number, 'itx')}",
        "note": canary(tenant.number, "note"),
        "author": canary(tenant.number, "author"),
        "purpose": canary(tenant.number, "purpose"),
    }


def _version(life: Asking, tenant: Tenant) -> tuple[str, int, str | None]:
    """A name and a number, of its own or of somebody else's, and the state that it has for this tenant."""
    name = life.world.instruction_name(tenant)
    version = life.chances.choice([1, 2, *tenant.instructions.get(name, {})])
    found = tenant.instructions.get(name, {}).get(version)
    return name, version, None if found is None else found[0]


def _wrote(tenant: Tenant, answer: Asked) -> None:
    if answer.status_code in {200, 201}:
        said = answer.json()
        tenant.instructions.setdefault(said["name"], {})[said["version"]] = (said["state"], said["text"])
