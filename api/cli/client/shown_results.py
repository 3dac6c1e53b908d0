"""Prints the body of POST /v1/search and of POST /v1/rerank, for a person or for a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from winnow.api.cli.marked_text import mark_text
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import counted, flat, number, percent, snippet
from winnow.rerank.reranker import RECALL_ORDER
from winnow.retrieval.records import BREADCRUMB_JOINT, Location, breadcrumb
from winnow.retrieval.structure import cite

if TYPE_CHECKING:
    from rich.console import RenderableType

    from winnow.api.schemas.compat.rerank import RerankResponse
    from winnow.api.schemas.response import LocationResponse
    from winnow.api.schemas.search_response import AppliedInstructionResponse, SearchResponse, SearchResult

TITLE_CHARACTERS: Final = 72  # characters; one line of a usual terminal beside the numbers
_HEADS: Final = "rank\tscore\trelevance\tsimilarity\tdocument_id\tordinal\ttitle\ttext\tsection\tlocation"
_SKIPPED: Final = {  # by `rerank_skipped`, where the reason is not obvious
    "no_weight": " (relevance has no weight without an instruction; --always-rerank shows it)"
}


def show_results(terminal: Terminal, answer: SearchResponse) -> None:
    if terminal.is_json:
        terminal.answer(answer)
        return
    (_draw if terminal.is_rich else _print)(terminal, answer)
    say_calibrated(terminal, answer)
    _warn_degraded(terminal, answer)


def show_reranked(terminal: Terminal, answer: RerankResponse) -> None:
    if terminal.is_json:
        terminal.answer(answer)
        return
    columns = [
        Column(name="rank", right=True),
        Column(name="relevance", right=True, style="bold"),
        Column(name="was", right=True, style="dim"),
        Column(name="text"),
    ]
    rows = []
    for rank, each in enumerate(answer["results"], start=1):
        text = each["document"]["text"]
        shown = snippet(text) if terminal.is_rich else text
        rows.append((str(rank), number(each["relevance_score"]), str(each["index"] + 1), shown))
    terminal.table(columns, rows)
    counts = answer["meta"]["winnow"]
    terminal.say(f"reranked by {answer['model']}{_describe_collapsed(counts.get('collapsed', 0))}")
    if counts["judged"]:
        _warn_not_applied(terminal, answer["model"], is_applied=counts["instruction_applied"])


def said_instruction(instruction: AppliedInstructionResponse) -> str:
    """For people: `legal@2`, or that it was a text."""
    return f"{instruction['name']}@{instruction['version']}" if instruction["name"] else "your instruction"


def _describe_collapsed(collapsed: int) -> str:
    return f" · {collapsed} near-identical left out" if collapsed else ""


def _draw(terminal: Terminal, answer: SearchResponse) -> None:
    """Draw one block per result for a person, with the numbers on the left."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "score", "relevance", "similarity"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("document", overflow="fold")
    for result in answer["results"]:
        table.add_row(
            f"[dim]{result['rank']}[/]",
            f"[bold]{number(result['score'])}[/]",
            number(result["relevance"]),
            number(result["similarity"]),
            _document(result),
        )
    terminal.draw(table if answer["results"] else "No results.")
    terminal.say(_footer(answer))


def say_calibrated(terminal: Terminal, answer: SearchResponse) -> None:
    """Say which threshold was applied, and that the query cannot be answered where nothing reaches it."""
    if (applied := answer.get("calibration")) is None:
        return
    if answer["degraded"] is not None:
        terminal.warn("The calibrated threshold was not applied: nothing was reranked.")
        return
    terminal.say(
        f"calibrated threshold {number(applied['threshold'])}: at least {percent(applied['precision'])} of the shown "
        f"passages are relevant, with {percent(applied['confidence'])} confidence; coverage "
        f"{percent(applied['coverage'])}"
    )
    if not answer["results"]:
        terminal.warn("Not answerable: no passage reaches the threshold.")


def _warn_not_applied(terminal: Terminal, judged_by: str, *, is_applied: bool) -> None:
    if not is_applied:
        terminal.warn(f"{judged_by} reads no instruction: the order does not follow one.")


def _warn_degraded(terminal: Terminal, answer: SearchResponse) -> None:
    if answer["usage"]["judged"]:
        _warn_not_applied(terminal, answer["judged_by"], is_applied=answer["instruction_applied"])
    highlight, degraded = answer.get("highlight"), answer["degraded"]
    if highlight is not None and degraded is None and highlight["reason"] is not None:
        terminal.warn(f"Not highlighted: {counted(highlight['left_out'], 'passage')} ({highlight['reason']}).")
    if degraded is not None:
        terminal.warn(
            f"Not reranked ({degraded['reason']}): results keep the order of recall. Run 'winnow doctor' to find out "
            "why."
        )


def _document(result: SearchResult) -> RenderableType:
    from rich.text import Text

    context = result.get("context")
    heading = BREADCRUMB_JOINT.join(filter(None, (result["title"], breadcrumb(result["section"]))))
    head = f"{snippet(heading, characters=TITLE_CHARACTERS)}\n" if heading else ""
    others, alike = len(result.get("other_chunks", ())), len(result.get("collapsed", ()))
    more = f", and {others} more" if others else ""
    more += f", stands for {alike} near-identical" if alike else ""
    cited = flat(_cited(result["location"])) or f"chunk {result['chunk']['ordinal']}"
    place = f"{flat(result['document_id'])}, {cited}{more}"
    before, after = (context["before"], context["after"]) if context else (None, None)
    spans = [(each["start"], each["end"]) for each in result.get("highlights") or ()]
    return Text.assemble(
        (head, "bold"),
        (place, "cyan"),
        "\n",
        (f"{flat(before['text'])} " if before else "", "dim"),
        *mark_text(result["text"], spans, whole=context is not None),
        (f" {flat(after['text'])}" if after else "", "dim"),
        "\n",
    )


def _cited(location: LocationResponse) -> str:
    return cite(Location(**location))


def _footer(answer: SearchResponse) -> str:
    instruction, usage = answer["instruction"], answer["usage"]
    retired = " (retired)" if instruction["state"] == "retired" else ""
    some = f"{usage['judged']} of them" if 0 < usage["judged"] < usage["candidates"] else "all"
    under = f" under {said_instruction(instruction)}{retired}" if answer["instruction_applied"] else ""
    judged = (
        f"{some} reranked by {answer['judged_by']}{under}"
        if answer["judged_by"] != RECALL_ORDER
        else "in the order of recall" + _SKIPPED.get(answer["rerank_skipped"] or "", "")
    )
    shown = f"{len(answer['results'])} shown · {usage['candidates']} candidates"
    score = "" if answer["ranked_by"] == RECALL_ORDER else f" · score is {answer['ranked_by']}"
    collapsed = answer["diversity"]["collapsed"] if "diversity" in answer else 0
    return f"{shown}, {judged}{score}{_describe_collapsed(collapsed)} · {answer['timings_ms']['total']:,.0f} ms"


def _print(terminal: Terminal, answer: SearchResponse) -> None:
    """Print one line per result for a program."""
    terminal.lines(_HEADS, *map(_line, answer["results"]))


def _line(result: SearchResult) -> str:
    return "\t".join(_fields(result))


def _fields(result: SearchResult) -> Iterator[str]:
    yield str(result["rank"])
    for figure in (result["score"], result["relevance"], result["similarity"]):
        yield "" if figure is None else f"{figure:.6f}"
    yield flat(result["document_id"])
    yield str(result["chunk"]["ordinal"])
    yield flat(result["title"])
    yield snippet(result["text"])
    yield flat(breadcrumb(result["section"]))
    yield flat(_cited(result["location"]))
