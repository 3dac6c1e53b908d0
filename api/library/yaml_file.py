"""Instructions as a YAML file: the format of exports, imports and built-in instructions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from winnow.api.fields import Number, Strict, parsed
from winnow.api.library.content import ContentBody, VersionNumber, content_fields
from winnow.api.library.strict_yaml import read_yaml, write_yaml
from winnow.retrieval.catalog.instructions import InstructionContent, InstructionVersion, State
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import LIBRARY_BYTES_MAX
from winnow.retrieval.tenancy import TenantName

FORMAT: Final = 1


class VersionInFile(ContentBody):
    """One version; missing dates become the time of reading."""

    version: VersionNumber
    state: State = State.PUBLISHED
    created_at: str | None = None
    published_at: str | None = None
    retired_at: str | None = None


class InstructionInFile(Strict):
    """All versions of one name."""

    name: Annotated[str, Field(min_length=1)]
    versions: Annotated[list[VersionInFile], Field(min_length=1)]


class LibraryFile(Strict):
    """The whole file."""

    winnow_instructions: Annotated[Literal[1], Number]
    instructions: list[InstructionInFile]


def exported(versions: Sequence[InstructionVersion]) -> str:
    """Write these versions, sorted by name, completely; `imported` reads them back unchanged."""
    return write_yaml(
        {
            "winnow_instructions": FORMAT,
            "instructions": [
                {"name": name, "versions": [_fields(each) for each in of_name]}
                for name, of_name in groupby(versions, key=lambda each: each.name)
            ],
        }
    )


def imported(content: bytes | bytearray, *, tenant: TenantName | None) -> list[InstructionVersion]:
    """Read versions in the file's order. Raises `InvalidRequest`, which names line or field, and `LimitExceeded`."""
    file = parsed(LibraryFile, read_yaml(content, bytes_max=LIBRARY_BYTES_MAX))
    now = datetime.now(UTC)
    found = [
        _version(each, tenant=tenant, name=instruction.name, now=now)
        for instruction in file.instructions
        for each in instruction.versions
    ]
    for reference, count in Counter(each.reference for each in found).items():
        if count > 1:
            raise InvalidRequest(f"{reference} appears twice in the file")
    return found


def written_content(content: InstructionContent) -> str:
    """Write the content of one version, for `read_content`."""
    return write_yaml(content_fields(content))


def read_content(content: bytes) -> InstructionContent:
    """Read the content of one version. Raises like `imported`."""
    return parsed(ContentBody, read_yaml(content, bytes_max=LIBRARY_BYTES_MAX)).content


def content_of(version: Mapping[str, Any]) -> InstructionContent:
    """Read the content of one version from an answer of the service."""
    return parsed(ContentBody, {name: version[name] for name in ContentBody.model_fields}).content


def version_of(answer: Mapping[str, Any], *, tenant: TenantName | None = None) -> InstructionVersion:
    """Read a version from an answer of the service."""
    said = parsed(VersionInFile, {name: answer[name] for name in VersionInFile.model_fields})
    return _version(said, tenant=tenant, name=answer["name"], now=datetime.now(UTC))


def _fields(version: InstructionVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "state": version.state.value,
        **content_fields(version.content),
        **dict(_dates(version)),
    }


def _dates(version: InstructionVersion) -> Iterator[tuple[str, str]]:
    for name in ("created_at", "published_at", "retired_at"):
        date = getattr(version, name)
        if date is not None:
            yield name, date.isoformat()


def _version(said: VersionInFile, *, tenant: TenantName | None, name: str, now: datetime) -> InstructionVersion:
    created_at = _date(said.created_at) or now
    published_at = (_date(said.published_at) or created_at) if said.state is not State.DRAFT else None
    retired_at = (_date(said.retired_at) or now) if said.state is State.RETIRED else None
    return InstructionVersion(
        tenant=tenant,
        name=name,
        version=said.version,
        state=said.state,
        content=said.content,
        created_at=created_at,
        published_at=published_at,
        retired_at=retired_at,
    )


def _date(said: str | None) -> datetime | None:
    """Parse a date, in UTC unless it has a zone."""
    if said is None:
        return None
    try:
        read = datetime.fromisoformat(said)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"{said[:40]!r} is not a date; write it like 2026-01-31T12:00:00+00:00") from error
