"""Does anybody ever see what is another tenant's? Random requests of many tenants, each compared with a plain model.

    python -m tests.tenants.random_requests --steps 10000 --tenants 50 --seed 1
    python -m tests.tenants.random_requests --steps 10000 --tenants 50 --seed 1 --postgres

Every route of the app's own table has a generator here, or the run does not begin. Names, ids and words are a tenant's
own or somebody else's, bodies and headers now and then claim to be another tenant. The service is a whole one over a
folder (only its models are fakes): it folds meanwhile, is rolled back, and is ended and started again every so often.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.postgres import running
from tests.tenants import (
    access_requests,
    collection_requests,
    compat_requests,
    file_requests,
    instruction_requests,
    judgment_requests,
    shadow_and_limit_requests,
    stability_requests,
    webhook_requests,
)
from tests.tenants.requester import Asking
from tests.tenants.service import Operation, operations_of, serving
from tests.tenants.world import SHARED_COLLECTION, SHARED_INSTRUCTION, Tenant, World

Generator = Callable[[Asking, Tenant, Operation], None]
LIVES: Final = 4  # how often the service is started anew within a run, and looked through

ONE = "/v1/collections/{name}"
LIBRARY = "/v1/instructions"
GENERATORS: Final[Mapping[Operation, tuple[int, Generator]]] = {
    ("POST", "/v1/search"): (14, collection_requests.search),
    ("POST", "/v1/rerank"): (2, collection_requests.rerank),
    ("POST", "/v2/rerank"): (1, collection_requests.rerank),
    ("POST", "/rerank"): (1, collection_requests.rerank),
    ("POST", "/score"): (1, compat_requests.score),
    ("POST", "/v1/score"): (1, compat_requests.score),
    ("POST", "/v1/embeddings"): (1, compat_requests.embed),
    ("POST", f"{ONE}/search"): (2, compat_requests.search_in_path),
    ("POST", f"{ONE}/web_search"): (2, compat_requests.search_in_path),
    ("POST", "/v1/vector_stores/{name}/search"): (2, compat_requests.search_in_path),
    ("GET", "/v1/vector_stores"): (1, compat_requests.list_vector_stores),
    ("GET", "/v1/vector_stores/{name}"): (2, compat_requests.get_vector_store),
    ("POST", "/v1/vector_stores"): (1, file_requests.make_store),
    ("POST", "/v1/vector_stores/{name}"): (1, file_requests.change_store),
    ("DELETE", "/v1/vector_stores/{name}"): (1, collection_requests.remove_collection),
    ("POST", "/v1/vector_stores/{name}/file_batches"): (1, file_requests.refused),
    ("GET", "/v1/vector_stores/{name}/files"): (2, file_requests.list_attached),
    ("POST", "/v1/vector_stores/{name}/files"): (5, file_requests.attach),
    ("GET", "/v1/vector_stores/{name}/files/{file_id}"): (2, file_requests.read_attached),
    ("POST", "/v1/vector_stores/{name}/files/{file_id}"): (2, file_requests.attach),
    ("DELETE", "/v1/vector_stores/{name}/files/{file_id}"): (1, file_requests.detach),
    ("GET", "/v1/vector_stores/{name}/files/{file_id}/content"): (2, file_requests.read_attached),
    ("GET", "/v1/files"): (2, file_requests.list_files),
    ("POST", "/v1/files"): (4, file_requests.upload),
    ("GET", "/v1/files/{file_id}"): (2, file_requests.read_file),
    ("GET", "/v1/files/{file_id}/content"): (2, file_requests.read_file),
    ("DELETE", "/v1/files/{file_id}"): (1, file_requests.delete_file),
    ("POST", "/v1/uploads"): (1, file_requests.refused),
    ("POST", "/retrieval"): (2, compat_requests.retrieve),
    ("POST", "/mcp"): (3, compat_requests.call_tool),
    ("GET", "/v1/models"): (1, access_requests.open_to_all),
    ("GET", "/v1/models/{name:path}"): (1, compat_requests.read_model),
    ("POST", "/v1/feedback"): (4, judgment_requests.give),
    ("GET", "/v1/judgments"): (2, judgment_requests.read),
    ("DELETE", "/v1/judgments"): (1, judgment_requests.remove),
    ("PUT", "/v1/judgments/settings"): (1, judgment_requests.set_texts),
    ("GET", "/v1/collections"): (3, collection_requests.list_collections),
    ("POST", "/v1/collections"): (3, collection_requests.make_collection),
    ("GET", ONE): (4, collection_requests.get_collection),
    ("PATCH", ONE): (3, collection_requests.change_collection),
    ("DELETE", ONE): (2, collection_requests.remove_collection),
    ("POST", f"{ONE}/documents"): (9, collection_requests.upsert),
    ("GET", f"{ONE}/documents"): (3, collection_requests.list_documents),
    ("GET", f"{ONE}/documents/{{document_id:path}}"): (6, collection_requests.get_document),
    ("DELETE", f"{ONE}/documents/{{document_id:path}}"): (4, collection_requests.delete_document),
    ("POST", f"{ONE}/delete"): (4, collection_requests.delete_matching),
    ("GET", f"{ONE}/generations"): (2, collection_requests.list_generations),
    ("POST", f"{ONE}/generations/rollback"): (2, collection_requests.roll_back),
    ("POST", f"{ONE}/fold"): (2, collection_requests.fold),
    ("GET", LIBRARY): (2, instruction_requests.list_instructions),
    ("POST", LIBRARY): (4, instruction_requests.publish),
    ("GET", f"{LIBRARY}/default"): (1, instruction_requests.get_default),
    ("PUT", f"{LIBRARY}/default"): (2, instruction_requests.set_default),
    ("GET", f"{LIBRARY}/export"): (1, instruction_requests.export),
    ("POST", f"{LIBRARY}/import"): (1, instruction_requests.bring_in),
    ("POST", f"{LIBRARY}/preview"): (2, instruction_requests.preview),
    ("POST", f"{LIBRARY}/try"): (3, instruction_requests.try_several),
    ("GET", f"{LIBRARY}/builtin/{{name}}"): (1, instruction_requests.get_built_in),
    ("GET", f"{LIBRARY}/{{name}}"): (2, instruction_requests.get_instruction),
    ("GET", f"{LIBRARY}/{{name}}/versions/{{version}}"): (2, instruction_requests.get_version),
    ("GET", f"{LIBRARY}/{{name}}/diff"): (1, instruction_requests.diff),
    ("PUT", f"{LIBRARY}/{{name}}/draft"): (2, instruction_requests.write_draft),
    ("POST", f"{LIBRARY}/{{name}}/versions/{{version}}/publish"): (2, instruction_requests.publish_draft),
    ("POST", f"{LIBRARY}/{{name}}/versions/{{version}}/retire"): (2, instruction_requests.retire),
    ("DELETE", f"{LIBRARY}/{{name}}/versions/{{version}}"): (2, instruction_requests.delete_draft),
    ("GET", f"{LIBRARY}/shadows"): (1, shadow_and_limit_requests.read),
    ("GET", f"{LIBRARY}/{{name}}/shadow"): (2, shadow_and_limit_requests.of_name),
    ("PUT", f"{LIBRARY}/{{name}}/shadow"): (2, shadow_and_limit_requests.of_name),
    ("DELETE", f"{LIBRARY}/{{name}}/shadow"): (2, shadow_and_limit_requests.of_name),
    ("POST", f"{LIBRARY}/{{name}}/versions/{{version}}/promote"): (2, shadow_and_limit_requests.promote),
    ("GET", "/v1/stability"): (2, stability_requests.report),
    ("GET", "/v1/stability/golden"): (2, stability_requests.list_sets),
    ("POST", "/v1/stability/golden"): (3, stability_requests.add),
    ("DELETE", "/v1/stability/golden/{name}"): (2, stability_requests.remove),
    ("PUT", "/v1/stability/golden/{name}/schedule"): (2, stability_requests.schedule),
    ("DELETE", "/v1/stability/golden/{name}/schedule"): (1, stability_requests.schedule),
    ("GET", "/v1/stability/runs"): (2, stability_requests.list_runs),
    ("POST", "/v1/stability/runs"): (2, stability_requests.run_foreign),
    ("GET", "/v1/stability/runs/{number}"): (2, stability_requests.read_run),
    ("GET", "/v1/stability/sampling"): (1, stability_requests.sampling),
    ("PUT", "/v1/stability/sampling"): (1, stability_requests.sampling),
    ("GET", "/v1/stability/webhook"): (2, webhook_requests.read),
    ("PUT", "/v1/stability/webhook"): (2, webhook_requests.put),
    ("DELETE", "/v1/stability/webhook"): (1, webhook_requests.remove),
    ("POST", "/v1/stability/webhook/rotate"): (1, webhook_requests.rotate),
    ("GET", "/v1/stability/webhook/deliveries"): (1, webhook_requests.list_deliveries),
    ("GET", "/v1/stability/thresholds"): (2, stability_requests.read_thresholds),
    ("PUT", "/v1/stability/thresholds"): (2, stability_requests.set_thresholds),
    ("DELETE", "/v1/stability/thresholds"): (1, stability_requests.remove_thresholds),
    ("GET", "/v1/limits"): (1, shadow_and_limit_requests.read),
    ("GET", "/v1/tenants/{name}/limits"): (1, shadow_and_limit_requests.of_tenant),
    ("PUT", "/v1/tenants/{name}/limits"): (1, shadow_and_limit_requests.of_tenant),
    ("GET", "/v1/keys"): (2, access_requests.list_keys),
    ("POST", "/v1/keys"): (1, access_requests.make_key),
    ("POST", "/v1/keys/{key_id}/rotate"): (2, access_requests.rotate_key),
    ("DELETE", "/v1/keys/{key_id}"): (2, access_requests.revoke_key),
    ("GET", "/v1/grants"): (2, access_requests.list_grants),
    ("PUT", f"{ONE}/grants/{{reader}}"): (6, access_requests.give_grant),
    ("DELETE", f"{ONE}/grants/{{reader}}"): (4, access_requests.take_grant_back),
    ("GET", "/v1/audit"): (2, access_requests.list_audit),
    ("GET", "/v1/usage"): (3, access_requests.get_usage),
    ("GET", "/v1/tenants"): (1, access_requests.list_tenants),
    ("POST", "/v1/tenants"): (1, access_requests.make_tenant),
    ("PATCH", "/v1/tenants/{name}"): (1, access_requests.change_tenant),
    ("POST", "/v1/tenants/{name}/keys"): (1, access_requests.make_key_of_tenant),
    ("GET", "/metrics"): (1, access_requests.metrics),
    ("GET", "/healthz"): (1, access_requests.open_to_all),
    ("GET", "/readyz"): (1, access_requests.readyz),
    ("GET", "/docs"): (1, access_requests.open_to_all),
    ("GET", "/openapi.json"): (1, access_requests.open_to_all),
    ("GET", "/openapi-tools.json"): (1, access_requests.open_to_all),
    ("GET", "/"): (1, access_requests.page),
    ("GET", "/ui"): (1, access_requests.page),
    ("GET", "/ui/{path:path}"): (1, access_requests.page),
}  # how often it is chosen, against the others


def lived(root: Path, *, steps: int, tenants: int, seed: int, catalog_url: str | None = None) -> Asking:
    """As many requests as that, at least one on every route. Raises `AssertionError` where a route has no generator.

    The database of a catalog's URL must be empty; without one it is a file in the folder.
    """
    world = World(random.Random(seed))
    with serving(root, catalog_url=catalog_url) as service:
        unasked = operations_of(service.app) ^ set(GENERATORS)
        assert not unasked, f"routes without a generator, or generators without a route: {sorted(unasked)}"
        life = Asking(service, world)
        for number in range(tenants):
            _settle(life, number)
        chosen = world.chances.choices(
            list(GENERATORS), weights=[often for often, _ in GENERATORS.values()], k=max(0, steps - len(GENERATORS))
        )
        chosen += world.chances.sample(list(GENERATORS), len(GENERATORS))
        for step, operation in enumerate(chosen, start=1):
            GENERATORS[operation][1](life, world.chances.choice(world.tenants), operation)
            if step % max(1, len(chosen) // LIVES) == 0:
                _look_through(life)
                service.restart()
        for tenant in world.tenants:  # at the end everybody has what the model has, and nothing else
            for operation in (("GET", "/v1/collections"), ("GET", LIBRARY), ("GET", "/v1/keys"), ("GET", "/v1/grants"),
                              ("GET", "/v1/usage")):  # fmt: skip
                GENERATORS[operation][1](life, tenant, operation)
        _look_through(life)
    return life


def _settle(life: Asking, number: int) -> None:
    """A tenant with a collection, documents and an instruction under the names that all use."""
    world = life.world
    name = world.canary(number, "tenant")
    said = life.ask(None, ("POST", "/v1/tenants"), {"name": name}, expect=201).json()
    tenant = Tenant(number=number, name=name, key=said["key"]["key"])
    tenant.keys[tenant.key_id] = "active"
    world.issued.append(tenant.key)
    world.tenants.append(tenant)
    if number == 0:
        return  # it has nothing to begin with, and nobody to compare itself with yet
    for each in (SHARED_COLLECTION, world.canary(number, "coll")):
        life.ask(tenant, ("POST", "/v1/collections"), {"name": each}, expect=201)
        tenant.collections[each] = collection_requests.Collection(canary_key=world.canary(number, "key"), words={each})
        collection_requests.calibrate(life, tenant, each)
    collection_requests.upsert(life, tenant, ("POST", f"{ONE}/documents"))
    body = {"name": SHARED_INSTRUCTION, "text": f"Prefer {world.canary(number, 'itx')}"}
    life.ask(tenant, ("POST", LIBRARY), body, expect=201)
    tenant.instructions[SHARED_INSTRUCTION] = {1: ("published", body["text"])}


def _look_through(life: Asking) -> None:
    """What the service told its operator, who may know names, and nobody's texts, keys or questions."""
    access_requests.metrics(life, life.world.tenants[0], ("GET", "/metrics"))
    lines = "\n".join(life.service.log.lines)
    life.leaks += [f"{word} in the log" for word in life.world.betrayed(lines)]
    life.leaks += [f"key {text[:16]} in the log" for text in life.world.issued if text.split("_")[2] in lines]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000, help="steps; each is a request or a few (10000)")
    parser.add_argument("--tenants", type=int, default=50, help="so many (50)")
    parser.add_argument("--seed", type=int, default=1, help="of what is chosen (1)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--catalog-url", help="of an empty PostgreSQL database, in place of a file of SQLite")
    where.add_argument("--postgres", action="store_true", help="the same, of a PostgreSQL that is started for it")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="winnow-tenants-"))
        life = lived(
            Path(folder),
            steps=options.steps,
            tenants=options.tenants,
            seed=options.seed,
            catalog_url=stack.enter_context(running()).new() if options.postgres else options.catalog_url,
        )
    for line in (*life.leaks[:20], *life.differences[:20]):
        print(line)
    folds = Counter(line.split(": ")[-1].split()[1] for line in life.service.log.lines if " was built in " in line)
    print(f"{sum(life.asked.values())} operations on {len(life.asked)} routes of {options.tenants} tenants, statuses "
          f"{dict(sorted(life.statuses.items()))}, {folds.total()} indexes built, {LIVES} restarts")  # fmt: skip
    for (status, code), count in sorted(life.refusals.items()):
        print(f"  {count:6} {status} {code}")
    print(f"{life.foreign} foreign ids and words tried, {len(life.leaks)} leaks, {len(life.differences)} differences "
          f"from the model, {time.monotonic() - began:.0f} s")  # fmt: skip
    return 1 if life.leaks or life.differences else 0


if __name__ == "__main__":
    sys.exit(main())
