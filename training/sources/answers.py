"""Questions with answers, abstracts with titles, notes with dialogues: one function per source."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

from training.sources import questions
from training.sources.markdown import front_matter, plain
from training.sources.sample import Sample, language_of, pieces, worth_keeping

_PAPER_FORMS = [
    "{t}", "paper on {t}", "{t} research", "studies about {t}", "{t} abstract", "what is known about {t}",
    "recent work on {t}", "find the paper: {t}", "Has anyone investigated {t}?", "literature on {t}",
]  # fmt: skip
_AIM = re.compile(
    r"\b(?:we (?:propose|present|introduce|show|study|investigate|develop|find|demonstrate)"
    r"|this (?:paper|work|study))\b"
    r"[^.]{40,220}\.",
    re.IGNORECASE,
)
_NOTE_PARTS = re.compile(r"^([A-Z][A-Z &/,]{4,50})\s*$", re.MULTILINE)
_COVID = "deepset-ai+COVID-QA/data"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="ignore")


def arxiv(folders: list[Path], one_in: int) -> Iterator[Sample]:
    """Abstracts of one paper in `one_in`; the query is the title, a topic form of it, or a sentence of the abstract."""
    seen: set[str] = set()
    for folder in folders:
        for path in sorted(folder.glob("data/*.jsonl")):
            if "enhanced" in path.name:
                continue
            for row in map(json.loads, filter(None, _read(path).splitlines())):
                rng = questions.drawn(row["id"])
                if row["id"] in seen or rng.randrange(one_in):
                    continue
                seen.add(row["id"])
                yield from _paper(row["title"], row["summary"], path.stem, rng.choice(_PAPER_FORMS))


def _paper(title: str, summary: str, date: str, form: str) -> Iterator[Sample]:
    abstract, title = " ".join(summary.split()), " ".join(title.split())
    if not worth_keeping(abstract, "en"):
        return

    def sample(question: str, passage: str, shown: str) -> Sample:
        return Sample(
            source="arxiv", licence="CC0-1.0 (metadata)", kind="paper", lang="en",
            question=question, title=shown, passage=passage[:2_000], date=date[:10],
        )  # fmt: skip

    topic = title.split(": ")[-1] if len(title.split(": ")[-1]) > 20 else title
    yield sample(form.format(t=topic[:1].lower() + topic[1:] if topic[1:2].islower() else topic), abstract, "")
    if found := _AIM.search(abstract):
        rest = abstract.replace(found[0], "", 1)
        if len(rest) > 400:
            wanted = (
                re.sub(r"^(we|this \w+) \w+ (that )?", "", found[0], flags=re.IGNORECASE) if len(rest) % 3 else found[0]
            )
            yield sample(wanted, rest, title)


def scitldr(mirrors: Path) -> Iterator[Sample]:
    for path in sorted((mirrors / "allenai+scitldr/SciTLDR-Data/SciTLDR-A").glob("*.jsonl")):
        for row in map(json.loads, _read(path).splitlines()):
            for target in row["target"][:2]:
                yield Sample(
                    source="dev-scitldr", licence="Apache-2.0", kind="paper", lang="en", question=target.strip(),
                    passage=" ".join(row["source"])[:2_000],
                )  # fmt: skip


def covid_faq(mirrors: Path) -> Iterator[Sample]:
    with (mirrors / _COVID / "faqs/faq_covidbert.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            yield Sample(
                source="dev-covid-faq", licence="Apache-2.0", kind="clinical", lang="en",
                question=row["question"].strip(),
                passage=row["answer"].strip()[:2_000], date=row["last_update"].replace("/", "-") or None,
            )  # fmt: skip


def covid_papers(mirrors: Path) -> Iterator[Sample]:
    """Annotators' questions on papers; the passage is a window of the paper around the answer."""
    for row in json.loads(_read(mirrors / _COVID / "question-answering/200423_covidQA.json"))["data"]:
        for paragraph in row["paragraphs"]:
            text = paragraph["context"]
            for asked in paragraph["qas"]:
                at = asked["answers"][0]["answer_start"] if asked["answers"] else -1
                if at < 0:
                    continue
                start = max(text.rfind("\n", 0, max(0, at - 300)), text.rfind(". ", 0, max(0, at - 300)) + 1, 0)
                yield Sample(
                    source="dev-covid-papers", licence="Apache-2.0", kind="clinical", lang="en",
                    question=asked["question"].strip(), passage=text[start : start + 1_300].strip(),
                )  # fmt: skip


def clinical_notes(mirrors: Path) -> Iterator[Sample]:
    """A dialogue between doctor and patient is the query for the part of the note that was written from it."""
    sheets = sorted((mirrors / "abachaa+MTS-Dialog/Main-Dataset").glob("*.csv"))
    for path in sheets:
        with path.open(encoding="utf-8", errors="ignore", newline="") as rows:
            for row in csv.DictReader(rows):
                note, said = row.get("section_text", "").strip(), row.get("dialogue", "").strip()
                if len(note) < 60 or not said:
                    continue
                lines = [line.partition(":")[2].strip() for line in said.splitlines() if line.startswith("Patient")]
                told = max(lines, key=len, default="")
                for question in [said[:600], told if len(told) > 40 else None]:
                    if question:
                        yield Sample(
                            source="mts-dialog", licence="CC BY 4.0", kind="clinical", lang="en", question=question,
                            passage=note[:2_000],
                        )  # fmt: skip
    for path in sorted((mirrors / "wyim+aci-bench/data/challenge_data").glob("*.csv")):
        if "metadata" in path.name:
            continue
        with path.open(encoding="utf-8", errors="ignore", newline="") as rows:
            for row in csv.DictReader(rows):
                yield from _note_parts(row.get("note", ""))


def _note_parts(note: str) -> Iterator[Sample]:
    complaint = " ".join(note.split("\n\n")[1:2]).strip()
    parts = _NOTE_PARTS.split(note)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        if worth_keeping(text.strip(), "en") and complaint:
            yield Sample(
                source="aci-bench", licence="CC BY 4.0", kind="clinical", lang="en", title=heading.capitalize(),
                question=f"{heading.lower()} of the patient with {complaint[:120].lower().rstrip('.')}",
                passage=text.strip()[:2_000],
            )  # fmt: skip


def legal_advice(mirrors: Path, *, heldout: bool) -> Iterator[Sample]:
    """Laymen's questions in Chinese with a written answer, and with the article that the answer names."""
    folder = mirrors / "AndrewZhe+lawyer-llama/data"
    names = ["zixun_gpt4"] if heldout else ["legal_counsel_with_article_v2", "legal_counsel_multi_turn_with_article_v2"]
    if not heldout:
        for turns in json.loads(_read(folder / "legal_advice.json")):
            yield _advice(turns[0]["instruction"], turns[0]["output"])
        for row in json.loads(_read(folder / "fakao_gpt4.json")):
            yield _advice(row["input"], row["output"])
    for name in names:
        for row in json.loads(_read(folder / f"{name}.json")):
            answer = row.get("response") or row["history"][1].removeprefix("[律师] ")
            yield _advice(row["query"], answer, heldout=heldout)
            for article in row["laws"]:
                number, _, text = article.partition("：")
                if number in answer and len(text) > 30:
                    title = number.replace("《", "").replace("》", " ")
                    yield _advice(row["query"], text, title=title, heldout=heldout)


def _advice(question: str, passage: str, *, title: str = "", heldout: bool = False) -> Sample:
    return Sample(
        source="dev-legal-advice" if heldout else "lawyer-llama", licence="Apache-2.0", kind="law", lang="zh",
        question=question.strip().removeprefix("Question: "), passage=passage[:900].strip(), title=title,
    )  # fmt: skip


def interviews(mirrors: Path) -> Iterator[Sample]:
    for folder, source in (
        ("sudheerj+reactjs-interview-questions", "react-interview"), ("sudheerj+javascript-interview-questions",
        "javascript-interview"),
    ):  # fmt: skip
        text = _read(mirrors / folder / "README.md")
        parts = re.split(r"^ *\d+\. ### (.+)$", text, flags=re.MULTILINE)
        for asked, answer in zip(parts[1::2], parts[2::2], strict=True):
            passage = plain(re.sub(r"^ {3,4}", "", answer.split("**[⬆")[0], flags=re.MULTILINE))
            if worth_keeping(passage, "en"):
                yield Sample(
                    source=source, licence="MIT", kind="qa", lang="en", question=asked.strip(), passage=pieces(passage,
                    "en")[0],
                )  # fmt: skip


def course_questions(mirrors: Path, folders: list[str]) -> Iterator[Sample]:
    """Lessons of The Carpentries: the questions that an episode answers, and its text."""
    for folder in folders:
        for path in sorted((mirrors / folder / "episodes").glob("*.[mR]*d")):
            fields, body = front_matter(_read(path))
            found = re.search(r":::+ *questions\s*\n(.*?)\n:::+", body, re.DOTALL)
            asked = re.findall(r"^\s*[-*] (.+)$", found[1], re.MULTILINE) if found else []
            passages = [piece for piece in pieces(plain(re.sub(r":::+.*?\n:::+", "", body, count=3, flags=re.DOTALL)),
            "en")
                        if worth_keeping(piece, "en")]  # fmt: skip
            for number, question in enumerate(asked):
                words = set(re.findall(r"[a-z]{4,}", question.lower()))
                best = max(
                    passages, key=lambda text: len(words & set(re.findall(r"[a-z]{4,}", text.lower()))), default=""
                )
                if best and number < 4:
                    yield Sample(
                        source="carpentries", licence="CC BY 4.0", kind="qa", lang=language_of(best),
                        question=plain(question),
                        title=fields.get("title", ""), passage=best,
                    )  # fmt: skip
