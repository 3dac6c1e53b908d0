"""The report of `winnow index`: what was indexed, what was not, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import amount, counted, duration

if TYPE_CHECKING:
    from winnow.indexer.account import FileCounts
    from winnow.indexer.report import IndexReport

SHARES_MAX: Final = 12  # endings, or patterns, that the report names
CORPUS_SUFFIXES: Final = frozenset({".arrow", ".feather"})


def show_report(terminal: Terminal, collection: str, report: IndexReport) -> None:
    """Print the result to stdout, and notes, skipped files and rejects to stderr."""
    if terminal.is_json:
        terminal.answer({"collection": collection, **asdict(report)})
    else:
        terminal.lines(*_sentences(collection, report))
    for sentence in _describe_files(report.files) if report.files else ():
        terminal.say(sentence)
    for note in report.notes:
        terminal.say(note)
    if report.not_pruned:
        terminal.warn(report.not_pruned)
    for reject in report.first_rejects:
        terminal.warn(f"rejected: {reject}")
    if report.rejected and not report.taken and "(field" in report.first_rejects[0]:
        terminal.warn("Use --id-field, --text-field, --title-field and --url-field to name the right fields.")
    if report.rejected:
        some = "Every record was rejected" if not report.taken else f"{counted(report.rejected, 'record')} rejected"
        terminal.warn(f"{some}; {report.rejects} lists each with its reason.")
    elif not report.taken:
        terminal.warn(f"{report.corpus} holds no documents.")


def _describe_files(files: FileCounts) -> list[str]:
    """What happened to the files of a folder, and what to do about it."""
    parts = [f"{amount(files.read)} read" + (f" ({_shares(files.formats)})" if files.formats else "")]
    if files.not_read:
        parts.append(f"{amount(sum(files.not_read.values()))} of other types ({_shares(files.not_read)})")
    if files.left_out:
        parts.append(f"{amount(sum(files.left_out.values()))} skipped ({_shares(files.left_out)})")
    if files.not_included:
        parts.append(f"{amount(files.not_included)} not matched by --include")
    sentences = [f"{counted(files.found, 'file')}: {', '.join(parts)}."]
    if files.not_read:
        sentences.append("winnow has no reader for those types; docs/reference/formats.md lists the formats.")
    if tables := [ending for ending in files.not_read if ending in CORPUS_SUFFIXES]:
        sentences.append(f"Index {', '.join(tables)} files one by one: each of them is a corpus.")
    if files.left_out:
        sentences.append(f"--exclude '!{next(iter(files.left_out))}' reads files that this pattern skipped.")
    if files.links_passed_over:
        links = counted(files.links_passed_over, "linked folder")
        sentences.append(
            f"{links} skipped: the files are read under another path, or the link points to a parent folder."
        )
    return sentences


def _shares(counts: Mapping[str, int]) -> str:
    """The largest first: `.pdf 8, .docx 6`."""
    named = [f"{name} {amount(count)}" for name, count in counts.items()]
    beyond = f" and {len(named) - SHARES_MAX} more" if len(named) > SHARES_MAX else ""
    return ", ".join(named[:SHARES_MAX]) + beyond


def _sentences(collection: str, report: IndexReport) -> list[str]:
    written = report.added + report.changed
    counts = [
        f"{amount(count)} {name}"
        for name, count in (
            ("added", report.added),
            ("changed", report.changed),
            ("unchanged", report.unchanged),
            ("removed", report.removed),
            ("rejected", report.rejected),
        )
        if count
    ]
    sentences = [
        f"{collection} holds {counted(report.documents, 'document')} in {counted(report.chunks, 'chunk')}.",
        f"{report.corpus}: {', '.join(counts) or 'empty'}.",
    ]
    if written:
        sentences.append(
            f"{duration(report.seconds)}: {report.documents_per_second:.1f} documents/s, "
            f"{amount(report.tokens_per_second)} tokens/s, peak memory {report.peak_memory_bytes / 2**20:,.0f} MB."
        )
    if report.cosine_loss is not None:
        sentences.append(
            f"Vectors are stored as {report.vectors}, which moves no cosine by more than {report.cosine_loss:.6f}."
        )
    return sentences
