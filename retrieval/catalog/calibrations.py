"""Calibrated thresholds of relevance: their record, and for which searches one holds.

A threshold was measured for one reranker, one text of an instruction and the same fields, on one collection. Under
anything else the same relevance means something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.tenancy import TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedFor:
    """What a threshold was measured for."""

    reranker: str  # its name
    revision: str  # changes whenever its scores could
    instruction_sha256: str  # of the text that the reranker reads
    fields: FieldChoice  # that it reads before title and text


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A threshold and what it promises. A collection has at most one for each reranker and instruction."""

    tenant: TenantName  # owner of the collection
    collection: str
    measured_for: CalibratedFor
    instruction: str | None  # NAME@VERSION, for people; None: a text without a name
    threshold: float  # of relevance, in [0, 1]
    precision: float  # promised
    confidence: float
    lower: float  # bound of the precision, at least the promise
    observed: float  # mean share of relevant passages on the tested queries
    coverage: float  # share of the tested queries that still show something
    kept: float  # share of the relevant passages that is still shown
    queries: int  # judged, pilots included
    tested: int
    answered: int  # of the tested ones
    top_k: int  # passages that an answer shows at most
    candidates: int
    seed: int
    made_at: datetime  # UTC
