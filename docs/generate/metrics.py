"""The page of metrics, from the table in `api/http/metrics.py`."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, table
from winnow.api.http.metrics import METRICS, SECONDS, Kind

HEAD: Final = """# Metrics

`GET /metrics` answers in Prometheus' text format. With API keys in use, the key needs the scope `operator`. The numbers belong to one process and start at zero when it starts. No label holds a tenant's name or anything that a caller wrote.

"""


def page() -> str:
    """Every metric with its kind, labels and meaning."""
    rows = ((code(each.name), each.kind.value, ", ".join(map(code, each.labels)), each.said) for each in METRICS)
    bounds = ", ".join(f"{bound:g}" for bound in SECONDS)
    histograms = ", ".join(code(each.name) for each in METRICS if each.kind is Kind.HISTOGRAM)
    return f"{HEAD}{table(('Metric', 'Kind', 'Labels', 'Meaning'), rows)}\nBuckets of {histograms}, in seconds: {bounds}.\n"
