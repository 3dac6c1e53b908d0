"""Texts that are inserted into prompts during training: instructions, words around a question, field lines, praise.

Field lines are `name: value`, as documents have them before title and text.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from training.gpu import grammar, wordings
from training.gpu.phrases import KINDS

PREFERENCES = ("zh", "en", "code", "prose", "new", "old")
PER_PREFERENCE, FRAMED = 30_000, 1_500  # instructions of each; those of wordings.py among them
PER_NUMBER, PER_SOURCE, PER_KIND, NEUTRALS = 2_500, 700, 2_500, 6_000
QUESTION_EN = [" what is", " who", " when did", " how many", " where is", " which", " why does", " how does", " what",
               " how to", " does", " is it true that", " tell me about", " what are"]  # fmt: skip
QUESTION_ZH = ["什么是", "谁", "何时", "多少", "哪里", "为什么", "如何", "哪个", "请问", "怎么"]
YEARS = (1990, 2027)
FORMATS = 6
DATES_PER_NAME = 320  # per name and format
NUMBERS_PER_NAME = 220
NAMES = ["Smith & Sons", "Acme", "Globex", "Northwind", "Contoso", "华夏", "蓝天", "Orion", "Delta Institute", "Helios",
         "City of Springfield", "星海", "Lab 42", "Kestrel", "Open Data Centre", "远望", "Bluebird", "Tern",
         "松涛"]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`places` maps groups to ranges of `texts`, [start, stop); `values` has the values of dates and numbers."""

    texts: list[str] = field(default_factory=list)
    places: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, texts: list[str]) -> None:
        self.places[name] = [len(self.texts), len(self.texts) + len(texts)]
        self.texts.extend(texts)


def instructed(text: str) -> str:
    return f"<Instruct>: {text}\n<Query>:"


def date_text(year: int, month: int, day: int, form: int) -> str:
    iso = f"{year}-{month:02d}-{day:02d}"
    with_time, of_europe = f"{iso}T{day:02d}:{month:02d}:00Z", f"{day:02d}/{month:02d}/{year}"
    return (iso, iso[:7], f"{year}", f"{year}年{month}月{day}日", with_time, of_europe)[form]


def date_lines(name: str, form: int, rng: random.Random) -> tuple[list[str], list[float]]:
    lines, values = [], []
    for _ in range(DATES_PER_NAME):
        year, month, day = rng.randrange(*YEARS), rng.randint(1, 12), rng.randint(1, 28)
        lines.append(f" {name}: {date_text(year, month, day, form)}")
        values.append(year + ((month - 1) / 12 + day / 366 if form != 2 else 0))
    return lines, values


def number_lines(name: str, rng: random.Random) -> tuple[list[str], list[float]]:
    lines, values = [], []
    for _ in range(NUMBERS_PER_NAME):
        if name in ("rating", "stars", "评分"):
            value = rng.randint(10, 50) / 10
            values.append((value - 1) * 1.5)
        else:
            value = int(10 ** rng.uniform(0, 5))
            values.append(len(str(value)) + value / 10 ** len(str(value)))  # grows like its logarithm
        lines.append(f" {name}: {value}")
    return lines, values


def table(rng: random.Random) -> Table:
    to = Table()
    to.add("document", ["\n<Document>:"])
    to.add("newline", ["\n"])
    to.add("blank", ["\n\n"])
    to.add("marks", ["?", "？"])
    to.add("question:en", QUESTION_EN)
    to.add("question:zh", QUESTION_ZH)
    neutral = [*wordings.NEUTRAL, *(grammar.neutral(rng) for _ in range(NEUTRALS))]
    to.add("neutral", [instructed(text) for text in neutral])
    to.add("default", [instructed(wordings.DEFAULT)])
    add_preferences(to, rng)
    add_fields(to, rng)
    to.add("praise", [f" {text}\n" for text in wordings.PRAISE])
    return to


def add_preferences(to: Table, rng: random.Random) -> None:
    for kind in PREFERENCES:
        framed = wordings.preferring(kind)
        chosen = rng.sample(framed, min(FRAMED, len(framed)))
        chosen += [grammar.preferring(kind, rng) for _ in range(PER_PREFERENCE - len(chosen))]
        to.add(f"prefer:{kind}", [instructed(text) for text in chosen])
    for number, (_, english, chinese, _) in wordings.NUMBERS.items():
        for kind in ("most", "least"):
            chosen = [wordings.of_number(kind, number, rng) for _ in range(PER_NUMBER // 6)]
            chosen += [grammar.preferring(kind, rng, english=english, chinese=chinese) for _ in range(PER_NUMBER)]
            to.add(f"prefer:{kind}:{number}", [instructed(text) for text in chosen])
    for source in [*wordings.SOURCES, *NAMES]:
        names = wordings.SOURCES[source][1:] if source in wordings.SOURCES else ([source], [source])
        chosen = [wordings.of_source(source, rng) for _ in range(PER_SOURCE // 5)]
        chosen += [
            grammar.preferring("source", rng, english=rng.choice(names[0]), chinese=rng.choice(names[1]))
            for _ in range(PER_SOURCE)
        ]
        to.add(f"prefer:source:{source}", [instructed(text) for text in chosen])
        unwanted = [instructed(wordings.of_source(source, rng, against=True)) for _ in range(PER_SOURCE // 8)]
        unwanted += [
            instructed(grammar.avoiding_source(rng, english=rng.choice(names[0]), chinese=rng.choice(names[1])))
            for _ in range(PER_SOURCE // 2)
        ]
        to.add(f"avoid:source:{source}", unwanted)
    for kind in KINDS:
        to.add(f"prefer:kind:{kind}", [instructed(grammar.preferring_kind(kind, rng)) for _ in range(PER_KIND)])


def add_fields(to: Table, rng: random.Random) -> None:
    values: list[float] = []
    for name in dict.fromkeys(wordings.DATE_FIELDS):
        for form in range(FORMATS):
            lines, found = date_lines(name, form, rng)
            to.add(f"date:{name}:{form}", lines)
            values += found
    for number, (names, *_) in wordings.NUMBERS.items():
        for name in names:
            lines, found = number_lines(name, rng)
            to.add(f"number:{number}:{name}", lines)
            values += found
    for name in dict.fromkeys(wordings.SOURCE_FIELDS):
        for source, (said, *_) in wordings.SOURCES.items():
            to.add(f"source:{source}:{name}", [f" {name}: {text}" for text in said])
        for source in NAMES:
            to.add(f"source:{source}:{name}", [f" {name}: {source}"])
    to.places["values"] = values  # type: ignore[assignment]  # of the dates' and numbers' lines, in their order
