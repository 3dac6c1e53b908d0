"""Histograms of stages: each stage has buckets that fit it, and its measurements lead to traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import Histogram
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

# Seconds. An index of this machine answers in milliseconds, a large reranker in seconds: with the buckets of one, a
# quantile of the other would be a guess.
_LOOKUPS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
_MODELS: Final = (0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    "rewrite": _MODELS,
    "embed": _LOOKUPS,
    "recall": _LOOKUPS,
    "fetch": _LOOKUPS,
    "rerank": _MODELS,
    "total": _MODELS,
}


class StageHistograms:
    """A Prometheus collector of one metric with the labels `asked` and `stage`.

    The library gives all labels of a metric the same buckets, so this joins one histogram for each pair.
    """

    def __init__(self, name: str, help_: str) -> None:
        self._name, self._help = name, help_
        self._each: dict[tuple[str, str], Histogram] = {}

    def observe(self, asked: str, stage: str, seconds: float, exemplar: dict[str, str] | None) -> None:
        """Count a measurement; the exemplar names the trace that it comes from."""
        key = asked, stage
        if key not in self._each:
            self._each[key] = Histogram(self._name, self._help, registry=None, buckets=BUCKETS[stage])
        self._each[key].observe(seconds, exemplar)

    def collect(self) -> Iterator[Family]:
        family = Family(self._name, self._help, "histogram")
        for (asked, stage), histogram in self._each.items():
            for single in histogram.collect():
                family.samples += [_labelled(sample, asked, stage) for sample in single.samples]
        yield family


def _labelled(sample: Sample, asked: str, stage: str) -> Sample:
    return sample._replace(labels={"asked": asked, "stage": stage, **sample.labels})
