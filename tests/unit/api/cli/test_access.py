"""`winnow keys`, `tenants`, `grants` and `audit`, as somebody types them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from tests.contract.test_keys import collection
from winnow.api.cli.main import app
from winnow.api.cli.terminal import Terminal
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.doctor import data_found
from winnow.api.settings import Settings
from winnow.retrieval.catalog.keys import ALL_SCOPES, digest_of, id_of
from winnow.retrieval.errors import CollectionNotFound, InstructionNotFound, InvalidRequest, KeyNotFound, TenantNotFound
from winnow.retrieval.tenancy import DEFAULT_TENANT


def typed(data: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data", str(data)], catch_exceptions=False)


def said(data: Path, *words: str) -> Any:
    return orjson.loads(typed(data, *words, "--json").stdout)


def test_the_first_key_is_all_that_goes_to_standard_output(tmp_path: Path) -> None:
    """So that a shell can keep it; it is accepted, and may do everything."""
    printed = typed(tmp_path, "keys", "bootstrap")
    assert printed.exit_code == 0
    text = printed.stdout.strip()
    stored = DataFolder.open(tmp_path).catalog.keys.find(str(id_of(text)))
    assert stored is not None
    assert (stored.digest, stored.key.scopes, stored.key.tenant) == (digest_of(text), ALL_SCOPES, "default")
    assert "Store the key now" in printed.stderr
    assert text not in printed.stderr


def test_keys_live_from_their_making_to_their_end(tmp_path: Path) -> None:
    """Made with scopes, note and lifetime; replaced; revoked; listed throughout, and never again with their secret."""
    typed(tmp_path, "keys", "bootstrap")
    made = said(tmp_path, "keys", "create", "-s", "search", "-s", "write", "--note", "shop", "--expires-in-days", "9")
    assert (made["scopes"], made["note"], made["tenant"]) == (["search", "write"], "shop", "default")
    new = said(tmp_path, "keys", "rotate", made["id"], "--overlap-seconds", "0")
    assert (new["scopes"], new["note"]) == (made["scopes"], "shop")
    assert said(tmp_path, "keys", "revoke", new["id"])["standing"] == "revoked"
    listed = {each["id"]: each["standing"] for each in said(tmp_path, "keys", "list")["keys"]}
    assert (listed[made["id"]], listed[new["id"]], len(listed)) == ("expired", "revoked", 3)
    table = typed(tmp_path, "keys", "list").stdout
    assert new["key"].rpartition("_")[2][:16] not in table
    assert "search write" in table
    with pytest.raises(KeyNotFound):
        typed(tmp_path, "keys", "revoke", "0" * 12)
    with pytest.raises(TenantNotFound):
        typed(tmp_path, "keys", "list", "--tenant", "nobody")


def test_tenants_and_grants(tmp_path: Path) -> None:
    """A tenant comes with its first key; a grant is on both sides."""
    made = said(tmp_path, "tenants", "create", "library")
    assert (made["name"], made["key"]["scopes"]) == ("library", ["admin", "search", "write"])
    with pytest.raises(InvalidRequest):
        typed(tmp_path, "tenants", "create", "../library")
    assert said(tmp_path, "tenants", "disable", "library")["disabled_at"] is not None
    assert "library" in typed(tmp_path, "tenants", "list").stdout
    assert said(tmp_path, "tenants", "enable", "library")["disabled_at"] is None
    DataFolder.open(tmp_path).catalog.collections.add(collection("laws"))
    assert said(tmp_path, "grants", "give", "laws", "library")["tenant"] == "library"
    assert said(tmp_path, "grants", "list")["given"][0]["collection"] == "laws"
    assert said(tmp_path, "grants", "list", "--tenant", "library")["received"][0]["collection"] == "default/laws"
    assert typed(tmp_path, "grants", "revoke", "laws", "library").exit_code == 0
    assert DataFolder.open(tmp_path).catalog.grants.given(DEFAULT_TENANT) == []


def test_everything_of_a_tenant_is_reached_by_its_name(tmp_path: Path) -> None:
    """Corpora, collections, generations, instructions and searches: each tenant's own under the same names."""
    typed(tmp_path, "tenants", "create", "library")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "heron", "text": "The heron stands in the reeds."}\n', encoding="utf-8")
    of_docs, of_library = ("--collection", "docs"), ("--tenant", "library")
    assert said(tmp_path, "index", str(corpus), *of_docs, *of_library)["added"] == 1
    found = said(tmp_path, "search", "heron", *of_docs, "--no-rerank", *of_library)
    assert [each["document_id"] for each in found["results"]] == ["heron"]
    assert len(said(tmp_path, "generations", "list", *of_docs, *of_library)["generations"]) == 1
    said(tmp_path, "instructions", "publish", "house", "Prefer birds", *of_library)
    said(tmp_path, "collections", "set-instruction", "docs", "house", *of_library)
    assert said(tmp_path, "collections", "show", "docs", *of_library)["instruction"] == "house"
    assert said(tmp_path, "collections", "list") == {"collections": []}
    assert said(tmp_path, "instructions", "list")["instructions"] == []
    for command in (("search", "heron", *of_docs), ("generations", "list", *of_docs), ("collections", "show", "docs")):
        with pytest.raises(CollectionNotFound):
            typed(tmp_path, *command)
    assert said(tmp_path, "collections", "delete", "docs", "--yes", *of_library)["documents"] == 1


def test_a_tenants_collection_is_measured_copied_out_and_brought_back(tmp_path: Path) -> None:
    """Under the tenant that is named, to the end: the default one has nothing of it afterwards, another one a copy."""
    data, folder, place = tmp_path / "data", tmp_path / "birds", str(tmp_path / "place")
    for name in ("library", "archive"):
        typed(data, "tenants", "create", name)
    (folder / "qrels").mkdir(parents=True)
    texts = {
        "corpus": {"_id": "heron", "text": "The heron stands in the reeds."},
        "queries": {"_id": "q", "text": "heron"},
    }
    for file, record in texts.items():
        (folder / f"{file}.jsonl").write_bytes(orjson.dumps(record))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\theron\t1\n", encoding="utf-8")
    measure = ("eval", str(folder), "--run", "recall", "--metrics", "R@1")
    found = said(data, *measure, "--tenant", "library")
    assert (found["collection"], found["runs"][0]["metrics"]) == ("eval-birds", {"R@1": 1.0})
    taken = said(data, "snapshot", place, "-c", "eval-birds", "--tenant", "library")
    back = said(data, "restore", place, "-c", "herons", "--tenant", "archive")
    assert (taken["documents"], back["documents"]) == (1, 1)
    with pytest.raises(CollectionNotFound):
        typed(data, "snapshot", str(tmp_path / "other"), "-c", "eval-birds")
    disk = DataFolder.open(data)
    assert [each.shown for each in disk.collections()] == ["archive/herons", "library/eval-birds"]
    assert "2 collections of 2 tenants, 2 documents" in data_found(Settings(data=data)).found


def test_a_tenants_shadow_is_its_own(tmp_path: Path) -> None:
    """Started, listed, reported, ended and promoted under the tenant; the default one's stays out of it."""
    of_library, shadow = ("--tenant", "library"), ("instructions", "shadow")
    typed(tmp_path, "tenants", "create", "library")
    for whose in (of_library, ()):
        said(tmp_path, "instructions", "publish", "house", "Prefer birds", *whose)
        said(tmp_path, "instructions", "draft", "house", "Prefer herons", *whose)
    assert said(tmp_path, *shadow, "start", "house@2", *of_library)["version"] == 2
    assert len(said(tmp_path, *shadow, "list", *of_library)["shadows"]) == 1
    assert said(tmp_path, *shadow, "list")["shadows"] == []
    assert said(tmp_path, *shadow, "report", "house", *of_library)["shadow"]["version"] == 2
    assert said(tmp_path, "instructions", "promote", "house@2", *of_library)["state"] == "published"
    assert said(tmp_path, *shadow, "list", *of_library)["shadows"] == []
    states = {each["state"] for each in said(tmp_path, "instructions", "list")["instructions"]}
    assert states == {"published", "draft"}
    said(tmp_path, *shadow, "start", "house@2")
    with pytest.raises(InstructionNotFound):
        typed(tmp_path, *shadow, "stop", "house", *of_library)
    assert said(tmp_path, *shadow, "stop", "house") == {"deleted": "house"}


@pytest.mark.parametrize(
    "command",
    [
        ("index", "corpus.jsonl", "-c", "docs"), ("search", "q", "-c", "docs"), ("collections", "list"),
        ("collections", "delete", "docs", "-y"), ("generations", "fold", "-c", "docs"), ("limits", "show", "nobody"),
        ("instructions", "publish", "house", "text"), ("instructions", "export"), ("keys", "list"), ("audit",),
        ("eval", "."), ("snapshot", "place", "-c", "docs"), ("restore", "place", "-c", "docs"),
        ("instructions", "shadow", "list"), ("instructions", "promote", "house@1"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_tenant_that_is_not_there_is_not_made_by_its_name(
    tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But the default one need not be made; the message says how others are."""
    monkeypatch.chdir(tmp_path)
    Path("corpus.jsonl").write_text("", encoding="utf-8")
    typed(tmp_path, "keys", "bootstrap")
    of_nobody = () if "nobody" in command else ("--tenant", "nobody")
    with pytest.raises(TenantNotFound, match="winnow tenants create nobody"):
        typed(tmp_path, *command, *of_nobody)
    assert [each["name"] for each in said(tmp_path, "tenants", "list")["tenants"]] == ["default"]


def test_whoever_looks_after_the_folder_sees_all_tenants(tmp_path: Path) -> None:
    """`winnow verify` reads the collections of each, and says whose they are."""
    typed(tmp_path, "tenants", "create", "library")
    disk = DataFolder.open(tmp_path)
    for tenant in (DEFAULT_TENANT, disk.catalog.tenants.tenant("library").name):
        disk.make(collection("laws", tenant))
    checked = typed(tmp_path, "verify", "--json")
    assert checked.exit_code == 0
    named = {each["collection"] for each in orjson.loads(checked.stdout)["checks"]}
    assert named - {""} == {"laws", "library/laws"}  # of no collection: the catalog


def test_the_audit_log_is_shown_newest_first(tmp_path: Path) -> None:
    """By pages; in a table only what has changed."""
    made = said(tmp_path, "tenants", "create", "library")
    typed(tmp_path, "keys", "revoke", made["key"]["id"], "--tenant", "library")
    first = said(tmp_path, "audit", "--limit", "2")
    assert [each["action"] for each in first["entries"]] == ["key.revoke", "key.create"]
    rest = said(tmp_path, "audit", "--limit", "2", "--before", str(first["next_before"]))
    assert ([each["action"] for each in rest["entries"]], rest["next_before"]) == (["tenant.create"], None)
    assert {each["actor"] for each in first["entries"]} == {"command-line"}
    shown = typed(tmp_path, "audit", "--tenant", "library").stdout.splitlines()[1]
    assert "revoked_at: – → " in shown
    assert "scopes" not in shown


def test_the_audit_log_is_read_in_eighty_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, action and subject of an entry in a line, below them number, actor and what changed: no word is broken."""
    of_library = ("--tenant", "library")
    made = said(tmp_path, "tenants", "create", "library")["key"]["id"]
    new = said(tmp_path, "keys", "rotate", made, *of_library)["id"]
    said(tmp_path, "limits", "set", "library", "--rerank-tokens-per-minute", "250000000", "--bytes", "none")
    said(tmp_path, "instructions", "publish", "legal-statutes", "Prefer the code", *of_library)
    said(tmp_path, "instructions", "draft", "legal-statutes", "Prefer the articles", *of_library)
    said(tmp_path, "instructions", "promote", "legal-statutes@2", *of_library)
    DataFolder.open(tmp_path).catalog.collections.add(collection("laws"))
    said(tmp_path, "grants", "give", "laws", "library")
    entries = said(tmp_path, "audit")["entries"]
    monkeypatch.setattr(Terminal, "is_rich", property(lambda _: True))
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.rstrip() for line in typed(tmp_path, "audit").stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    beginnings = [place for place, line in enumerate(lines) if re.match(r" *\d{4}-\d\d-\d\d", line)]
    shown = [" ".join(lines[first:last]).split() for first, last in pairwise([*beginnings, len(lines)])]
    assert len(shown) == len(entries) == 11
    for words, entry in zip(shown, entries, strict=True):
        owned = entry["tenant"] == "default" or entry["action"].startswith("tenant.")
        subject = entry["subject"] if owned else f"library/{entry['subject']}"
        assert words[:4] == [entry["at"][:10], entry["at"][11:16], entry["action"], subject]
        assert words[4:6] == [str(entry["number"]), entry["actor"]]
    told = {words[2]: " ".join(words[6:]) for words in shown}
    assert re.fullmatch(r"expires_at: – → \d{4}-\d\d-\d\d \d\d:\d\d", told["key.expire"])
    assert told["tenant.limits"] == "bytes: – → 0 rerank_tokens_per_minute: – → 250000000"
    assert told["grant.give"] == "reader: – → library"
    assert {made, new} == {words[3].removeprefix("library/") for words in shown if words[2] == "key.create"}
