"""How is usage written? As JSON and as comma-separated values, over HTTP and by the command."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from winnow.retrieval.catalog.quotas import Usage


def usage_said(used: Sequence[Usage]) -> dict[str, Any]:
    """The body of `GET /v1/usage`."""
    return {"usage": [{**asdict(each), "day": each.day.isoformat()} for each in used]}


def usage_csv(used: Sequence[Usage]) -> str:
    """With a line of names first. A tenant's name needs no care: it begins with a letter or a digit."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [each.name for each in fields(Usage)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(usage_said(used)["usage"])
    return out.getvalue()
