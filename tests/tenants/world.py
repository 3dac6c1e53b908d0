"""What each tenant owns and was granted, in plain dictionaries; and words that betray whose they are.

A canary is `zqNNNkindMx`: NNN is the tenant that owns it, kind is what it stands for, M a number. Whatever leaves the
service is searched for canaries of others.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

CANARY: Final = re.compile(r"zq(\d{3})([a-z]+)\d+x", re.IGNORECASE)
KEY_SECRET: Final = re.compile(r"wk_([0-9a-f]{12})_[0-9a-f]+")
KEY_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])")
SHARED_COLLECTION, SHARED_DOCUMENT, SHARED_INSTRUCTION = "docs", "same", "house"  # names that every tenant uses
OPERATORS_KINDS: Final = frozenset(
    {"tenant", "coll", "ins", "gold"}
)  # who governs a deployment sees names, never texts
LOGGED_KINDS: Final = OPERATORS_KINDS | {"doc"}


@dataclass(slots=True)
class Document:
    """As it was written."""

    text: str
    line: str
    key: str  # of its canary attribute
    value: str


@dataclass(slots=True)
class Collection:
    """What lies in it, and who else may search it."""

    canary_key: str
    documents: dict[str, Document] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)  # attributes that a document ever had
    readers: set[str] = field(default_factory=set)  # names of tenants
    instruction: str | None = None
    words: set[str] = field(default_factory=set)  # canaries that whoever may search it may see
    files: set[str] = field(default_factory=set)  # ids of those that were attached


@dataclass(slots=True)
class Tenant:
    """One tenant of the deployment, and what it would expect to find."""

    number: int
    name: str
    key: str
    collections: dict[str, Collection] = field(default_factory=dict)
    instructions: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)  # state and text by version
    default: str | None = None
    keys: dict[str, str] = field(default_factory=dict)  # standing by id
    webhook: str | None = None
    files: dict[str, tuple[str, str]] = field(default_factory=dict)  # name and text by id
    golden: set[str] = field(default_factory=set)  # names of golden sets that it ever made
    requests: int = 0
    searches: int = 0
    written: int = 0
    judged: set[tuple[str, str]] = field(default_factory=set)  # digests of queries, and documents
    own_words: set[str] = field(default_factory=set)  # canaries of others that it wrote into what is its own

    @property
    def key_id(self) -> str:
        return self.key.split("_")[1]


class World:
    """All tenants, and the lot that chooses among what they have."""

    def __init__(self, chances: random.Random) -> None:
        self.chances = chances
        self.tenants: list[Tenant] = []
        self.issued: list[str] = []  # texts of all keys but the operator's
        self._serial = itertools.count()

    def canary(self, owner: int, kind: str) -> str:
        return f"zq{owner:03d}{kind}{next(self._serial)}x"

    def by_name(self, name: str) -> Tenant | None:
        return next((each for each in self.tenants if each.name == name), None)

    def other(self, tenant: Tenant) -> Tenant:
        return self.chances.choice([each for each in self.tenants if each is not tenant])

    def whose(self, tenant: Tenant) -> Tenant:
        """Its own or another one's, as often."""
        return tenant if self.chances.random() < 0.5 else self.other(tenant)

    def collection_name(self, tenant: Tenant) -> str:
        """One of anybody's, or of nobody's any more."""
        names = [*self.whose(tenant).collections, SHARED_COLLECTION]
        return self.chances.choice(names)

    def document_id(self, tenant: Tenant) -> str:
        names = [SHARED_DOCUMENT]
        for collection in self.whose(tenant).collections.values():
            names += collection.documents
        return self.chances.choice(names)

    def instruction_name(self, tenant: Tenant) -> str:
        return self.chances.choice([*self.whose(tenant).instructions, SHARED_INSTRUCTION])

    def searched(self, tenant: Tenant, name: str) -> Collection | None:
        """What a search of this name searches; None where that is to be nothing."""
        owner_name, is_qualified, bare = name.rpartition("/")
        if not is_qualified:
            return tenant.collections.get(name)
        owner = self.by_name(owner_name)
        found = None if owner is None else owner.collections.get(bare)
        return found if found is not None and tenant.name in found.readers else None

    def received(self, tenant: Tenant) -> Iterator[str]:
        """`owner/name` of every collection that it was granted."""
        for owner in self.tenants:
            for name, collection in owner.collections.items():
                if tenant.name in collection.readers:
                    yield f"{owner.name}/{name}"

    def leaked(self, tenant: Tenant | None, said: str, *, sent: str, shown: Iterable[str] = ()) -> list[str]:
        """Words and key ids in `said` that this tenant, or with None the operator, must not see.

        What it `sent` may come back, `shown` is what the very question entitles it to.
        """
        found = []
        allowed = set(shown) | (tenant.own_words if tenant else set())
        for match in CANARY.finditer(said):
            word, owner, kind = match[0].lower(), int(match[1]), match[2].lower()
            if tenant is None:
                is_foreign = kind not in OPERATORS_KINDS
            else:
                is_foreign = owner != tenant.number and word not in allowed
            if is_foreign and word not in sent:
                found.append(word)
        if tenant is not None:
            own = {tenant.key_id, *tenant.keys}
            theirs = {each for other in self.tenants if other is not tenant for each in (other.key_id, *other.keys)}
            found += [each for each in KEY_ID.findall(said) if each in theirs - own and each not in sent]
        return found

    def betrayed(self, lines: str) -> list[str]:
        """What nobody may find in a log: any text, any secret."""
        words = [match[0] for match in CANARY.finditer(lines) if match[2].lower() not in LOGGED_KINDS]
        return words + [match[0] for match in KEY_SECRET.finditer(lines)]


def words_of(value: Any) -> set[str]:
    return {match[0].lower() for match in CANARY.finditer(str(value))}
