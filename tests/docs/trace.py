"""Which files does a query enter, and which does a document, in order? Found by running both with the bundled models.

    python -m tests.docs.trace             prints the table that ARCHITECTURE.md holds, and the numbers of files
    python -m tests.docs.trace --write     writes that table into ARCHITECTURE.md

A file is entered where a function of it is called; what runs when a module is imported does not count. Rule: the first
search and the first document warm everything up and are not traced, so that opening a collection or loading a model
does not look like a part of every life. A query's files are those that each of several searches enters: what else a
service does at some moment, such as opening another connection to the catalog, is not a part of it either.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Self

from starlette.testclient import TestClient

from winnow.api.assemble import assemble
from winnow.api.cli.main import app as command_line
from winnow.api.http.app import create_app
from winnow.api.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("api", "indexer", "rerank", "retrieval")
PAGE: Final = ROOT / "ARCHITECTURE.md"
BEGIN: Final = "<!-- begin: python -m tests.docs.trace --write -->\n"
END: Final = "<!-- end -->\n"
SEARCH: Final = {"collection": "docs", "rerank": "always", "instruction": "Prefer documents written in English"}
QUERIES: Final = (
    "how long does a refund take",
    "what do herons eat",
    "who repairs a bicycle",
    "late parcels",
    "opening hours",
)
TEXTS: Final = ("# Herons\n\nThe heron waits in shallow water.\n", "# Refunds\n\nA refund takes five working days.\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """The files, from the project's root, in the order in which they were first entered."""

    query: tuple[str, ...]
    document: tuple[str, ...]


def traced_lives() -> Lives:
    """Index a folder twice and search it several times; all but the first of each are traced."""
    with tempfile.TemporaryDirectory() as folder, Recorder().installed() as recorder:
        data, corpus = Path(folder) / "data", Path(folder) / "corpus"
        _index(data, _written(corpus, TEXTS[0]))
        with recorder.recording() as document:
            _index(data, _written(corpus, TEXTS[1]))
        parts = assemble(Settings(data=data))
        with TestClient(create_app(parts), base_url="http://localhost") as client:
            _search(client, "where does a heron wait")
            searches = []
            for query in QUERIES:
                with recorder.recording() as entered:
                    _search(client, query)
                searches.append(entered)
    query_files = tuple(path for path in searches[-1] if all(path in entered for entered in searches))
    return Lives(query=query_files, document=tuple(document))


class Recorder:
    """Notes the project's files whose functions are called, in this thread and in those that start later."""

    def __init__(self) -> None:
        self._files: dict[str, None] | None = None  # None: what is called now is not noted
        self._known: dict[str, str | None] = {}  # what a code object's file name means; None: none of ours

    @contextmanager
    def installed(self) -> Iterator[Self]:
        """From here on threads are watched: one that runs already cannot be."""
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            yield self
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # typeshed has not noticed that None is allowed

    @contextmanager
    def recording(self) -> Iterator[dict[str, None]]:
        """The files that are entered meanwhile, in order."""
        files: dict[str, None] = {}
        self._files = files
        try:
            yield files
        finally:
            self._files = None

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if self._files is None or event != "call" or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            return  # what is not optimised is the body of a module or of a class
        named = frame.f_code.co_filename
        if named not in self._known:
            self._known[named] = _in_project(named)
        path = self._known[named]
        if path is not None:
            self._files.setdefault(path)


def _in_project(named: str) -> str | None:
    path = Path(named).resolve()
    if not path.is_relative_to(ROOT):
        return None
    relative = path.relative_to(ROOT)
    return str(relative) if relative.parts[0] in FOLDERS else None


def _written(corpus: Path, text: str) -> Path:
    corpus.mkdir(exist_ok=True)
    (corpus / f"{len(list(corpus.iterdir()))}.md").write_text(text, encoding="utf-8")
    return corpus


def _index(data: Path, corpus: Path) -> None:
    command_line(["index", str(corpus), "--collection", "docs", "--data", str(data)], standalone_mode=False)


def _search(client: TestClient, query: str) -> None:
    answered = client.post("/v1/search", json={**SEARCH, "query": query})
    assert answered.status_code == 200, answered.text
    assert answered.json()["judged_by"] != "recall-order", "the life of a query without a reranker is half a life."


def section_of(lives: Lives) -> str:
    """What ARCHITECTURE.md holds between the two marks."""
    total = sum(len(list((ROOT / folder).rglob("*.py"))) for folder in FOLDERS)
    return (
        f"{BEGIN}\n"
        f"A query (`POST /v1/search`, reranked under an instruction) enters {len(lives.query)} of {total} files:\n\n"
        f"{_table(lives.query)}\n"
        f"A document (`winnow index` of a folder with one new file) enters {len(lives.document)}:\n\n"
        f"{_table(lives.document)}\n"
        f"{END}"
    )


def committed_section() -> str:
    """What it holds now."""
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def files_in(section: str) -> list[str]:
    """The paths that the rows of its tables name."""
    rows = re.findall(r"^\| `([\w/]+/)` \| (.+) \|$", section, re.MULTILINE)
    return [f"{folder}{name}.py" for folder, names in rows for name in names.split(", ")]


def _table(files: tuple[str, ...]) -> str:
    folders = dict.fromkeys(str(Path(path).parent) for path in files)
    rows = ((folder, [Path(path).stem for path in files if str(Path(path).parent) == folder]) for folder in folders)
    lines = "".join(f"| `{folder}/` | {', '.join(names)} |\n" for folder, names in rows)
    return f"| folder, by first entry | files, by first entry |\n| --- | --- |\n{lines}"


def main() -> int:
    if sys.argv[1:] not in ([], ["--write"]):
        sys.stderr.write("usage: python -m tests.docs.trace [--write]\n")
        return 2
    with contextlib.redirect_stdout(sys.stderr):  # what `winnow index` reports is no part of the table
        section = section_of(traced_lives())
    if sys.argv[1:]:
        PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(committed_section(), section), encoding="utf-8")
    sys.stdout.write(section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
