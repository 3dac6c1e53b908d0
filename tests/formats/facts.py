"""Forty facts that every format's test writes with the format's writer library and then looks for.

Twenty are English, twenty Chinese; all are invented. Eight sections of five facts each stand under four chapters, so
headings have two levels. A fact's text stands in no other fact, and its question is answered by no other fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from winnow.indexer.readers.parser import Parsed
from winnow.retrieval.records import Document, Part

TITLE: Final = "Handbook of the Velora 300"
AUTHOR: Final = "Mira Holt"
MODIFIED: Final = "2026-03-14T09:30:00+00:00"

_TEXTS: Final[dict[tuple[str, str], tuple[tuple[str, str, str], ...]]] = {
    ("Operation", "Cleaning and care"): (
        (
            "The water filter of the Velora 300 is replaced every 11 weeks.",
            "How often must the water filter be replaced?",
            "11 weeks",
        ),
        (
            "Descale the boiler with citric acid only; vinegar attacks the brass valve.",
            "Which acid may be used to descale the boiler?",
            "citric acid",
        ),
        (
            "The drip tray holds 640 millilitres before the float switch stops the pump.",
            "How much water fits into the drip tray?",
            "640 millilitres",
        ),
        (
            "Wipe the touch panel with a dry microfibre cloth, never with alcohol.",
            "What should the touch panel be cleaned with?",
            "dry microfibre cloth",
        ),
        (
            "A full rinse cycle takes 4 minutes and uses the grey outlet.",
            "How long does a rinse cycle last?",
            "4 minutes",
        ),
    ),
    ("Operation", "Error messages"): (
        (
            "Code E17 means that the grinder is blocked by a foreign object.",
            "What does the code E17 mean?",
            "grinder is blocked",
        ),
        (
            "If code E23 appears, the lid sensor has lost its magnet.",
            "Which part is at fault when E23 appears?",
            "lid sensor",
        ),
        (
            "Holding the star key for nine seconds restores the factory settings.",
            "How do I restore the factory settings?",
            "star key for nine seconds",
        ),
        (
            "Three short beeps announce that the bean hopper is almost empty.",
            "What do three short beeps announce?",
            "bean hopper is almost empty",
        ),
        (
            "The amber lamp blinks while the firmware Heron 5 is being installed.",
            "Which lamp blinks during a firmware installation?",
            "amber lamp",
        ),
    ),
    ("Orders", "Delivery and returns"): (
        (
            "Parcels to Ostrava leave the depot on Tuesdays and Fridays.",
            "On which days are parcels sent to Ostrava?",
            "Tuesdays and Fridays",
        ),
        (
            "A customer may return an unopened machine within 45 days.",
            "How long may an unopened machine be returned?",
            "45 days",
        ),
        (
            "The return label is printed from the order page under Shipments.",
            "Where can I print the return label?",
            "order page under Shipments",
        ),
        (
            "Pallets heavier than 380 kilograms need a lorry with a tail lift.",
            "From which weight is a tail lift needed?",
            "380 kilograms",
        ),
        (
            "Damaged goods are reported to the desk Harbour Claims with two photographs.",
            "Who receives the report of damaged goods?",
            "Harbour Claims",
        ),
    ),
    ("Orders", "Prices and payment"): (
        (
            "The service plan Larch costs 19.80 euros a month.",
            "What does the service plan Larch cost?",
            "19.80 euros",
        ),
        (
            "Schools receive a discount of 12 percent on grinders.",
            "Which discount do schools receive?",
            "12 percent",
        ),
        (
            "Invoices are payable within 30 days by bank transfer to Fjordbank.",
            "To which bank are invoices paid?",
            "Fjordbank",
        ),
        (
            "A lost loyalty card is blocked by calling extension 7742.",
            "Which extension blocks a lost loyalty card?",
            "7742",
        ),
        (
            "Gift vouchers expire on the last day of the third year.",
            "When does a gift voucher expire?",
            "third year",
        ),
    ),
    ("使用说明", "安装与启动"): (
        ("云杉烤箱首次通电前必须静置六小时。", "云杉烤箱通电前要静置多久？", "六小时"),
        ("底座的四颗螺丝用五号内六角扳手拧紧。", "底座螺丝用什么工具拧紧？", "五号内六角扳手"),
        ("开机密码默认是设备背面标签的后四位。", "默认的开机密码是什么？", "标签的后四位"),
        ("无线网络只支持二点四吉赫频段。", "无线网络支持哪个频段？", "二点四吉赫"),
        ("机身与墙面之间至少留出十五厘米。", "机身离墙至少要留多少距离？", "十五厘米"),
    ),
    ("使用说明", "日常维护"): (
        ("每周日凌晨三点设备自动校准温度探头。", "温度探头什么时候自动校准？", "每周日凌晨三点"),
        ("门封条老化后应更换为型号松石七的硅胶条。", "门封条应更换成哪个型号？", "松石七"),
        ("炉腔照明灯的寿命约为八千小时。", "照明灯的寿命有多长？", "八千小时"),
        ("清洁滑轨时请涂抹食品级白油。", "滑轨应该涂抹什么油？", "食品级白油"),
        ("风扇出现异响时先检查左侧的减震垫。", "风扇异响时先检查哪里？", "减震垫"),
    ),
    ("售后服务", "保修政策"): (
        ("加热管的保修期为四年，玻璃门除外。", "加热管保修几年？", "四年"),
        ("保修登记须在购买后二十天内完成。", "保修登记的期限是多少天？", "二十天"),
        ("上门维修由青禾服务站负责派单。", "上门维修由谁派单？", "青禾服务站"),
        ("自行拆机会使保修立即失效。", "什么行为会使保修失效？", "自行拆机"),
        ("更换主板需要提供原始发票的照片。", "更换主板要提供什么？", "原始发票的照片"),
    ),
    ("售后服务", "配件订购"): (
        ("烘焙石的订货编号是霜降一二九。", "烘焙石的订货编号是什么？", "霜降一二九"),
        ("配件满三百元免运费。", "配件满多少元免运费？", "三百元"),
        ("海岛地区的配件由白鹭物流运送。", "海岛地区由哪家物流运送？", "白鹭物流"),
        ("旧电池可以寄回鹿鸣回收中心换取积分。", "旧电池寄到哪里？", "鹿鸣回收中心"),
        ("订购烤架时请注明二〇二五款或更早的款式。", "订购烤架要注明什么？", "款式"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    id: str  # "en-01" to "en-20", "zh-01" to "zh-20"
    section: tuple[str, str]  # chapter and section
    text: str  # one sentence, on one line
    question: str
    answer: str  # stands in the text, as written


def _number(language: str) -> Iterator[Fact]:
    sections = [each for each in _TEXTS.items() if each[0][0].isascii() == (language == "en")]
    numbered = enumerate(((section, *texts) for section, entries in sections for texts in entries), start=1)
    for number, (section, text, question, answer) in numbered:
        yield Fact(id=f"{language}-{number:02}", section=section, text=text, question=question, answer=answer)


FACTS: Final = (*_number("en"), *_number("zh"))  # in reading order

COLUMNS: Final = ("id", "chapter", "section", "text", "question", "answer")  # of a table of the facts
ROWS: Final = tuple((fact.id, *fact.section, fact.text, fact.question, fact.answer) for fact in FACTS)


def sections() -> list[tuple[tuple[str, str], tuple[Fact, ...]]]:
    """Return the eight sections in reading order, each with its five facts."""
    return [(section, tuple(facts)) for section, facts in groupby(FACTS, key=lambda fact: fact.section)]


def chapters() -> list[tuple[str, list[tuple[str, tuple[Fact, ...]]]]]:
    """Return the four chapters in reading order, each with its sections and their facts."""
    return [
        (chapter, [(section[1], facts) for section, facts in group])
        for chapter, group in groupby(sections(), key=lambda each: each[0][0])
    ]


def parts_with(text: str, parsed: Iterable[Parsed]) -> list[tuple[Document, Part]]:
    """Return the parts whose text contains this text, with their documents."""
    return [
        (document, part)
        for document in parsed
        if isinstance(document, Document)
        for part in document.parts
        if text in document.text[part.start : part.end]
    ]


def only_part_with(text: str, parsed: Iterable[Parsed]) -> tuple[Document, Part]:
    """Return the one part whose text contains this text; fail if there are none or several."""
    found = parts_with(text, parsed)
    assert len(found) == 1, f"{text!r} stands in {len(found)} parts"
    return found[0]
