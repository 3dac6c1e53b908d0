"""Short entries with a name: countries, recipes, lists of projects, Chinese classics, sayings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from training.sources import questions
from training.sources.markdown import front_matter, plain
from training.sources.sample import LIMIT, Sample, language_of, pieces, worth_keeping

_FACT_FORMS = [
    "What is the {f} of {c}?", "{c} {f}", "{f} in {c}", "tell me about the {f} of {c}", "{c}: {f}",
    "how is the {f} of {c}",
    "I need data on the {f} of {c}", "What do we know about {c}'s {f}?",
]  # fmt: skip
_LIST_FORMS = [
    "{d}", "tool for {d}", "open source {d}", "is there a project that offers {d}", "looking for {d}", "recommend {d}",
    "{s}: {d}",
    "which {s} project does this: {d}",
]  # fmt: skip
_ENTRY = re.compile(r"^\s*[-*] \[([^\]]{2,60})\]\([^)]+\)\s*(?:[-–—:]|by .{2,40}? - )\s*(.{25,400})$")
_POEM_FORMS = [
    "{a}的《{t}》",
    "《{t}》全文",
    "{a} {t}",
    "《{t}》这首诗的内容",
    "“{v}”出自哪首诗？",
    "{v} 下一句是什么",
    "“{v}”是谁写的",
    "写有“{v}”的诗",
]
_CLASSIC_FORMS = [
    "{b}里“{v}”出自哪一章？",
    "“{v}”是什么意思，原文是什么",
    "{b} {c}",
    "{v}",
    "《{b}·{c}》原文",
    "{b}中讲“{v}”的那段",
]


def factbook(mirrors: Path) -> Iterator[Sample]:
    """One field of one country; related short fields are combined under their section."""
    for path in sorted((mirrors / "factbook+factbook.json").glob("*/*.json")):
        data = json.loads(path.read_text(encoding="utf-8", errors="ignore"))
        names = data.get("Government", {}).get("Country name", {})
        country = names.get("conventional short form", {}).get("text", "")
        if not country or country == "none" or len(country) > 40:
            continue
        for section, fields in data.items():
            if isinstance(fields, dict):
                yield from _facts(country, section, fields)


def _flat(value: object) -> str:
    if isinstance(value, dict):
        parts = [(name, _flat(inner)) for name, inner in value.items() if name != "note"]
        return "; ".join(text if name == "text" else f"{name}: {text}" for name, text in parts if text)
    return " ".join(re.sub(r"<[^>]+>", " ", str(value)).split()) if isinstance(value, str) else ""


def _facts(country: str, section: str, fields: dict[str, object]) -> Iterator[Sample]:
    for name, value in fields.items():
        text = _flat(value)
        if not worth_keeping(text, "en"):
            continue
        form = questions.drawn(country + name).choice(_FACT_FORMS)
        yield Sample(
            source="factbook", licence="CC0-1.0, public domain", kind="reference", lang="en",
            question=form.format(f=name.lower() if not name.isupper() else name, c=country),
            title=f"{country}: {section}", passage=f"{name}: {pieces(text, 'en')[0]}",
        )  # fmt: skip


def awesome(mirrors: Path, lists: list[tuple[str, str, str]]) -> Iterator[Sample]:
    """Lists of projects: the description is the query, the entry with its neighbours is the passage."""
    for folder, licence, subject in lists:
        section, entries = "", list[tuple[str, str, str]]()
        for line in (mirrors / folder / "README.md").read_text(encoding="utf-8", errors="ignore").splitlines():
            if line.startswith("#"):
                section = plain(line.lstrip("# "))
            elif found := _ENTRY.match(line):
                entries.append((section, plain(found[1]), plain(found[2]).split(" `")[0].strip()))
        for part, name, said in entries:
            if len(said) < 40:
                continue
            wanted = said.rstrip(".").split(". ")[0]
            form = questions.drawn(name).choice(_LIST_FORMS)
            yield Sample(
                source=f"list-{subject.lower()}", licence=licence, kind="reference", lang="en",
                question=form.format(d=wanted[:1].lower() + wanted[1:], s=subject), title=part,
                passage=f"{name} ({part}): {said}",
            )  # fmt: skip


def _verses(path: Path) -> Iterator[dict[str, object]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    yield from data if isinstance(data, list) else [data]


def poems(mirrors: Path) -> Iterator[Sample]:
    """Tang and Song verse with titles, and a verse as the question for its poem."""
    folder = mirrors / "chinese-poetry+chinese-poetry"
    chosen = [*sorted((folder / "全唐诗").glob("poet.tang.*.json"))[::9],
    *sorted((folder / "宋词").glob("ci.song.*.json"))[::4],
              folder / "楚辞/chuci.json", folder / "诗经/shijing.json", folder / "曹操诗集/caocao.json"]  # fmt: skip
    for path in chosen:
        for poem in _verses(path):
            lines = poem.get("paragraphs") or poem.get("content") or []
            title, author = str(poem.get("title") or poem.get("rhythmic") or ""), str(poem.get("author") or "佚名")
            if (
                not isinstance(lines, list)
                or not title
                or not 40 <= sum(map(len, lines)) <= 900
                or "□" in "".join(lines)
            ):
                continue
            rng = questions.drawn(title + author + lines[0])
            verse = rng.choice(lines).rstrip("。？！")
            form = rng.choice(_POEM_FORMS)
            if len(verse) < 40:
                yield Sample(
                    source="poems", licence="texts in the public domain; collection MIT", kind="book", lang="zh",
                    question=form.format(a=author, t=title, v=verse.split("，")[0]), title=f"{title} {author}",
                    passage="\n".join(lines),
                )  # fmt: skip


def classics(mirrors: Path) -> Iterator[Sample]:
    folder = mirrors / "chinese-poetry+chinese-poetry"
    for book, name in (("论语", "论语/lunyu.json"), ("孟子", "四书五经/mengzi.json"), ("大学", "四书五经/daxue.json"),
                       ("中庸", "四书五经/zhongyong.json")):  # fmt: skip
        for chapter in _verses(folder / name):
            paragraphs = chapter["paragraphs"]
            for text in paragraphs if isinstance(paragraphs, list) else []:
                if len(text) < 30:
                    continue
                rng = questions.drawn(text)
                said = rng.choice(
                    [part for part in re.split(r"[。！？；：「」“”]", text) if len(part) > 4] or [text[:12]]
                )
                yield Sample(
                    source="classics", licence="texts in the public domain; collection MIT", kind="book", lang="zh",
                    question=rng.choice(_CLASSIC_FORMS).format(b=book, c=chapter["chapter"], v=said[:24]),
                    title=f"{book} {chapter['chapter']}", passage=text[:900],
                )  # fmt: skip


_RECIPE_FORMS = {
    "en": [
        "how to make {t}",
        "{t} recipe",
        "How do I cook {t}?",
        "ingredients for {t}",
        "{t}",
        "what do I need for {t}",
        "easy {t}",
    ],
    "zh": ["怎么做{t}", "{t}的做法", "{t}需要什么材料", "{t}怎么做才好吃？", "{t}", "想学做{t}", "在家做{t}要几步"],
}


def recipes(mirrors: Path) -> Iterator[Sample]:
    for folder, source in (("ronaldl29+public-domain-recipes/content", "recipes"),
                           ("LukeSmithxyz+based.cooking/content", "recipes"),
                           ("Anduin2017+HowToCook/dishes", "recipes-zh")):  # fmt: skip
        for path in sorted((mirrors / folder).rglob("*.md")):
            fields, body = front_matter(path.read_text(encoding="utf-8", errors="ignore"))
            body = plain(body)
            title = fields.get("title", "") or body.splitlines()[0].lstrip("# ")
            name = title.removesuffix("的做法").strip()
            lang = language_of(name)
            text = re.sub(r"^#+ *", "", body, flags=re.MULTILINE).removeprefix(title).strip()
            if len(text) < 150 or not 2 <= len(name) <= 60:
                continue
            rng = questions.drawn(name)
            for form in rng.sample(_RECIPE_FORMS[lang], 2):
                yield Sample(
                    source=source, licence="Unlicense (public domain)", kind="howto", lang=lang,
                    question=form.format(t=name if lang == "zh" else name.lower()), title=title,
                    passage=text[: LIMIT[lang]],
                    date=fields.get("date", "")[:10] or None,
                )  # fmt: skip
