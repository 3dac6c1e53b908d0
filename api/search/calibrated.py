"""Finds the calibrated threshold of a search, and refuses one that was measured for something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from winnow.api.library.instructions import AppliedInstruction
from winnow.rerank.reranker import Reranker
from winnow.retrieval.catalog.calibrations import CalibratedFor, Calibration
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.errors import NotCalibrated
from winnow.retrieval.tenancy import TenantName


class CalibrationBook(Protocol):
    """The stored thresholds (retrieval.catalog.sql.calibrations)."""

    def of_collection(self, tenant: TenantName, collection: str) -> Sequence[Calibration]: ...


class NoCalibrations:
    """A book without thresholds."""

    def of_collection(self, tenant: TenantName, collection: str) -> Sequence[Calibration]:  # noqa: ARG002  the contract's
        return ()


def measured_for(reranker: Reranker, instruction: AppliedInstruction, fields: FieldChoice) -> CalibratedFor:
    """Return what decides the relevance of a passage to a query."""
    return CalibratedFor(
        reranker=reranker.name,
        revision=reranker.revision,
        instruction_sha256=instruction.sha256,
        fields=fields,
    )


def calibration_for(
    book: CalibrationBook, collection: Collection, wanted: CalibratedFor, *, instruction: str, top_k: int
) -> Calibration:
    """Return the threshold of a search. `instruction` names its instruction in messages. Blocks.

    Raises `NotCalibrated`, which says what differs from what was measured. It names no instruction but the search's
    own: the asker may be another tenant than the owner.
    """
    found = book.of_collection(collection.tenant, collection.name)
    asked = f"{wanted.reranker} under {instruction}"
    if not found:
        raise NotCalibrated(f"{collection.shown} has none for any reranker or instruction. {_advice(collection)}")
    of_reranker = [each for each in found if each.measured_for.reranker == wanted.reranker]
    if not of_reranker:
        others = ", ".join(sorted({each.measured_for.reranker for each in found}))
        raise NotCalibrated(
            f"{collection.shown} has none for {wanted.reranker}, only for {others}. {_advice(collection)}"
        )
    same = [each for each in of_reranker if each.measured_for.instruction_sha256 == wanted.instruction_sha256]
    if not same:
        raise NotCalibrated(
            f"{collection.shown} has none for {asked}, only for other instructions. {_advice(collection)}"
        )
    (calibration,) = same
    if calibration.measured_for.revision != wanted.revision:
        raise NotCalibrated(
            f"{collection.shown} has one for {asked}, but for another model of this name. {_advice(collection)}"
        )
    if calibration.measured_for.fields != wanted.fields:
        raise NotCalibrated(
            f"{collection.shown} has one for {asked}, but the fields that the reranker reads were changed. "
            f"{_advice(collection)}"
        )
    if top_k > calibration.top_k:
        raise NotCalibrated(
            f"{collection.shown} has one for {asked}, but for {calibration.top_k} results at most. Ask for no more, or "
            f"calibrate with --top-k {top_k}"
        )
    return calibration


def _advice(collection: Collection) -> str:
    return f"Measure one with `winnow calibrate {collection.name}`"
