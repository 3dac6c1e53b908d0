"""nDCG@10 against token cost, at fixed depths and with the stopping rule: how many candidates must be reranked?

    python -m bench.depth [--collections DIR] [--queries 100] [--candidates 100] [--recorded DIR] [--json]

Every candidate of every query is scored once and recorded (bench/judged.py); then the service's own AdaptiveDepth is
replayed over the record. Sets: the shared collections, and data/corpus with its instructions. Two orders: as shipped,
and by relevance alone, as the large models rank. Figures, each a mean over the queries of a set:

    nDCG@10   by the collection's relevance judgments
    kept      share of the full depth's first ten that are among the first ten
    gain      the reranker's own gain (sum of score / log2(place + 1)) of the first ten, as a share of the full depth's:
              what it loses by its own scores, whether or not they are good
    judged    number of reranked candidates
    tokens    as a share of the full depth's; the prompts' shared prefix counts in each wave

Prints the largest epsilon that, with all smaller ones, keeps 99.5 % of the full depth's nDCG@10 in every set and on the
mean of the collections, and the same for the gain.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench.depth_rules import RULES
from bench.instructions import CORPUS
from bench.judged import BY_INSTRUCTION, Asked, JudgedQuery, Judging, asked_by_instruction, asked_of_collection
from bench.judged import read as read_record
from bench.judged import written as write_record
from bench.replay import Figures, at_depth, by_rule
from winnow.api.assemble import assemble
from winnow.api.settings import load
from winnow.rerank.reranker import RankedBy
from winnow.rerank.stopping_rule import WAVE, Foresight, StoppingRule
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, BUNDLED_RERANKER, find_model

PROJECT: Final = Path(__file__).resolve().parents[1]
COLLECTIONS: Final = PROJECT.parent / "shared" / "datasets" / "collections"
RECORDED: Final = PROJECT / ".cache" / "depth"
DEPTHS: Final = (10, 25, 50, 75, 100)
EPSILONS: Final = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0, 2.0)
THRESHOLDS: Final = tuple(10.0 ** (exponent / 5) for exponent in range(-20, 7))  # for comparing rules
KEPT_LEAST: Final = 0.995
MEAN: Final = "mean"  # of the collections; by-instruction is separate

Sets: TypeAlias = Mapping[str, Sequence[JudgedQuery]]
Row: TypeAlias = dict[str, Figures]  # by set


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Cost and quality of each setting, for one order of all sets."""

    ranked_by: RankedBy
    full: Row
    fixed: dict[int, Row]  # by depth
    adaptive: dict[float, Row]  # by epsilon


def main() -> None:
    arguments = parse()
    sets = asyncio.run(recorded(arguments))
    orders = list(dict.fromkeys([sets[BY_INSTRUCTION][0].ranked_by, RankedBy.RELEVANCE]))
    curves = [curve_of(sets, order, wave=arguments.wave) for order in orders]
    rules = {order.value: compared(sets, order, wave=arguments.wave) for order in orders}
    if arguments.json:
        print(json.dumps({"curves": [as_json(curve) for curve in curves], "rules": rules}, indent=1))
    else:
        print("\n\n".join([*map(as_text, curves), *(rules_as_text(order, rows) for order, rows in rules.items())]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", type=Path, default=COLLECTIONS)
    parser.add_argument("--recorded", type=Path, default=RECORDED, help="folder of the record")
    parser.add_argument("--queries", type=int, default=100, help="per collection; twice as many by instruction")
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--wave", type=int, default=WAVE)
    parser.add_argument("--embed-model", default=BUNDLED_EMBEDDER)
    parser.add_argument("--rerank-model", default=BUNDLED_RERANKER)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


async def recorded(arguments: argparse.Namespace) -> Sets:
    """Read the record; sets that are missing there are reranked, which takes minutes."""
    chosen = {"embed_model": arguments.embed_model, "rerank_model": arguments.rerank_model}
    parts = assemble(load({**chosen, "data": arguments.recorded / "data"}, environment={}))
    judging = Judging(parts, find_model(arguments.rerank_model, kind="reranker"), width=arguments.candidates)
    sets: dict[str, Sequence[JudgedQuery]] = {}
    for name, (corpus, asked) in to_ask(arguments).items():
        file = judging.file(arguments.recorded, name, asked)
        if not file.is_file():
            print(f"reranking {name}: {len(asked)} queries x {arguments.candidates} candidates", file=sys.stderr)
            write_record(file, await judging.judged(corpus, name, asked))
        sets[name] = read_record(file)
    return sets


def to_ask(arguments: argparse.Namespace) -> dict[str, tuple[Path, list[Asked]]]:
    """Corpus and queries of each set."""
    if not arguments.collections.is_dir():
        print(f"no collections in {arguments.collections} (--collections DIR): using data/corpus only", file=sys.stderr)
    folders = sorted(arguments.collections.glob("*/")) if arguments.collections.is_dir() else []
    sets = {folder.name: (folder, asked_of_collection(folder, queries=arguments.queries)) for folder in folders}
    return {**sets, BY_INSTRUCTION: (CORPUS, asked_by_instruction(queries=2 * arguments.queries))}


def curve_of(sets: Sets, order: RankedBy, *, wave: int) -> Curve:
    rule = functools.cache(StoppingRule().foresight)
    depths = [depth for depth in DEPTHS if depth < max(len(query.candidates) for query in sets[BY_INSTRUCTION])]
    return Curve(
        ranked_by=order,
        full=row_of(sets, lambda query: at_depth(query, order, None)),
        fixed={depth: row_of(sets, functools.partial(at_depth, order=order, depth=depth)) for depth in depths},
        adaptive={epsilon: adaptive_row(sets, order, rule, epsilon, wave) for epsilon in EPSILONS},
    )


def adaptive_row(sets: Sets, order: RankedBy, foresight: Foresight, epsilon: float, wave: int) -> Row:
    rule = StoppingRule(epsilon=epsilon, wave=wave, foresight=foresight)
    return row_of(sets, lambda query: by_rule(query, order, rule))


def row_of(sets: Sets, figures: Callable[[JudgedQuery], Figures]) -> Row:
    row = {name: Figures.mean([figures(query) for query in queries]) for name, queries in sets.items()}
    collections = [each for name, each in row.items() if name != BY_INSTRUCTION]
    return row | ({MEAN: Figures.mean(collections)} if collections else {})


def keeps(row: Row, full: Row, figure: str) -> bool:
    """Whether every set, and the mean, keeps this share of the full depth's figure."""
    return all(getattr(each, figure) >= KEPT_LEAST * getattr(full[name], figure) - 1e-12 for name, each in row.items())


def largest_keeping(curve: Curve, figure: str) -> float:
    """The largest epsilon that keeps enough, with all smaller ones; epsilon 0 always does."""
    found = 0.0
    for epsilon in sorted(curve.adaptive):
        if not keeps(curve.adaptive[epsilon], curve.full, figure):
            break
        found = epsilon
    return found


def compared(sets: Sets, order: RankedBy, *, wave: int) -> dict[str, dict[str, float]]:
    """For each rule, the largest threshold that keeps 99.5 % of the reranker's gain on the mean over the sets."""
    found = {}
    for name, foresight in RULES.items():
        remembered = functools.cache(foresight)
        for threshold in sorted(THRESHOLDS, reverse=True):
            row = adaptive_row(sets, order, remembered, threshold, wave)
            mean = Figures.mean([each for set_name, each in row.items() if set_name != MEAN])
            if mean.gain >= KEPT_LEAST:
                found[name] = {"threshold": threshold, **asdict(mean)}
                break
    return found


def as_json(curve: Curve) -> dict[str, Any]:
    def said(row: Row) -> dict[str, Any]:
        return {name: asdict(figures) for name, figures in row.items()}

    return {
        "ranked_by": curve.ranked_by.value,
        "full": said(curve.full),
        "fixed": {str(depth): said(row) for depth, row in curve.fixed.items()},
        "adaptive": {str(epsilon): said(row) for epsilon, row in curve.adaptive.items()},
        "epsilon_keeping_ndcg": largest_keeping(curve, "ndcg"),
        "epsilon_keeping_gain": largest_keeping(curve, "gain"),
    }


def as_text(curve: Curve) -> str:
    names = list(curve.full)
    lines = [
        f"ranked by {curve.ranked_by}: nDCG@10 of each set; then, on the mean of the collections and by instruction,",
        "what is kept of the full depth's first ten and of the judge's gain, candidates judged, tokens",
        "",
        f"{'':14}" + "".join(f"{name:>15}" for name in names) + f"{'kept':>14}{'gain':>16}{'judged':>13}{'tokens':>14}",
    ]
    rows = [(f"depth {depth}", row) for depth, row in curve.fixed.items()]
    rows += [("full", curve.full)] + [(f"epsilon {epsilon:g}", row) for epsilon, row in curve.adaptive.items()]
    for setting, row in rows:
        both = [row[name] for name in (MEAN, BY_INSTRUCTION) if name in row]
        figures = "".join(f"{row[name].ndcg:>15.4f}" for name in names)
        kept = f"{' / '.join(f'{each.kept:.3f}' for each in both):>14}"
        gain = f"{' / '.join(f'{each.gain:.4f}' for each in both):>16}"
        judged = f"{' / '.join(f'{each.judged:.0f}' for each in both):>13}"
        lines.append(
            f"{setting:14}{figures}{kept}{gain}{judged}{' / '.join(f'{each.tokens:.3f}' for each in both):>14}"
        )
    kept_ndcg, kept_gain = largest_keeping(curve, "ndcg"), largest_keeping(curve, "gain")
    lines.append("")
    lines.append(f"keeps {KEPT_LEAST:.1%} everywhere: of nDCG@10 epsilon {kept_ndcg:g}, of the gain {kept_gain:g}")
    return "\n".join(lines)


def rules_as_text(order: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    lines = [f"ranked by {order}: each rule where it keeps {KEPT_LEAST:.1%} of the judge's gain, mean of all sets"]
    lines.append(f"{'':28}{'threshold':>10}{'tokens':>9}{'judged':>9}{'kept':>8}{'nDCG@10':>10}")
    for name, row in rows.items():
        lines.append(
            f"{name:28}{row['threshold']:>10.3g}{row['tokens']:>9.3f}{row['judged']:>9.1f}{row['kept']:>8.3f}"
            f"{row['ndcg']:>10.4f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
