"""The page of metrics, from the table in `api/http/metrics.py`."""

from __future__ import annotations

from typing import Final

from docs.generate.markdown import code, table
from winnow.api.http.histograms import BUCKETS
from winnow.api.http.metric_table import METRICS, STAGE_SECONDS

HEAD: Final = """# Metrics

`GET /metrics` answers in Prometheus' text format. With API keys in use, the key needs the scope `operator`. With `Accept: application/openmetrics-text` it answers in that format, and each bucket of a stage names a trace that fell into it, if traces are sent. The numbers belong to one process and start at zero when it starts. No label holds a tenant's name or anything that a caller wrote.

"""


def page() -> str:
    """Every metric with its kind, labels and meaning."""
    rows = ((code(each.name), each.kind.value, ", ".join(map(code, each.labels)), each.said) for each in METRICS)
    bounds = ((code(stage), ", ".join(f"{bound:g}" for bound in BUCKETS[stage])) for stage in BUCKETS)
    return (
        f"{HEAD}{table(('Metric', 'Kind', 'Labels', 'Meaning'), rows)}\n## Buckets\n\n"
        f"Those of {code(STAGE_SECONDS.name)} depend on the stage.\n\n{table(('Stage', 'Upper bounds in seconds'), bounds)}"
    )
