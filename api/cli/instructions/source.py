"""Where `winnow instructions` reads and writes: the catalog of a data folder, or a running service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from winnow.api.cli.options import open_tenant
from winnow.retrieval.catalog.instructions import InstructionContent, Reference

if TYPE_CHECKING:
    from winnow.api.library.instructions import Instructions
    from winnow.api.schemas.instructions import (
        DiffResponse,
        ImportedResponse,
        InstructionResponse,
        InstructionsResponse,
    )
    from winnow.api.settings import Settings
    from winnow.retrieval.tenancy import TenantName


class InstructionSource(Protocol):
    """Answers as the routes below /v1/instructions give them. Raises what the library raises."""

    def listed(self) -> InstructionsResponse: ...

    def version(self, reference: Reference) -> InstructionResponse:
        """Return this version, in any state, or the newest published one."""
        ...

    def exported(self, names: Sequence[str]) -> tuple[str, int]:
        """Return all versions of these names as YAML, and their number; of all own instructions without a name."""
        ...

    def write_draft(self, name: str, content: InstructionContent) -> InstructionResponse: ...

    def publish(self, name: str, content: InstructionContent) -> InstructionResponse: ...

    def publish_draft(self, reference: Reference) -> InstructionResponse: ...

    def retire(self, name: str, version: int) -> InstructionResponse: ...

    def delete_draft(self, reference: Reference) -> None: ...

    def default(self) -> str | None: ...

    def set_default(self, name: str | None) -> None: ...

    def diff(self, name: str, before: int, after: int) -> DiffResponse: ...

    def bring_in(self, content: bytes) -> ImportedResponse: ...


def instruction_source(settings: Settings, tenant: str, *, create: bool = False) -> InstructionSource:
    """Return the source that the settings name. Raises what opening a catalog raises."""
    if settings.url is not None:
        from winnow.api.cli.client.instructions import ServiceInstructions
        from winnow.api.cli.client.service import Service

        return ServiceInstructions(Service.of(settings))
    folder, owner = open_tenant(settings, tenant, create=create)
    return FolderInstructions(folder.catalog.instructions, owner)


class FolderInstructions:
    """The instructions of a tenant in a data folder. Implements `InstructionSource`."""

    def __init__(self, library: Instructions, tenant: TenantName) -> None:
        self._library = library
        self._tenant = tenant

    def listed(self) -> InstructionsResponse:
        from winnow.api.schemas.instructions import instructions_response

        library = self._library
        return instructions_response(library.versions(self._tenant), library.built_in, library.default(self._tenant))

    def version(self, reference: Reference) -> InstructionResponse:
        from winnow.api.schemas.instructions import instruction_response

        return instruction_response(self._library.version(self._tenant, reference))

    def exported(self, names: Sequence[str]) -> tuple[str, int]:
        from winnow.api.library.yaml_file import exported

        wanted: Sequence[str | None] = names or [None]
        versions = [each for name in wanted for each in self._library.versions(self._tenant, name)]
        return exported(versions), len(versions)

    def write_draft(self, name: str, content: InstructionContent) -> InstructionResponse:
        from winnow.api.schemas.instructions import instruction_response

        return instruction_response(self._library.write_draft(self._tenant, name, content))

    def publish(self, name: str, content: InstructionContent) -> InstructionResponse:
        from winnow.api.schemas.instructions import instruction_response

        return instruction_response(self._library.publish(self._tenant, name, content))

    def publish_draft(self, reference: Reference) -> InstructionResponse:
        from winnow.api.schemas.instructions import instruction_response

        return instruction_response(self._library.publish_draft(self._tenant, reference.name, reference.version))

    def retire(self, name: str, version: int) -> InstructionResponse:
        from winnow.api.schemas.instructions import instruction_response

        return instruction_response(self._library.retire(self._tenant, name, version))

    def delete_draft(self, reference: Reference) -> None:
        self._library.delete_draft(self._tenant, reference.name, reference.version)

    def default(self) -> str | None:
        return self._library.default(self._tenant)

    def set_default(self, name: str | None) -> None:
        self._library.set_default(self._tenant, name)

    def diff(self, name: str, before: int, after: int) -> DiffResponse:
        from winnow.api.schemas.instructions import diff_response

        was, now = (self._library.version(self._tenant, Reference(name=name, version=each)) for each in (before, after))
        return diff_response(was, now)

    def bring_in(self, content: bytes) -> ImportedResponse:
        from winnow.api.library.yaml_file import imported
        from winnow.api.schemas.instructions import imported_response

        versions = imported(content, tenant=self._tenant)
        return imported_response(self._library.bring_in(self._tenant, versions), of=len(versions))
