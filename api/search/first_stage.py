"""The first stage of a search and of a trial: finds the collection and the instructions, opens the index, asks recall.

open       what a question needs before anything is computed for it
request    what recall is asked for
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from winnow.api.library.instructions import AppliedInstruction, Instructions
from winnow.api.search.records import Question, TrialQuestion
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import RecallMode
from winnow.retrieval.search.recall import Recalled, RecallRequest
from winnow.retrieval.tenancy import TenantName

KNOWN_MAX: Final = 1_024  # searches of different tenants, collections and keys; about 1 kB each


class FindsCandidates(Protocol):
    """Recall over one collection (retrieval.search.recall.Recall)."""

    async def find(self, request: RecallRequest) -> Recalled: ...


class OpensCollections(Protocol):
    """Opens the indexes of collections (api.collections.open_collections)."""

    def recall_of(self, collection: Collection, *, asker: TenantName) -> FindsCandidates: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A collection that is ready to be searched, and the instructions to rank its candidates under."""

    collection: Collection
    instructions: tuple[AppliedInstruction, ...]  # one for each that the question wants
    recall: FindsCandidates


class _Asked(NamedTuple):
    """All of a question that decides what is opened for it."""

    tenant: TenantName
    collection: str
    key_instruction: str | None


class _Known(NamedTuple):
    """What was opened, and the version of the catalog that it was read from, or from a later one."""

    version: int
    opened: Opened


class FirstStage:
    """Does what comes before reranking, in the same way for searches and trials."""

    def __init__(
        self,
        *,
        catalog: SqlCollections,
        instructions: Instructions,
        collections: OpensCollections,
        candidates_default: int,
        recall_default: RecallMode = RecallMode.HYBRID,
        catalog_version: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`catalog_version` is that of `SqlDatabase`; without it the catalog is read for every question."""
        self._catalog = catalog
        self._catalog_version = catalog_version
        self._known: dict[_Asked, _Known] = {}
        self._remembering = threading.Lock()
        self._instructions = instructions
        self._collections = collections
        self._candidates_default = candidates_default
        self._recall_default = recall_default

    def open(self, question: Question | TrialQuestion) -> Opened:
        """Reads the catalog. Blocks.

        Raises `CollectionNotFound`, what `Instructions` raises, and what opening the index raises.
        """
        version = self._catalog_version()  # before anything is read, which may be newer but never older
        collection = find_collection(self._catalog, question.collection, asker=question.tenant)
        if isinstance(question, TrialQuestion):
            instructions = self._for_trial(question, collection)
        else:
            instructions = [
                self._instructions.applied(
                    question.tenant, question.instruction, collection, of_key=question.key_instruction
                )
            ]
        opened = Opened(
            collection=collection,
            instructions=tuple(instructions),
            recall=self._collections.recall_of(collection, asker=question.tenant),
        )
        self._remember(question, opened, version)
        return opened

    def known(self, question: Question) -> Opened | None:
        """Return what `open` would, if that is known: nothing was committed to the catalog since. Does not block."""
        known = self._known.get(_asked(question))
        if known is None or question.instruction is not None or known.version != self._catalog_version():
            return None
        return known.opened

    def _remember(self, question: Question | TrialQuestion, opened: Opened, version: int | None) -> None:
        """What depends on today's date or on a text of the request is not kept."""
        if version is None or isinstance(question, TrialQuestion) or question.instruction is not None:
            return
        if opened.instructions[0].rendered_on is not None:
            return
        with self._remembering:
            newest = next(reversed(self._known.values()), None)
            if newest is not None and (newest.version != version or len(self._known) >= KNOWN_MAX):
                self._known = {}  # entries of another version are of no use, and each may keep an index in memory
            self._known[_asked(question)] = _Known(version, opened)

    def width(self, question: Question | TrialQuestion) -> int:
        """How many candidates to recall: as many as the caller names, or else enough to fill `top_k`."""
        return question.candidates or max(question.top_k, self._candidates_default)

    def request(
        self, question: Question | TrialQuestion, *, width: int, documents: int = 0, task: str, deadline: Deadline
    ) -> RecallRequest:
        """What recall is asked for: in the mode that the question names, or else in the service's default.

        Only the default may fall back: a collection that was made before words were indexed is then searched by
        meaning, and the answer says so.
        """
        return RecallRequest(
            query=question.query,
            further=question.queries[1:] if isinstance(question, Question) else (),
            width=width,
            documents=documents,
            task=task,
            where=question.where,
            mode=question.recall or self._recall_default,
            falls_back_to_dense=question.recall is None,
            deadline=deadline,
        )

    def _for_trial(self, question: TrialQuestion, collection: Collection) -> Sequence[AppliedInstruction]:
        """A trial may name drafts, which a search may not."""
        return [
            self._instructions.applied(question.tenant, None, collection)
            if wanted is None
            else self._instructions.tried(question.tenant, wanted)
            for wanted in question.wanted
        ]


def _asked(question: Question) -> _Asked:
    return _Asked(question.tenant, question.collection, question.key_instruction)


def find_collection(catalog: SqlCollections, named: str, *, asker: TenantName) -> Collection:
    """The asker's own collection, or `owner/name` of one that was granted to it.

    Raises `CollectionNotFound`, also for a collection that exists but was not granted.
    """
    owner, separator, name = named.rpartition("/")
    if not separator or owner == asker:
        return catalog.get(asker, name)
    return catalog.granted(owner, name, reader=asker)
