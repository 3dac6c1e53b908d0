"""The page of formats, from `indexer/readers/formats.py` and the limits of the process that parses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from docs.generate.markdown import code, table
from winnow.indexer.readers.formats import DOCUMENTS_EXTRA, FORMATS
from winnow.indexer.readers.untrusted.archives import (
    DEPTH_MAX,
    MEMBER_BYTES_MAX,
    MEMBERS_MAX,
    RATIO_FREE_BYTES,
    RATIO_MAX,
    UNPACKED_BYTES_MAX,
)
from winnow.indexer.sandbox.limits import MEMORY_DEFAULT, SECONDS_DEFAULT

HEAD: Final = f"""# Formats

`winnow index` reads files of these formats, in a folder or alone. The content of a file decides its format, then the ending of its name: an HTML page that is named `report.pdf` is read as HTML. Formats with libraries in the last column need the extra `documents`: `{DOCUMENTS_EXTRA}`.

"""
TAIL: Final = f"""
Files of records (JSON Lines, JSON, CSV, TSV, Parquet) are corpora of their own: index them [one by one](../how-to/index-a-corpus.md).

## Ids

A file is one document, whose id is its path within the folder, or several: a mail of a mailbox has the id `path#KEY`, a member of an archive the id `archive.zip/path/in/it`.

## What a result can cite

| Format | Section | Location | Left out |
| --- | --- | --- | --- |
| Word | headings, by style or outline level in any language | none: the file does not contain page numbers | headers, footers, comments, tracked deletions, hidden text, numbers of lists and headings, table of contents |
| PowerPoint | title of the slide, below the section of PowerPoint | slide | footers, dates, slide numbers, comments |
| Excel | name of the sheet | sheet, rows | formulas, comments, charts, text boxes |
| EPUB | table of contents, then the headings of the chapter | file within the book and nearest id | the table of contents |
| Jupyter notebook | headings of Markdown cells | cell, counted from 1 | images and other encoded data; of a cell's output what exceeds 2,000 characters |
| reStructuredText | headings | lines | lines that draw headings and tables; nothing is included from other files |
| XML | `<title>`, `<head>` or `<name>` of the elements around, else their names | path of the element: `rss.channel.item[2]` | comments; entities stay as `&name;` |
| Source code | classes, modules and namespaces around | lines, dotted name of the function or class | nothing; generated and minified files and lock files are rejects |

Source code in Python, JavaScript, TypeScript, Java, Go, Rust, C, C++, C#, Ruby, PHP and Bash has one part for each function or method, with the comments and decorators above it; a class of up to 24 lines stays whole, and functions of up to 3 lines are joined with their neighbours. Other languages are read as lines. Files with syntax errors are read, too.

Tables are rows below their header. Of a merged cell, the columns after the first are empty; in Word and PowerPoint each row that it spans has its text. Hidden slides, sheets, rows and columns are read; a hidden slide says so. Notes of a slide follow its text, footnotes the section that refers to them. Excel cells are their stored values: dates in ISO 8601, percentages, numbers without digits of binary rounding. A formula without a stored value is a reject, and so are slides that have pictures but no text. A workbook with more text than a document may have becomes one document for each sheet (`path#SHEET`, `path#SHEET/2`).

winnow reads Office files and books itself. markitdown 0.1.9 in its place finds the same 40 facts in `tests/formats` (Word, PowerPoint, Excel), but knows no heading whose style has a Chinese or German name (0 of 40 sections; winnow 40), no row numbers of a sheet (0 of 40; winnow 40), loses text boxes, and shows hidden text of Word files.

## Files that cannot be trusted

Plain text and Markdown are read by the indexer itself. Every other file is parsed by a process of its own, which starts with an empty environment and no open files. On Linux it cannot open a socket, start a program, signal another process, or write outside its folder of temporary files; it ends with its parent. On macOS this holds for Python code only, and memory is not limited. Macros are never run, external entities are never resolved, and nothing is fetched.

A file that breaks a limit becomes a reject with its reason; a fresh process continues with the next file. A member that breaks it costs an archive only that member.

| limit | value |
| --- | --- |
| CPU time per document | {SECONDS_DEFAULT} s; `--parse-seconds` |
| memory | {MEMORY_DEFAULT} MB; `--parse-memory` |
| bytes that a file unpacks to, with all archives in it | {RATIO_MAX} times its size and at most {UNPACKED_BYTES_MAX:,}; {RATIO_FREE_BYTES:,} are always allowed |
| bytes of one member | {MEMBER_BYTES_MAX:,} |
| members of a file, with all archives in it | {MEMBERS_MAX:,} |
| archives within archives | {DEPTH_MAX} |

Encrypted members, links, devices, and names that lead out of the archive are refused.
"""


def page() -> str:
    """All formats, in the order of the registry."""
    head = ("Format", "Endings", "Media type", "Largest file (bytes)", "Libraries")
    return HEAD + table(head, _rows()) + TAIL


def _rows() -> Iterator[tuple[str, ...]]:
    for each in FORMATS:
        yield each.title, _codes(each.endings), code(each.media_type), f"{each.bytes_max:,}", _codes(each.needs)


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(code(name) for name in names)
