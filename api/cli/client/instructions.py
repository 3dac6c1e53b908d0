"""The instruction library of a service, as `winnow instructions` asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from winnow.api.cli.client.service import Service
from winnow.retrieval.catalog.instructions import InstructionContent, Reference, State
from winnow.retrieval.errors import InstructionNotFound
from winnow.retrieval.limits import LIBRARY_BYTES_MAX

if TYPE_CHECKING:
    from winnow.api.schemas.instructions import (
        DiffResponse,
        ImportedResponse,
        InstructionResponse,
        InstructionsResponse,
    )


class ServiceInstructions:
    """The instructions of the key's tenant. Implements `InstructionSource`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def listed(self) -> InstructionsResponse:
        return cast("InstructionsResponse", self._service.get("instructions"))

    def version(self, reference: Reference) -> InstructionResponse:
        return instruction_version(self._service, reference)

    def exported(self, names: Sequence[str]) -> tuple[str, int]:
        from winnow.api.library.yaml_file import exported, version_of

        of_names = [versions_of(self._service, name) for name in names] or [self.listed()["instructions"]]
        versions = [version_of(each) for of_name in of_names for each in of_name]
        return exported(versions), len(versions)

    def write_draft(self, name: str, content: InstructionContent) -> InstructionResponse:
        return cast("InstructionResponse", self._service.put("instructions", name, "draft", body=_fields(content)))

    def publish(self, name: str, content: InstructionContent) -> InstructionResponse:
        return cast("InstructionResponse", self._service.post("instructions", body=_fields(content) | {"name": name}))

    def publish_draft(self, reference: Reference) -> InstructionResponse:
        version = self._draft(reference)
        return cast(
            "InstructionResponse",
            self._service.post("instructions", reference.name, "versions", str(version), "publish"),
        )

    def retire(self, name: str, version: int) -> InstructionResponse:
        return cast("InstructionResponse", self._service.post("instructions", name, "versions", str(version), "retire"))

    def delete_draft(self, reference: Reference) -> None:
        self._service.delete("instructions", reference.name, "versions", str(self._draft(reference)))

    def default(self) -> str | None:
        return cast("str | None", self._service.get("instructions", "default")["instruction"])

    def set_default(self, name: str | None) -> None:
        self._service.put("instructions", "default", body={"instruction": name})

    def diff(self, name: str, before: int, after: int) -> DiffResponse:
        answer = self._service.get("instructions", *name.split("/", 1), "diff", before=before, after=after)
        return cast("DiffResponse", answer)

    def bring_in(self, content: bytes) -> ImportedResponse:
        from winnow.api.library.strict_yaml import read_yaml

        body = cast("Any", read_yaml(content, bytes_max=LIBRARY_BYTES_MAX))  # JSON is YAML
        return cast("ImportedResponse", self._service.post("instructions", "import", body=body))

    def _draft(self, reference: Reference) -> int:
        """Return the number of the draft. Raises `InstructionNotFound`."""
        if reference.version is not None:
            return reference.version
        for each in self.listed()["instructions"]:
            if each["name"] == reference.name and each["state"] == State.DRAFT:
                return each["version"]
        raise InstructionNotFound(f"{reference.name} has no draft")


def instruction_version(service: Service, reference: Reference) -> InstructionResponse:
    """Return one version, or the newest published one. Raises `InstructionNotFound`."""
    each: InstructionResponse
    for each in reversed(versions_of(service, reference.name)):
        if each["version"] == reference.version or (reference.version is None and each["state"] == State.PUBLISHED):
            return each
    number = "" if reference.version is None else f", version {reference.version}"
    raise InstructionNotFound(f"{reference.name}{number}")


def versions_of(service: Service, name: str) -> list[InstructionResponse]:
    """Return all versions of a name. Raises `InstructionNotFound`."""
    return cast("list[InstructionResponse]", service.get("instructions", *name.split("/", 1))["versions"])


def _fields(content: InstructionContent) -> dict[str, Any]:
    from winnow.api.library.content import content_fields

    return content_fields(content)
