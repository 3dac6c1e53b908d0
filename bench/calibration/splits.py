"""Do calibrated thresholds keep their promise on queries that were not used? Splits judged queries again and again.

    winnow index FOLDER --collection scifact --data DATA
    python -m bench.calibration.splits scifact --folder FOLDER --data DATA --answers FILE --precision 0.3 0.4

FOLDER is a BEIR folder. Each split draws half of the judged queries, calibrates on them as `winnow calibrate` does, and
looks at what the other half would show above the threshold. All answers are asked for once, and kept in the file of
--answers, from which a later call reads them. Per precision:

    given      splits with a threshold; the others say that there is none, and promise nothing
    kept       of these, the observed precision of the other half is at least the promised one
    refuted    of these, the other half shows that the precision is lower: the upper bound of Clopper and Pearson (95 %)
               lies below it
    coverage   share of the other half's queries that show something, mean and least over the given thresholds
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import orjson

from winnow.api.assemble import assemble
from winnow.api.assemble_search import closing_pools
from winnow.api.cli.calibration.run import Plan, ask, judged_answer
from winnow.api.cli.terminal import Terminal
from winnow.api.settings import Settings
from winnow.indexer.readers.beir import read_qrels, read_queries
from winnow.retrieval.calibration import JudgedAnswer, JudgedPassage, Promise, Tested, calibrate, examine, lower_bound
from winnow.retrieval.tenancy import DEFAULT_TENANT


async def judged_answers(folder: Path, collection: str, data: Path, promise: Promise) -> list[JudgedAnswer]:
    """Ask all judged queries."""
    judgments, queries = read_qrels(folder), read_queries(folder)
    parts = assemble(Settings(data=data))
    plan = Plan(
        tenant=DEFAULT_TENANT,
        collection=parts.disk.catalog.collections.get(DEFAULT_TENANT, collection),
        instruction=None,
        queries=folder,
        qrels=folder,
        promise=promise,
    )
    texts = {each: text for each, text in queries.items() if judgments.get(each)}
    async with closing_pools(*parts.pools):
        answers = await ask(Terminal(), parts, plan, texts)
    return [judged_answer(each, answer, judgments[each]) for each, answer in answers.items()]


def load(path: Path) -> list[JudgedAnswer]:
    """Read what `save` wrote."""
    return [
        JudgedAnswer(
            query_id=row["id"],
            passages=tuple(JudgedPassage(relevance=each, is_relevant=relevant) for each, relevant in row["passages"]),
        )
        for row in map(orjson.loads, path.read_bytes().splitlines())
    ]


def save(path: Path, answers: Sequence[JudgedAnswer]) -> None:
    """Write one line for each answer: its passages, best first as answered, and whether they are relevant."""
    rows = (
        {"id": each.query_id, "passages": [(one.relevance, one.is_relevant) for one in each.passages]}
        for each in answers
    )
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


def held_back(answers: Sequence[JudgedAnswer], promise: Promise, *, splits: int) -> list[Tested | None]:
    """What the other half shows above the threshold of each split; None where there is no threshold."""
    found: list[Tested | None] = []
    for seed in range(splits):
        drawn = random.Random(seed).sample(list(answers), len(answers))
        half = len(drawn) // 2
        chosen = calibrate(drawn[:half], wanted := replace(promise, seed=seed)).chosen
        found.append(None if chosen is None else examine(drawn[half:], chosen.threshold, wanted))
    return found


def line(found: Sequence[Tested | None], promise: Promise) -> str:
    """One row of the table."""
    given = [each for each in found if each is not None]
    kept = sum((each.precision or 0.0) >= promise.precision for each in given)
    refuted = sum(1.0 - lower_bound(each.answered - each.relevant, each.answered) < promise.precision for each in given)
    covered = [each.coverage for each in given]
    spread = f"{fmean(covered):.2f}, {min(covered):.2f}" if covered else "-"
    return f"| {promise.precision:g} | {promise.top_k} | {len(given)} of {len(found)} | {kept} | {refuted} | {spread} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True, help="File of answers, JSON Lines.")
    parser.add_argument("--top-k", type=int, nargs="+", default=[1])
    parser.add_argument("--precision", type=float, nargs="+", required=True)
    parser.add_argument("--splits", type=int, default=20)
    said = parser.parse_args()
    promises = [Promise(precision=each, top_k=top_k) for top_k in said.top_k for each in said.precision]
    if not said.answers.exists():
        save(said.answers, asyncio.run(judged_answers(said.folder, said.collection, said.data, promises[0])))
    answers = load(said.answers)
    judged = [each.is_relevant for answer in answers for each in answer.passages[:1]]
    print(f"{said.collection}: {len(answers)} judged queries; the first passage is relevant for {fmean(judged):.2f}")
    print("| precision | top_k | given | kept | refuted | coverage: mean, least |\n|---|---|---|---|---|---|")
    for promise in promises:
        print(line(held_back(answers, promise, splits=said.splits), promise))


if __name__ == "__main__":
    main()
