"""Which searches are judged under another version, too, what came of that, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from winnow.api.library.instructions import BUILT_IN, Instructions
from winnow.api.library.shadow_report import PairReport, ShadowReport, figures_of
from winnow.retrieval.catalog.instructions import InstructionVersion, Reference, State
from winnow.retrieval.catalog.shadows import Shadow, ShadowBook
from winnow.retrieval.errors import InstructionConflict, InvalidRequest
from winnow.retrieval.tenancy import Actor, TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowWish:
    """What a shadow is to be."""

    version: int
    share: float  # in [0, 1]
    live: str | None = None  # NAME or NAME@VERSION; None is the shadow's own name, in whatever version
    collection: str | None = None
    keep_queries: bool = False


class Shadows:
    """The shadows of a deployment. Every method blocks; raises what `Instructions` and `ShadowBook` raise."""

    def __init__(self, instructions: Instructions, book: ShadowBook) -> None:
        self._instructions = instructions
        self.book = book

    def start(self, tenant: TenantName, name: str, wish: ShadowWish, *, by: Actor) -> Shadow:
        """In place of the one that the name has. Raises `InvalidRequest` where both versions would be the same."""
        shadow = self._instructions.version(tenant, Reference(name=name, version=wish.version))
        live = Reference.of(wish.live or name)
        if shadow.reference == self._meant(tenant, live):
            raise InvalidRequest(f"{shadow.reference} is what {live} means: there is nothing to compare")
        started = Shadow(
            tenant=tenant,
            name=name,
            version=wish.version,
            live=str(live),
            share=wish.share,
            collection=wish.collection,
            keep_queries=wish.keep_queries,
            started_at=datetime.now(UTC),
        )
        self.book.start(started, by=by)
        return started

    def stop(self, tenant: TenantName, name: str, *, forget: bool = False, by: Actor) -> None:
        """Raises `InstructionNotFound` where there is nothing to stop or to forget."""
        self.book.stop(tenant, name, forget=forget, by=by)

    def of(self, tenant: TenantName) -> Sequence[Shadow]:
        """By name."""
        return self.book.shadows(tenant)

    def report(self, tenant: TenantName, name: str) -> ShadowReport:
        """Also of a shadow that has ended. Raises `InstructionNotFound` for a name that nothing has."""
        self._instructions.versions(tenant, name)
        shadow = next((each for each in self.of(tenant) if each.name == name), None)
        return ShadowReport(
            name=name,
            shadow=shadow,
            pairs=tuple(
                PairReport(
                    figures=figures,
                    examples=tuple(self.book.comparisons(tenant, name, figures.most_changed)),
                )
                for figures in figures_of(self.book.outcomes(tenant, name))
            ),
        )

    def promote(self, tenant: TenantName, reference: Reference, *, by: Actor) -> InstructionVersion:
        """Publishes the draft, so that it is what its name means, and ends the name's shadow.

        Of what the name means already only the shadow ends, so that a promotion which was interrupted can be repeated.
        Raises `InstructionConflict` for any other version.
        """
        if reference.version is None:
            raise InvalidRequest(f"which version of {reference}? Write {reference}@NUMBER")
        found = self._instructions.version(tenant, reference)
        if found.state is State.DRAFT:
            found = self._instructions.publish_draft(tenant, reference.name, reference.version, by=by)
        elif self._instructions.version(tenant, Reference(name=reference.name)).version != found.version:
            raise InstructionConflict(f"{found.reference} is {found.state}, and {reference.name} means a later version")
        self.book.promoted(tenant, reference.name, reference.version, by=by)
        return found

    def _meant(self, tenant: TenantName, live: Reference) -> str:
        """The version that searches are answered under. The model card's has a name and a version in answers, too."""
        if live.name == BUILT_IN.name and live.version in (None, BUILT_IN.version):
            return BUILT_IN.said
        return self._instructions.version(tenant, live).reference
