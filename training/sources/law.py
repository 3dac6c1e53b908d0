"""Chinese statutes and cases: articles, and laymen's questions that their wording answers.

An article says what a person must, may or must not do, when something applies and what it costs; each of these becomes
a question that does not name the law.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.sources import questions
from training.sources.markdown import sections
from training.sources.sample import Sample

FOLDER = "LawRefBook+Laws"
_ARTICLE = re.compile(
    r"^(第[一二三四五六七八九十百千零〇\d]+条(?:之[一二三四五六七八九十]+)?)[\s　]+(?:【(.+?)】)?", re.MULTILINE
)
_PUNISHED = re.compile(
    r"(?:^|。|\n)([^。；\n，]{2,14}，)?([^。；\n]{6,48}?)的，(?:由[^。，；]{2,30})?[^。；]{0,20}?(处|责令|依照|没收|吊销|给予)"
)
_MUST = re.compile(r"(?:^|。|\n|，)([^。，；\n：的]{2,14}?)(应当|必须|不得|有权|可以)([^。；，\n：（]{4,30})")
_CASES = re.compile(r"有下列(?:情形|情况|行为)之一的?，([^。；\n]{4,30}?)[：；。]")
_DEFINED = re.compile(r"本(?:法|条例|规定|办法|解释)所称(?:的)?([^，。是指为]{2,14})[，]?(?:是指|，是|指|包括)")
_PUNISHED_FORMS = [
    "{x}会怎么处罚", "{x}怎么办？会被罚吗", "{x}犯法吗", "如果{x}，要承担什么责任？", "{x}罚多少钱",
    "{x}要负什么法律责任",
    "有人{x}，该怎么处理", "{x}违法吗？会有什么后果", "遇到{x}的情况，法律上怎么规定",
]  # fmt: skip
_PRISON_FORMS = [
    "{x}会判几年",
    "{x}要坐牢吗",
    "{x}怎么判刑",
    "{x}构成犯罪吗",
    "{x}一般判多久？",
    "我朋友{x}，会被判刑吗",
]
_FORMS = {
    "应当": ["{s}必须{x}吗", "{s}要不要{x}？", "{s}需要{x}吗", "{s}不{x}行不行", "法律规定{s}要{x}吗"],
    "必须": ["{s}一定要{x}吗", "{s}不{x}会怎样", "{s}是不是必须{x}？"],
    "不得": ["{s}可以{x}吗", "{s}能不能{x}？", "{s}{x}合法吗", "{s}{x}，这样对吗", "{s}有没有权利{x}"],
    "有权": ["{s}有权{x}吗", "{s}能不能{x}？", "{s}可不可以要求{x}", "{s}凭什么{x}"],
    "可以": ["{s}可以{x}吗", "{s}能{x}吗？", "{s}怎样才能{x}", "什么情况下{s}可以{x}"],
}
_CASES_FORMS = ["哪些情况下{x}", "什么情形{x}？", "什么时候{x}", "在什么条件下{x}？"]
_DEFINED_FORMS = ["什么是{x}", "{x}是什么意思", "法律上{x}怎么定义？", "{x}包括哪些", "{x}指的是什么"]
_NAMED_FORMS = ["{n}{l}规定", "{n}在{l}里怎么规定的", "{l} {n}", "{n}是怎么规定的？", "关于{n}有什么法律规定"]
_VAGUE = re.compile(r"下列|前款|第.{1,9}[条款]|^处|^由|责令|^情节|^造成|^对")
_EMPTY_SUBJECTS = re.compile(
    r"^([(（\d一二三四五六七八九十]|本法|前款|第|国家|并|也|还|但|其|有关|国务院|各级|县级|省|人民政府|下列|因|对|在|按照|依照|根据|经|由|为)"
)


def _articles(text: str) -> Iterator[tuple[str, str, str]]:
    """(number, name if it has one, text) of each article."""
    starts = [*_ARTICLE.finditer(text)]
    for found, following in zip(starts, [*starts[1:], None][: len(starts)], strict=True):
        body = text[found.end() : following.start() if following else len(text)]
        yield found[1], found[2] or "", re.sub(r"^#+ .*$", "", body, flags=re.MULTILINE).strip()


def article_questions(text: str, key: str) -> list[str]:
    """Up to three questions, of different kinds."""
    rng = questions.drawn(key)
    asked: list[str] = []
    if (found := _PUNISHED.search(text)) and not _VAGUE.search(found[2]):
        done = re.sub(r"^(违反|依照)[^，]*，", "", (found[1] or "") + found[2])
        prison = re.search(r"有期徒刑|拘役|死刑", text)
        asked.append(rng.choice(_PRISON_FORMS if prison else _PUNISHED_FORMS).format(x=done))
    if found := _DEFINED.search(text):
        asked.append(rng.choice(_DEFINED_FORMS).format(x=found[1]))
    if (found := _CASES.search(text)) and not _VAGUE.search(found[1]):
        asked.append(rng.choice(_CASES_FORMS).format(x=found[1]))
    for found in _MUST.finditer(text):
        if not _EMPTY_SUBJECTS.match(found[1]):
            asked.append(rng.choice(_FORMS[found[2]]).format(s=found[1], x=found[3].rstrip("的")))
            break
    return asked[:3]


def _law_samples(path: Path) -> Iterator[Sample]:
    name, _, day = path.stem.partition("(")
    date = day.rstrip(")") if re.fullmatch(r"\d{4}-\d\d-\d\d\)", day) else None
    text = path.read_text(encoding="utf-8", errors="ignore")
    head = re.match(r"# (.+)", text)
    law = head[1].strip().removeprefix("中华人民共和国") if head else name
    for number, named, body in _articles(text):
        passage = body[:900].strip()
        if len(passage) < 30:
            continue
        asked: list[str | None] = [*article_questions(body, f"{name}{number}")]
        if named:
            asked.append(questions.drawn(named + name).choice(_NAMED_FORMS).format(n=named, l=law))
        if not asked and questions.drawn(body).randrange(4) == 0:
            asked = [None]
        for question in asked:
            yield Sample(
                source="statutes", licence="statutes, not protected", kind="law", lang="zh", question=question,
                title=f"{law} {number}", passage=passage, date=date,
            )  # fmt: skip


def statutes(mirrors: Path) -> Iterator[Sample]:
    """National laws, regulations and interpretations; one in eight regional ones. The newest text of each."""
    newest: dict[str, Path] = {}
    for path in sorted((mirrors / FOLDER).rglob("*.md")):
        if path.name.startswith("_") or "案例" in path.parts or "scripts" in path.parts:
            continue
        name = path.stem.partition("(")[0]
        if "DLC" in path.parts and questions.drawn(name).randrange(8):
            continue
        newest[name] = path  # sorted: a later date comes later
    for path in newest.values():
        yield from _law_samples(path)


def cases(mirrors: Path) -> Iterator[Sample]:
    """Model cases: the title is the query for the decision; the facts are the query for the reasoning."""
    for path in sorted((mirrors / FOLDER / "案例").rglob("*.md")):
        parts = [section for section in sections(path) if len(section.text) > 60]
        facts = [section.text for section in parts if re.search("案情|基本", section.heading)]
        for section in parts:
            asked = [section.page]
            if facts and not re.search("案情|基本", section.heading):
                asked.append(f"{facts[0][:220]}这种情况怎么处理？")
            for question in asked:
                yield Sample(
                    source="model-cases", licence="published decisions, not protected", kind="law", lang="zh",
                    question=question, title=section.page, passage=section.text[:900],
                )  # fmt: skip
