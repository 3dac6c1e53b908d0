"""What instructions are about: noun phrases and sentences of each preference, in English and Chinese.

The words are in instruction_words.json; `training.gpu.grammar` composes instructions of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS: dict[str, Any] = json.loads(Path(__file__).with_name("instruction_words.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a preference. In its phrases `{d}` is a word for documents, `{n}` the name of a number or source."""

    english: list[str]
    chinese: list[str]
    condition_en: list[str] = field(default_factory=list)  # what follows "if a result"
    condition_zh: list[str] = field(default_factory=list)
    whole_en: list[str] = field(default_factory=list)  # sentences that say it another way
    whole_zh: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of document: the sources that consist of it (beginnings of their names), and what people call it."""

    sources: list[str]
    english: list[str]
    chinese: list[str]

    @property
    def side(self) -> Side:
        english, chinese = self.english, self.chinese
        return Side(
            english=[*english, *(f"{{d}} that are {said}" for said in english[:4])],
            chinese=[*chinese, *(f"{said}类{{d}}" for said in chinese[:3])],
            condition_en=[f"{verb} {said}" for said in english[:5] for verb in ("is from", "belongs to")],
            condition_zh=[f"是{said}" for said in chinese],
            whole_en=[f"{label}: {said}" for said in english[:4] for label in ("Kind of document", "Type")],
            whole_zh=[f"文档类型：{said}" for said in chinese[:3]],
        )


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _language(name: str, other: str, zh: str, other_zh: str, places: list[str]) -> Side:
    words = WORDS["language"]
    people = [
        capital(sentence.format(who=who, name=name, other=other))
        for who in words["people"]
        for sentence in words["people_sentences"]
    ]
    people_zh = [
        sentence.format(who=who, zh=zh, other=other_zh)
        for who in words["people_zh"]
        for sentence in words["people_sentences_zh"]
    ]
    named = {"name": name, "other": other, "zh": zh, "other_zh": other_zh, "d": "{d}"}
    side = {part: [text.format(**named) for text in words[part]] for part in words["side"]}
    return Side(
        english=side["english"],
        chinese=side["chinese"],
        condition_en=side["condition_en"],
        condition_zh=side["condition_zh"],
        whole_en=[*people, *side["whole_en"], *(text.format(place) for place in places for text in words["places"])],
        whole_zh=[*people_zh, *side["whole_zh"]],
    )


DOCUMENTS_EN: list[str] = WORDS["documents_en"]
DOCUMENTS_ZH: list[str] = WORDS["documents_zh"]
SIDES = {name: Side(**side) for name, side in WORDS["sides"].items()}
OTHERS = SIDES["others"]
KINDS = {name: Kind(**kind) for name, kind in WORDS["kinds"].items()}
_CHINESE = _language("Chinese", "English", "中文", "英文", ["Beijing", "Shanghai", "Shenzhen", "Taipei", "Chengdu"])
_MANDARIN = _language("Mandarin", "English", "汉语", "英语", ["Hangzhou", "Wuhan", "mainland China"])
_ENGLISH = _language("English", "Chinese", "英文", "中文", ["London", "Chicago", "Dublin", "Sydney", "Toronto"])
_ENGLISH_TOO = _language("English", "Mandarin", "英语", "汉语", ["Boston", "New Zealand", "Manchester"])
PREFERENCES: dict[str, list[tuple[Side, Side]]] = {  # what is wanted, and its opposite
    "zh": [(_CHINESE, _ENGLISH), (_CHINESE, _ENGLISH), (_MANDARIN, _ENGLISH_TOO)],
    "en": [(_ENGLISH, _CHINESE), (_ENGLISH, _CHINESE), (_ENGLISH_TOO, _MANDARIN)],
    **{
        name: [(SIDES[name], SIDES[other])]
        for one, two in (("code", "prose"), ("new", "old"), ("most", "least"))
        for name, other in ((one, two), (two, one))
    },
    "source": [(SIDES["source"], SIDES["not_source"])],
}


def kind_of(source: str) -> str | None:
    """The kind with the longest matching beginning."""
    found = [(len(start), name) for name, kind in KINDS.items() for start in kind.sources if source.startswith(start)]
    return max(found)[1] if found else None
