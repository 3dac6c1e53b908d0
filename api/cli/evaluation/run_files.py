"""Reads TREC run files: query, Q0, document, rank, score, tag; separated by tabs or blanks.

Documents are ordered as trec_eval orders them: by score in single precision, equal scores by document id, both
descending. The rank is not read.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from winnow.api.cli.evaluation.asking import Run, Scored
from winnow.api.cli.evaluation.run import Evaluated, values_of
from winnow.api.cli.terminal import Terminal
from winnow.indexer.readers.lines import read_lines
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.measures import parse

_COLUMNS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRun:
    """A run from elsewhere."""

    path: Path
    tag: str  # its own name
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: int
    query_id: str
    document_id: str
    score: float
    tag: str


def read_run(path: Path) -> ForeignRun:
    """Read a plain, .gz or .zst run file. Raises `InvalidRequest`, which names the line, and `CorpusUnreadable`."""
    found: Run = {}
    tag = ""
    for row in _rows(path):
        tag = tag or row.tag
        if row.tag != tag:
            raise InvalidRequest(f"{path}, line {row.line}: the run is {row.tag!r} here and {tag!r} before; split it")
        documents = found.setdefault(row.query_id, {})
        if row.document_id in documents:
            raise InvalidRequest(
                f"{path}, line {row.line}: document {row.document_id!r} is named twice for query {row.query_id!r}"
            )
        documents[row.document_id] = row.score
    if not found:
        raise InvalidRequest(f"{path} is empty; a run file has lines of query, Q0, document, rank, score, tag")
    return ForeignRun(path=path, tag=tag, run={query_id: _ordered(scored) for query_id, scored in found.items()})


def read_runs(paths: Sequence[Path]) -> list[ForeignRun]:
    """Read all. Raises `InvalidRequest` also if two cannot be told apart."""
    found = [read_run(path) for path in paths]
    named_runs(found, ())
    return found


def named_runs(foreign: Sequence[ForeignRun], taken: Container[str]) -> dict[str, ForeignRun]:
    """Runs by tag; if another run has that name, the file's name follows. Raises `InvalidRequest`."""
    found: dict[str, ForeignRun] = {}
    for each in foreign:
        name = each.tag
        if name in taken or name in found:
            name = f"{each.tag}:{each.path.name}"
        if name in taken or name in found:
            raise InvalidRequest(f"--run-file {each.path}: another run has the name {name!r}; rename the file")
        found[name] = each
    return found


def with_runs(terminal: Terminal, found: Evaluated, foreign: Sequence[ForeignRun]) -> Evaluated:
    """Measure runs from elsewhere with the judgments of an evaluation, and put them behind its own."""
    measures = {spelling: parse(spelling) for spelling in found.plan.metrics}
    named = named_runs(foreign, found.orders)
    for name, each in named.items():
        missing = sum(case.id not in each.run for case in found.cases)
        if missing:
            terminal.warn(f"{each.path} has no ranking for {missing} of {len(found.cases)} queries; {name} has 0 there")
    values = {name: values_of(each.run, found.cases, found.judgments, measures) for name, each in named.items()}
    return replace(
        found,
        values=found.values | values,
        foreign={name: each.path for name, each in named.items()},
        foreign_runs={name: each.run for name, each in named.items()},
    )


def _rows(path: Path) -> Iterator[_Row]:
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        if line.content is None:
            raise InvalidRequest(f"{where}: the line is too long for a run file")
        try:
            text = line.content.decode("utf-8-sig" if line.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{where}: not UTF-8") from error
        if not text.strip():
            continue
        columns = _columns(text)
        if len(columns) != _COLUMNS:
            raise InvalidRequest(
                f"{where}: {len(columns)} columns; expected {_COLUMNS}: query, Q0, document, rank, score, tag"
            )
        query_id, _, document_id, _, score, tag = columns
        yield _Row(line=line.number, query_id=query_id, document_id=document_id, score=_number(score, where), tag=tag)


def _columns(line: str) -> list[str]:
    """Split at tabs if that gives the right number (ids may contain blanks); else at whitespace, like TREC's tools."""
    at_tabs = line.split("\t")
    return at_tabs if len(at_tabs) == _COLUMNS else line.split()


def _number(text: str, where: str) -> float:
    try:
        score = float(text)
    except ValueError as error:
        raise InvalidRequest(f"{where}: the score {text!r} is not a number") from error
    if math.isnan(score):
        raise InvalidRequest(f"{where}: the score {text!r} is not a number")
    return score


def _ordered(scored: Scored) -> Scored:
    with np.errstate(over="ignore"):  # a score beyond single precision is infinite, as it is for trec_eval
        single = {document_id: float(np.float32(score)) for document_id, score in scored.items()}
    return dict(sorted(single.items(), key=lambda each: (each[1], each[0]), reverse=True))
