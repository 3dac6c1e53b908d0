"""Stack Exchange: a published dump of a small site (Posts.xml), questions with their best answers."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from training.sources import questions
from training.sources.sample import Sample, pieces, worth_keeping

LICENCE = "CC BY-SA 3.0 or 4.0, by date"
# folder, site, held out
SITES = [
    ("Yoav-Shafir+Elasticsearch-Coffee-Search-Engine-JS", "coffee", False),
    ("Jean-Low+StackERedes", "quantumcomputing", False),
    ("jrfoster+spark-intro", "matheducators", False),
    ("sasiddiqui+confucius", "ai", False),
    ("yu51a5+BigQueryApachePipeline", "genai", False),
    ("pan4+big-data", "stackoverflow", False),
    ("GonzaloHirsch+TP-XML", "astronomy-meta", False),
    ("woodstock-dev+code-challenge-10-18-2023", "site-meta", False),
    ("kevswanberg+beer_tentrr", "alcohol", True),
]
_BREAK = re.compile(r"</(p|li|pre|h\d|blockquote)>|<br\s*/?>")
_TAG = re.compile(r"<[^>]+>")
LONG_IN = 2  # one question in so many is also used at length, as its author wrote it


def _text(markup: str) -> str:
    lines = html.unescape(_TAG.sub("", _BREAK.sub("\n", markup))).splitlines()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def site(mirrors: Path, folder: str, name: str, *, heldout: bool) -> Iterator[Sample]:
    rows = [row.attrib for row in ET.parse(mirrors / folder / "Posts.xml").getroot()]  # noqa: S314 (a published dump)
    best: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.get("PostTypeId") == "2" and int(row.get("Score", 0)) >= 0:
            known = best.get(row["ParentId"])
            if known is None or int(row["Score"]) > int(known["Score"]):
                best[row["ParentId"]] = row
    for row in rows:
        answer = best.get(row["Id"])
        if row.get("PostTypeId") != "1" or answer is None:
            continue
        parts = [part for part in pieces(_text(answer["Body"]), "en") if worth_keeping(part, "en")]
        asked = [row["Title"]]
        body = " ".join(_text(row["Body"]).split())
        if len(body) > 80 and questions.drawn(row["Title"]).randrange(LONG_IN) == 0:
            asked.append(f"{row['Title']} {body[:500]}" if len(body) % 2 else body[:600])
        for question in asked if parts else []:
            yield Sample(
                source=f"{'dev-' if heldout else ''}stackexchange-{name}",
                licence=LICENCE,
                kind="forum",
                lang="en",
                question=question,
                passage=parts[0],
                date=row["CreationDate"][:10],
            )
