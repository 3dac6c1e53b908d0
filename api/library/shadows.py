"""Shadows of instructions: start, stop, report and promote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from winnow.api.library.instructions import BUILT_IN, Instructions
from winnow.api.library.shadow_report import PairReport, ShadowReport, figures_of
from winnow.retrieval.catalog.instructions import InstructionVersion, Reference, State
from winnow.retrieval.catalog.shadows import Shadow
from winnow.retrieval.catalog.sql.shadows import SqlShadowBook
from winnow.retrieval.errors import InstructionConflict, InvalidRequest
from winnow.retrieval.tenancy import Actor, TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowWish:
    """The properties of a shadow to start."""

    version: int
    share: float  # in [0, 1]
    live: str | None = None  # NAME or NAME@VERSION; None means the shadow's own name, in any version
    collection: str | None = None
    keep_queries: bool = False


class Shadows:
    """The shadows of a deployment. Every method blocks, and raises what `Instructions` and `SqlShadowBook` raise."""

    def __init__(self, instructions: Instructions, book: SqlShadowBook) -> None:
        self._instructions = instructions
        self.book = book

    def start(self, tenant: TenantName, name: str, wish: ShadowWish, *, by: Actor) -> Shadow:
        """Start a shadow in place of the name's current one. Raises `InvalidRequest` if both versions are the same."""
        shadow = self._instructions.version(tenant, Reference(name=name, version=wish.version))
        live = Reference.of(wish.live or name)
        if shadow.reference == self._meant(tenant, live):
            raise InvalidRequest(f"{live} already means {shadow.reference}, so there is nothing to compare")
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
        """Stop a shadow. Raises `InstructionNotFound` if there is nothing to stop or forget."""
        self.book.stop(tenant, name, forget=forget, by=by)

    def of(self, tenant: TenantName) -> Sequence[Shadow]:
        """Return the tenant's shadows, by name."""
        return self.book.shadows(tenant)

    def report(self, tenant: TenantName, name: str) -> ShadowReport:
        """Return the report, also of an ended shadow. Raises `InstructionNotFound` for an unknown name."""
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
        """Publish the draft, so that its name means it, and end the name's shadow.

        For the version that the name already means, only the shadow ends: an interrupted promotion can be repeated.
        Raises `InstructionConflict` for any other version.
        """
        if reference.version is None:
            raise InvalidRequest(f"no version given for {reference}; write {reference}@NUMBER")
        found = self._instructions.version(tenant, reference)
        if found.state is State.DRAFT:
            found = self._instructions.publish_draft(tenant, reference.name, reference.version, by=by)
        elif self._instructions.version(tenant, Reference(name=reference.name)).version != found.version:
            raise InstructionConflict(f"{found.reference} is {found.state}, but {reference.name} means a later version")
        self.book.promoted(tenant, reference.name, reference.version, by=by)
        return found

    def _meant(self, tenant: TenantName, live: Reference) -> str:
        """Return the version that searches use. The model card's has a name and version in answers, too."""
        if live.name == BUILT_IN.name and live.version in (None, BUILT_IN.version):
            return BUILT_IN.said
        return self._instructions.version(tenant, live).reference
