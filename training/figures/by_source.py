"""Whether an order is significantly worse than the better of BM25 and hybrid recall, source by source.

Per source: the mean nDCG@10 of lexical recall (BM25), hybrid recall and the measured order, and the difference of the
latter from the better of the two, with a 95 % interval by a paired bootstrap over the queries and the p-value of a
paired randomisation test (retrieval/significance.py, fixed seed). Holm's correction is over the sources. The better one
is chosen by its mean over the same queries, which is to the disadvantage of the measured order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from winnow.retrieval.significance import LEVEL, Difference, compare, holm


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One query's nDCG@10 by three orders."""

    source: str
    lexical: float
    hybrid: float
    measured: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVerdict:
    """The means of one source, and the measured order against the better of the other two."""

    lexical: float
    hybrid: float
    measured: float
    difference: Difference  # measured minus the better one
    p_holm: float

    @property
    def is_worse(self) -> bool:
        """Whether the order is significantly worse, after Holm's correction."""
        return self.difference.mean < 0 and self.p_holm < LEVEL


def judge_sources(figures: Sequence[Figures]) -> dict[str, SourceVerdict]:
    """Compare the orders within each source, in alphabetical order of the sources."""
    by_source: dict[str, list[Figures]] = {}
    for each in sorted(figures, key=lambda each: each.source):
        by_source.setdefault(each.source, []).append(each)
    found = {}
    for source, rows in by_source.items():
        lexical, hybrid, measured = zip(*((row.lexical, row.hybrid, row.measured) for row in rows), strict=True)
        better = lexical if fmean(lexical) > fmean(hybrid) else hybrid
        found[source] = (fmean(lexical), fmean(hybrid), fmean(measured), compare(measured, better))
    adjusted = holm([difference.p for *_, difference in found.values()])
    return {
        source: SourceVerdict(lexical=lexical, hybrid=hybrid, measured=measured, difference=difference, p_holm=p)
        for (source, (lexical, hybrid, measured, difference)), p in zip(found.items(), adjusted, strict=True)
    }


def as_table(verdicts: Mapping[str, SourceVerdict]) -> str:
    lines = [
        "| source | queries | BM25 | hybrid | order | difference from the better | 95 % interval | p | p, Holm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for source, each in verdicts.items():
        difference = each.difference
        lines.append(
            f"| {source} | {difference.queries} | {each.lexical:.3f} | {each.hybrid:.3f} | {each.measured:.3f} "
            f"| {difference.mean:+.3f} | {difference.low:+.3f} to {difference.high:+.3f} "
            f"| {difference.p:.4f} | {each.p_holm:.4f} |"
        )
    worse = [source for source, each in verdicts.items() if each.is_worse]
    return "\n".join([*lines, f"significantly worse: {', '.join(worse) or 'none'}"])
