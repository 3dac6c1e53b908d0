"""Is every change of any file of a data folder named by `winnow verify`, or without effect?

    python -m tests.faults.flips --count 200 --seed 1

A folder is filled through the service: tenants, keys, grants, instructions, quotas, collections with several
generations, a rollback, removed documents, rejects. Each turn copies it and changes one file: a flipped bit, a file cut
short, removed, or grown; the files take turns. Then `verify` looks. A change that it does not name must not show in
anything that the service answers, before and after writes to every collection. Prints one JSON object; exits with 1
where something was neither.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from starlette.testclient import TestClient

from tests.fakes import HashEmbedder, PrefersWord
from tests.real_models import bundled_model
from winnow.api.assemble import wire
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.verify import verified
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish
from winnow.retrieval.errors import WinnowError
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, TenantName

COLLECTIONS: Final = ("docs", "laws")
TENANTS: Final = ("default", "archive", "library")
WORDS: Final = ("heron", "refund", "court", "合同", "退货", "river", "statute", "消费者")
VOLATILE: Final = frozenset({"id", "timings_ms", "last_used_at", "at", "created_at", "spent", "usage", "number"})
KINDS: Final = ("flip", "flip", "flip", "cut", "removed", "grown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One change, and what came of it."""

    file: str
    kind: str
    place: int  # of the flipped byte, or where the file was cut
    named: str | None  # by verify, as a fault or as something worth telling
    is_fault: bool
    differs: str | None = None  # what the service answers otherwise, where nothing was named

    @property
    def is_unseen(self) -> bool:
        return self.named is None and self.differs is not None


def served(root: Path) -> TestClient:
    tokenizer = PlainTokenizer.load(bundled_model("reranker").path)
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("heron"), runs_on="words", device="cpu")
    parts = wire(Settings(data=root, fold_chunks=0), embedding, judging)
    return TestClient(create_app(parts), base_url="http://localhost", raise_server_exceptions=False)


def fill(root: Path) -> dict[str, str]:
    """The keys of the tenants."""
    disk = DataFolder.open(root)
    keys = {}
    for name in TENANTS:
        tenant = DEFAULT_TENANT if name == "default" else disk.catalog.tenants.make(name, by=COMMAND_LINE).name
        keys[name] = disk.catalog.keys.make(tenant, KeyWish(scopes=ALL_SCOPES, note=f"of {name}"), by=COMMAND_LINE).text
    disk.catalog.database.close()
    chance = random.Random(7)
    with served(root) as client:
        for name in TENANTS:
            client.headers["authorization"] = f"Bearer {keys[name]}"
            _fill_tenant(client, name, chance)
        client.headers["authorization"] = f"Bearer {keys['default']}"
        _ok(client.put("/v1/tenants/archive/limits", json={"documents": 1_000}))
        _ok(client.put("/v1/collections/docs/grants/library"))
        for name in TENANTS:
            _fold(client, TenantName(name))
    return keys


def _fill_tenant(client: TestClient, tenant: str, chance: random.Random) -> None:
    text = {"text": f"Prefer {{kind}} documents of {tenant}.", "variables": [{"name": "kind", "default": "recent"}]}
    _ok(client.post("/v1/instructions", json={"name": "recent", **text}))
    for collection in COLLECTIONS:
        _ok(client.post("/v1/collections", json={"name": collection}))
        for turn in range(3):
            documents = [
                {"id": f"{turn}-{place}", "text": " ".join(chance.choices(WORDS, k=12)), "kind": chance.choice(WORDS)}
                for place in range(4)
            ]
            _ok(client.post(f"/v1/collections/{collection}/documents", json={"documents": documents}))
        _ok(client.delete(f"/v1/collections/{collection}/documents/1-2"))


def _fold(client: TestClient, tenant: TenantName) -> None:
    """Two generations each; the second collection is rolled back, and has records that did not go in."""
    collections = client.app.state.parts.collections  # type: ignore[attr-defined]  (starlette's, of any app)
    for name in COLLECTIONS:
        opened = collections.get(tenant, name)
        for _ in range(2):
            fold(opened.folder, opened.store.snapshot(), opened.collection.embedder, made_at=None)
    roll_back(opened.folder, opened.collection.embedder)
    opened.folder.rejects.write_text('{"line": 3, "source": "a.jsonl", "id": null, "reason": "not JSON"}\n')


def observed(root: Path, keys: dict[str, str]) -> dict[str, Any]:
    """What the service answers to each tenant, then takes, then answers."""
    found: dict[str, Any] = {}
    with served(root) as client:
        for tenant, key in keys.items():
            client.headers["authorization"] = f"Bearer {key}"
            for path in ("collections", "instructions", "instructions/recent", "keys", "grants", "usage"):
                found[f"{tenant} {path}"] = _said(client.get(f"/v1/{path}"))
            for collection in COLLECTIONS:
                found |= {f"{tenant} {name}": said for name, said in _of_collection(client, collection)}
    return found


def _of_collection(client: TestClient, name: str) -> Iterator[tuple[str, Any]]:
    base = f"/v1/collections/{name}"
    for when in ("before", "after"):
        for word in WORDS[:4]:
            body = {"query": word, "collection": name, "instruction": {"name": "recent"}, "top_k": 20}
            yield f"{name} {word} {when}", _said(client.post("/v1/search", json=body))
        yield f"{name} document {when}", _said(client.get(f"{base}/documents/2-1"))
        yield f"{name} generations {when}", _said(client.get(f"{base}/generations"))
        yield (
            f"{name} upsert {when}",
            _said(client.post(f"{base}/documents", json={"id": when, "text": f"heron {when}"})),
        )
        yield f"{name} delete {when}", _said(client.delete(f"{base}/documents/0-{len(when) % 4}"))


def _said(response: Any) -> Any:
    return response.status_code, _still(response.json())


def _still(value: Any) -> Any:
    """Without what differs from call to call."""
    if isinstance(value, dict):
        return {name: _still(each) for name, each in value.items() if name not in VOLATILE}
    return [_still(each) for each in value] if isinstance(value, list) else value


def _ok(response: Any) -> None:
    assert response.status_code < 300, response.text


def files_of(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def changed(path: Path, kind: str, chance: random.Random) -> int:
    """Changes the file; what cannot be flipped or cut, because it is empty, grows."""
    whole = path.read_bytes()
    place = chance.randrange(len(whole)) if whole else 0
    if kind == "removed":
        path.unlink()
    elif kind == "grown" or not whole:
        path.write_bytes(whole + chance.randbytes(chance.randint(1, 64)))
    elif kind == "cut":
        path.write_bytes(whole[:place])
    else:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
    return place


def looked_at(root: Path) -> tuple[str | None, bool]:
    """What `verify` names, and whether it calls it a fault."""
    try:
        disk = DataFolder.existing(root)
        checks = verified(disk)
        disk.catalog.database.close()
    except WinnowError as error:
        return error.message, True
    faults = [f"{check.collection} {check.part}: {check.fault}" for check in checks if check.fault]
    told = [
        f"{check.collection} {check.part}: {check.found}"
        for check in checks
        if check.part in {"left over", "unknown", "SHA256SUMS", "collection.json"}
    ]
    return ("; ".join([*faults, *told])[:300] or None), bool(faults)


def turns(scratch: Path, *, count: int, seed: int) -> Iterator[Outcome]:
    whole = scratch / "whole"
    keys = fill(whole)
    before = looked_at(whole)
    assert before == (None, False), f"the folder is not sound before anything is changed: {before}"
    expected = _observed_in_copy(scratch, whole, keys, None)
    files, chance = files_of(whole), random.Random(seed)
    chance.shuffle(files)
    for turn in range(count):
        file, kind = files[turn % len(files)], chance.choice(KINDS)
        damaged = scratch / "damaged"
        shutil.copytree(whole, damaged)
        place = changed(damaged / file, kind, chance)
        kept = scratch / "kept"
        shutil.copytree(damaged, kept)  # looking must not be what mends it
        named, is_fault = looked_at(damaged)
        shutil.rmtree(damaged)
        differs = None if named else _observed_in_copy(scratch, kept, keys, expected)
        shutil.rmtree(kept)
        yield Outcome(file=file, kind=kind, place=place, named=named, is_fault=is_fault, differs=differs or None)


def _observed_in_copy(scratch: Path, root: Path, keys: dict[str, str], expected: dict[str, Any] | None) -> Any:
    """What is observed, or where it differs from what was expected."""
    copy = scratch / "data"  # the same path each time, since some answers name it
    shutil.copytree(root, copy)
    found = observed(copy, keys)
    shutil.rmtree(copy)
    if expected is None:
        return found
    return "; ".join(
        f"{name}: {found[name]} not {expected[name]}" for name in expected if found[name] != expected[name]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = []
        for outcome in turns(Path(folder), count=asked.count, seed=asked.seed):
            outcomes.append(outcome)
            if outcome.named is None or not outcome.is_fault:
                said = outcome.named or ("DIFFERS " + outcome.differs[:400] if outcome.differs else "without effect")
                print(f"{outcome.kind} {outcome.file} @{outcome.place}: {said}", file=sys.stderr, flush=True)
    report = {
        "changes": len(outcomes),
        "files": len({each.file for each in outcomes}),
        "faults": sum(each.is_fault for each in outcomes),
        "told": sum(each.named is not None and not each.is_fault for each in outcomes),
        "without_effect": sum(each.named is None and each.differs is None for each in outcomes),
        "unseen": [f"{each.kind} {each.file} @{each.place}: {each.differs}" for each in outcomes if each.is_unseen],
        "seconds": round((datetime.now(UTC) - began).total_seconds()),
    }
    print(json.dumps(report, indent=1))
    sys.exit(1 if report["unseen"] else 0)


if __name__ == "__main__":
    main()
