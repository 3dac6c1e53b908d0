"""The answer of `winnow doctor --json`, and what a collection takes on the disk."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from winnow.api.collections.disk_use import CollectionUse, FolderUse
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.model.known_answers import ModelKind, Verdict
from winnow.retrieval.model.published import RecognisedBy


class FindingResponse(JsonObject):
    """The result of one check."""

    what: str
    found: str
    problem: str | None


class AnswerResponse(JsonObject):
    """A score that a model is known to give, and the one that it gave."""

    query: str
    passage: str
    relevant: bool
    expected: float | None
    got: float | None  # null: not a number
    difference: float | None
    bound: float
    verdict: Verdict


class ModelAnswersResponse(JsonObject):
    """A model's answers beside the known ones."""

    kind: ModelKind
    model: str  # whose figures these are
    recognised_by: RecognisedBy
    remark: str | None
    source: str | None  # of the figures; null if there are none
    runs_on: str
    dtype: str | None
    seconds: float
    ok: bool
    answers: list[AnswerResponse]
    likely_causes: list[str]


class DiskUseResponse(JsonObject):
    """Bytes on the disk, by what is in them."""

    documents: Annotated[int, Field(description="Texts and metadata.")]
    vectors: int
    words: Annotated[int, Field(description="What lexical search reads.")]
    indexes: Annotated[int, Field(description="All generations of the vector index.")]
    replaced: Annotated[
        int,
        Field(
            description="Earlier versions of all that. A service without a write removes them four minutes after they "
            "were replaced."
        ),
    ]
    other: int


class FolderUseResponse(JsonObject):
    """Bytes of the data folder, by what is in them."""

    documents: int
    vectors: int
    words: int  # what lexical search reads
    indexes: int
    replaced: int  # earlier versions of all that, which are removed four minutes after they were replaced
    catalog: int
    uploads: int
    other: int


class DoctorResponse(JsonObject):
    """All checks, and what the models answered."""

    ok: bool
    findings: list[FindingResponse]
    disk_bytes: FolderUseResponse | None  # null: the data folder or its catalog cannot be read
    model_answers: list[ModelAnswersResponse]


def folder_use_response(disk: FolderUse) -> FolderUseResponse:
    return {
        "documents": disk.documents,
        "vectors": disk.vectors,
        "words": disk.words,
        "indexes": disk.indexes,
        "replaced": disk.replaced,
        "catalog": disk.catalog,
        "uploads": disk.uploads,
        "other": disk.other,
    }


def disk_use_response(disk: CollectionUse) -> DiskUseResponse:
    return {
        "documents": disk.documents,
        "vectors": disk.vectors,
        "words": disk.words,
        "indexes": disk.indexes,
        "replaced": disk.replaced,
        "other": disk.other,
    }
