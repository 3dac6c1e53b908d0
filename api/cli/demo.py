"""A tour: two corpora, four questions answered in three ways, one question under two instructions.

index         the documentation of the running Python, and the bilingual corpus of the checkout
ask           what vectors find, what words find, and the answer, which goes by both
instruct      the same question three times; only the instruction differs
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from winnow.api.assemble import Services, assemble, assemble_indexing
from winnow.api.assemble_search import closing_pools
from winnow.api.cli.progress import IndexProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import amount, duration, number, plain
from winnow.api.search.records import Answer, Question
from winnow.api.settings import DATA_DEFAULT, Settings
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.reranker import RECALL_ORDER, Ranked
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CORPUS: Final = (
    Path(__file__).resolve().resolve().parents[2] / "data" / "corpus"
)  # in a checkout; the wheel has no corpus
PYTHON_DOCS: Final = "python-docs"
OWN_CORPUS: Final = "corpus"
SHOWN: Final = 5  # places of each order
CANDIDATES: Final = 30  # enough to show five documents
WIDTH_PIPED: Final = 120  # characters; a log does not wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question, and what it shows."""

    collection: str
    query: str
    remark: str


QUESTIONS: Final = (
    Ask(
        collection=PYTHON_DOCS,
        query="how to copy a directory with all its files",
        remark="an English question to Python's own documentation",
    ),
    Ask(
        collection=PYTHON_DOCS,
        query="怎样创建临时文件",
        remark="a Chinese question (how to make a temporary file) to English documentation: words alone find nothing",
    ),
    Ask(
        collection=OWN_CORPUS,
        query="年费套餐用了两个月不想要了，剩下的钱能退吗",
        remark="a Chinese question to the bilingual corpus (two months into a yearly plan: is the rest refunded?)",
    ),
    Ask(
        collection=OWN_CORPUS,
        query="429 too many requests",
        remark="an error code: both ways lead to it",
    ),
)
INSTRUCTED: Final = Ask(
    collection=OWN_CORPUS,
    query="phone stolen, can't get the six digit login code",
    remark="one question without and with an instruction",
)
INSTRUCTIONS: Final = (None, "Prefer documents written in Chinese.", "Prefer documents written in English.")


async def show(terminal: Terminal, settings: Settings) -> None:
    """Run the tour and print it to stdout. Raises what its parts raise."""
    console = _console(terminal)
    if not (CORPUS / "corpus.jsonl").is_file():
        raise CorpusUnreadable(f"{CORPUS} does not exist: the demo needs a source checkout of winnow")
    _headline(console, "winnow: found by meaning and by words, ordered under your instruction")
    parts = assemble(settings)
    console.print(f"Models  {parts.embedding.runs_on}, and {parts.judging.reranker.name} to rerank\n", style="dim")
    async with closing_pools(*parts.pools):
        await _index(terminal, console, settings, parts)
        for ask in QUESTIONS:
            _headline(console, f"{ask.query}", ask.remark)
            console.print(await _side_by_side(parts, ask))
        await _instruct(console, parts)
    _farewell(console, settings)


async def _index(terminal: Terminal, console: Console, settings: Settings, parts: Services) -> None:
    _headline(console, "Indexing", "unchanged documents are skipped")
    indexing = assemble_indexing(settings, parts.disk, parts.embedding)
    for source, name in (("python-docs:", PYTHON_DOCS), (str(CORPUS), OWN_CORPUS)):
        with IndexProgress(terminal) as progress:
            report = await indexing.run(open_corpus(source), indexing.open(name), progress=progress)
        written = report.added + report.changed
        pace = (
            f"{amount(written)} written in {duration(report.seconds)}: {report.documents_per_second:.0f} documents/s, "
            f"{amount(report.tokens_per_second)} tokens/s"
            if written
            else "nothing new"
        )
        console.print(
            f"[bold]{name:<12}[/] {amount(report.documents)} documents, {amount(report.chunks)} chunks  [dim]{pace}[/]"
        )
    console.print()


async def _answer(
    parts: Services, ask: Ask, instruction: str | None = None, *, recall: RecallMode | None = None
) -> Answer:
    """Answer a question; with `recall`, by that kind of recall alone and not reranked."""
    question = Question(
        tenant=DEFAULT_TENANT,
        collection=ask.collection,
        query=ask.query,
        top_k=SHOWN,
        candidates=CANDIDATES,
        instruction=instruction,
        recall=recall,
        rerank=recall is None,
    )
    return await parts.search.answer(question, Deadline.never())


async def _side_by_side(parts: Services, ask: Ask) -> Table:
    """A table of what each kind of recall finds, and the answer."""
    ways = [await _answer(parts, ask, recall=mode) for mode in (RecallMode.DENSE, RecallMode.LEXICAL)]
    answer = await _answer(parts, ask)
    table = _table()
    _numbers(table, "")
    for name, score in (("by meaning", "cosine"), ("by words", "BM25"), ("the answer", "score")):
        _titles(table, name)
        _numbers(table, score)
    _fill(table, [*ways, answer])
    table.caption = (
        f"{_describe_order(answer)}; {len(answer.recalled.candidates)} candidates in {answer.total_ms:,.0f} ms"
    )
    return table


def _describe_order(answer: Answer) -> str:
    ranking = answer.ranking
    if ranking.judged_by == RECALL_ORDER:
        return "the answer keeps the order of recall: without an instruction relevance has no weight"
    return f"the answer was reranked by {ranking.judged_by}, score is {ranking.ranked_by}"


async def _instruct(console: Console, parts: Services) -> None:
    _headline(console, INSTRUCTED.query, INSTRUCTED.remark)
    answers = [await _answer(parts, INSTRUCTED, instruction) for instruction in INSTRUCTIONS]
    table = _table()
    _numbers(table, "")
    for instruction in INSTRUCTIONS:
        _titles(table, f"“{instruction}”" if instruction else "no instruction")
        _numbers(table, "score")
    _fill(table, answers)
    table.caption = "compare scores within a column only"
    console.print(table)


def _fill(table: Table, answers: Sequence[Answer]) -> None:
    """Add titles and scores of the first documents, side by side; cells stay empty where an answer has fewer."""
    columns = [_documents(answer.ranking.ranked)[:SHOWN] for answer in answers]
    for place in range(max(map(len, columns))):
        cells: list[str] = []
        for column in columns:
            each = column[place] if place < len(column) else None
            cells += ("", "") if each is None else (_title(each), f"[dim]{number(each.score)}[/]")
        table.add_row(f"[dim]{place + 1}[/]", *cells)


def _farewell(console: Console, settings: Settings) -> None:
    data = "" if settings.data == DATA_DEFAULT else f" --data {settings.data}"
    winnow = _command()
    _headline(console, "Try it yourself")
    lines = (
        f"{winnow} search 'how do I sort a dict by value' -c {PYTHON_DOCS}{data}",
        f"{winnow} eval {CORPUS.relative_to(Path.cwd()) if CORPUS.is_relative_to(Path.cwd()) else CORPUS}{data}",
        f"{winnow} serve{data}   then open http://{settings.host}:{settings.port}/",
    )
    for line in lines:
        console.print(f"  {line}", markup=False)
    example = '{"query": "shuffle a list", "collection": "python-docs", "instruction": "Prefer functions."}'
    console.print(
        f"  curl http://{settings.host}:{settings.port}/v1/search -H 'content-type: application/json' -d '{example}'\n",
        markup=False,
        soft_wrap=True,
    )


def _command() -> str:
    """How this program is typed here: a virtual environment that is not activated is not on the PATH."""
    running = Path(sys.argv[0]).absolute()
    on_path = shutil.which("winnow")
    if on_path is not None and Path(on_path).absolute() == running:
        return "winnow"
    return str(running.relative_to(Path.cwd())) if running.is_relative_to(Path.cwd()) else str(running)


def _console(terminal: Terminal) -> Console:
    console = terminal.out
    if not console.is_terminal:
        console.width = WIDTH_PIPED
    return console


def _headline(console: Console, text: str, remark: str = "") -> None:
    from rich.text import Text

    console.print()
    console.print(Text.assemble(("▌ ", "cyan"), (text, "bold")))
    if remark:
        console.print(Text.assemble(("▌ ", "cyan"), (remark, "dim")))


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
        header_style="dim",
        caption_justify="left",
        caption_style="dim",
    )


def _titles(table: Table, name: str) -> None:
    table.add_column(name, no_wrap=True, ratio=1)


def _numbers(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def _documents(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Each document once, by its first chunk."""
    first: dict[str, Ranked] = {}
    for each in ranked:
        first.setdefault(each.candidate.chunk.document_id, each)
    return list(first.values())


def _title(ranked: Ranked) -> str:
    """The title of the document, with its language if the corpus has it."""
    from rich.markup import escape

    chunk = ranked.candidate.chunk
    language = chunk.metadata.get("language")
    named = escape(plain(chunk.title or chunk.document_id))
    return f"[magenta]{language}[/] {named}" if isinstance(language, str) else named
