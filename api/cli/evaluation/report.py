"""Shows an evaluation: the JSON object or tables, and run files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.api.cli.evaluation.html_page import write_page
from winnow.api.cli.evaluation.named_settings import Order
from winnow.api.cli.evaluation.per_query import show_extremes, write_queries
from winnow.api.cli.evaluation.response import response
from winnow.api.cli.evaluation.run import Evaluated, trec_lines
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, duration
from winnow.api.schemas.evaluation import EvalComparison, EvalResponse
from winnow.retrieval.files.durable import write_errors
from winnow.retrieval.significance import DRAWS, SEED

ORDERS: Final = {
    Order.RECALL: "recall alone",
    Order.ANSWER: "as a search answers",
    Order.RELEVANCE: "by relevance alone",
}
PAIRS_SHOWN_MAX: Final = 10  # of one measure; of more, only those with the first run


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What to write; None is not written."""

    output: Path | None  # the beginning of the names of run files
    per_query: Path | None
    html: Path | None


def report(terminal: Terminal, found: Evaluated, files: Files, *, gpu_hour_price: float | None) -> None:
    """Write the files that were asked for, then print. Raises `WriteFailed`."""
    body = response(found, gpu_hour_price=gpu_hour_price)
    _write(terminal, files, found)
    if files.html is not None:
        write_page(files.html, body)
        terminal.say(f"wrote {files.html}")
    _show(terminal, found, body)


def _write(terminal: Terminal, files: Files, found: Evaluated) -> None:
    if files.output is not None:
        _write_runs(terminal, files.output, found)
    if files.per_query is not None:
        write_queries(files.per_query, found.cases, found.values)
        terminal.say(f"wrote {files.per_query}")


def _write_runs(terminal: Terminal, output: Path, found: Evaluated) -> None:
    for name, order in found.orders.items():
        path = output.with_name(f"{output.name}.{name.replace('/', '_')}")
        with write_errors(path):
            path.write_text("".join(line + "\n" for line in trec_lines(order, name)), encoding="utf-8")
        terminal.say(f"wrote {path}")


def _show(terminal: Terminal, found: Evaluated, body: EvalResponse) -> None:
    if terminal.is_json:
        terminal.answer(body)
        return
    _show_runs(terminal, body, found)
    if terminal.is_rich:
        show_times(terminal, body)
        _show_comparisons(terminal, body["comparisons"], first=next(iter(found.values)))
        show_extremes(terminal, found.cases, found.values)
    say_conditions(terminal, body)


def _show_runs(terminal: Terminal, body: EvalResponse, found: Evaluated) -> None:
    names = list(body["runs"][0]["metrics"])
    terminal.table(
        [Column(name="run"), *(Column(name=name, right=True, style="bold") for name in names), Column(name="order")],
        [
            (run["name"], *(f"{run['metrics'][name]:.4f}" for name in names), _describe_order(run["name"], found))
            for run in body["runs"]
        ],
    )


def show_times(terminal: Terminal, body: EvalResponse) -> None:
    """Print milliseconds of a search, its tokens and its price."""
    rows = []
    for run in body["runs"]:
        times, tokens, cost = run["timings"], run["tokens"], run["cost_per_1000"]
        if times is not None and tokens is not None:
            reranked, total = times["rerank"], times["total"]
            stages = (times["embed"], times["recall"], times["fetch"])
            cells = [*(f"{each['p50']:.0f}" for each in stages), "" if reranked is None else f"{reranked['p50']:.0f}"]
            cells += [f"{total['p50']:.0f}", f"{total['p90']:.0f}", f"{total['p99']:.0f}"]
            cells += [amount(round(tokens["embed"] + tokens["rerank"])), "" if cost is None else f"{cost:.4f}"]
            rows.append((run["name"], *cells))
    numbers = ("embed", "recall", "fetch", "rerank", "search", "p90", "p99", "tokens", "cost")
    terminal.table(
        [Column(name="run"), *(Column(name=name, right=True) for name in numbers)],
        rows,
        title="Milliseconds (medians; p90 and p99 of a search), tokens, cost of 1,000 searches",
    )


def _show_comparisons(terminal: Terminal, comparisons: Sequence[EvalComparison], *, first: str) -> None:
    if not comparisons:
        return
    pairs = len({(each["run"], each["against"]) for each in comparisons})
    shown = [each for each in comparisons if pairs <= PAIRS_SHOWN_MAX or each["against"] == first]
    terminal.table(
        [
            Column(name="run"),
            Column(name="minus"),
            Column(name="measure"),
            Column(name="mean", right=True, style="bold"),
            Column(name="95 % interval", right=True),
            Column(name="p", right=True),
            Column(name="p (Holm)", right=True),
        ],
        [
            (
                each["run"],
                each["against"],
                each["measure"],
                f"{each['mean']:+.4f}",
                f"{each['low']:+.4f} to {each['high']:+.4f}",
                f"{each['p']:.4f}",
                f"{each['p_holm']:.4f}",
            )
            for each in shown
        ],
    )
    terminal.say(f"p by a paired randomisation test, intervals by a paired bootstrap ({DRAWS:,} draws, seed {SEED})")
    if len(shown) < len(comparisons):
        terminal.say(f"only the pairs with {first} are shown; --json has all {amount(pairs)} pairs")


def say_conditions(terminal: Terminal, body: EvalResponse) -> None:
    """Print what was asked and by which models, and which of these read no instruction."""
    reranked_runs = [run for run in body["runs"] if run["reranker"] is not None]
    for name in dict.fromkeys(run["reranker"] for run in reranked_runs if not run["instruction_applied"]):
        terminal.warn(f"{name} reads no instruction: its order does not follow one.")
    asked = f"{amount(body['queries'])} queries over {amount(body['documents'])} documents"
    judges = ", ".join(body["rerankers"])
    reranked = f"{body['candidates']} candidates reranked by {judges}" if body["candidates"] else "not reranked"
    terminal.say(f"{asked} in {duration(body['seconds'])} · {reranked} · found by {body['embedder']}")


def _describe_order(run: str, found: Evaluated) -> str:
    return f"from {found.foreign[run]}" if run in found.foreign else ORDERS[found.settings[run].order]
