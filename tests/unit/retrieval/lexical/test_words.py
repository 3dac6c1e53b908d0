"""The words of a text, as they are indexed and asked for."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import DIMENSION, embedded
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.lexical.traditional import SIMPLIFIED
from winnow.retrieval.lexical.words import analyse, analyse_query, words_of
from winnow.retrieval.records import Document
from winnow.retrieval.store.lance_store import LanceStore

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
IDENTIFIER = "org_example_storage_" + "very" * 30 + "LongIdentifier"
TEXTS = {
    "c": "The C language",
    "cpp": "Templates in C++ and its library",
    "csharp": "Properties in C# explained",
    "dotnet": "Install .NET on a server",
    "who": "WHO guidelines",
    "it": "IT department",
    "us": "US market",
    "can": "can",
    "will": "will",
    "der": "der Hund",
    "de": "Rue de Paris",
    "digest": f"sha256:{DIGEST}",
    "identifier": f"call {IDENTIFIER} first",
    "path": "/usr/lib/x86_64-linux-gnu/libreallylongname-with-many-parts-in-it.so.6.0.30",
    "co2": "Carbon dioxide is CO₂",
    "wide": "ＦＵＬＬｗｉｄｔｈ　ｔｅｘｔ １２３４",
    "kana": "ﾃﾞｰﾀﾍﾞｰｽの設計",
    "soft": "inter\u00adnatio\u200bnal\ufeff\u2060isation",
    "selector": "snow\ufe0fman ☃\ufe0f",
    "ligature": "eﬃcient oﬃce",
    "sharp": "Hauptstraße",
    "dotted": "İZMİR",
    "traditional": "請閱讀說明書與圖書館的規則",
    "simplified": "头发干燥的护理方法",
    "korean": "서울에서 만나요",
    "thai": "ภาษาไทยง่ายนิดเดียว",
    "hindi": "हिन्दी भाषा",
    "arabic": "اللغة العربية ٤٢",
    "greek": "ΟΔΥΣΣΕΥΣ",
    "emoji": "Ship it 🚀!",
    "camel": "parseHttpResponseHeader(value)",
    "snake": "set_value and err_4711",
    "raised": "Stated elsewhere¹, over 20 km²",
    "brand": "Fooblar™ tool",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LanceStore:
    """Half of the texts in the index, half beside it."""
    made = LanceStore.create(
        tmp_path_factory.mktemp("words") / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer()
    )
    documents = [embedded(Document(id=name, title="", text=text)) for name, text in TEXTS.items()]
    made.replace(documents[::2])
    made.index_words()
    made.replace(documents[1::2][:15])
    made.replace(documents[1::2][15:])
    return made


def found(store: LanceStore, query: str) -> list[str]:
    snapshot = store.snapshot()
    return [chunk.document_id for chunk in snapshot.chunks(snapshot.lexical(query, 10).numbers.tolist())]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("C", "c"),
        ("c++", "cpp"),
        ("C#", "csharp"),
        (".net", "dotnet"),
        ("(.NET)", "dotnet"),
        ("NET", "dotnet"),
        ("WHO", "who"),
        ("who", "who"),
        ("IT department", "it"),
        ("us", "us"),
        ("can", "can"),
        ("will", "will"),
        ("der", "der"),
        ("de", "de"),
        (DIGEST, "digest"),
        (DIGEST.upper(), "digest"),
        (IDENTIFIER, "identifier"),
        (TEXTS["path"], "path"),
        ("libreallylongname", "path"),
        ("CO2", "co2"),
        ("ＣＯ₂", "co2"),
        ("fullwidth 1234", "wide"),
        ("データベース", "kana"),
        ("データ", "kana"),
        ("internationalisation", "soft"),
        ("inter\u00adnational\u200disation", "soft"),
        ("snowman", "selector"),
        ("☃", "selector"),
        ("efficient", "ligature"),
        ("HAUPTSTRASSE", "sharp"),
        ("izmir", "dotted"),
        ("说明书", "traditional"),
        ("图书馆", "traditional"),
        ("頭髮乾燥", "simplified"),
        ("发", "simplified"),
        ("서울", "korean"),
        ("ภาษา", "thai"),
        ("हिन्दी", "hindi"),
        ("العربية", "arabic"),
        ("42", "arabic"),
        ("οδυσσευς", "greek"),
        ("🚀", "emoji"),
        ("http response", "camel"),
        ("parsehttpresponseheader", "camel"),
        ("4711", "snake"),
        ("value", "snake"),
        ("elsewhere", "raised"),
        ("km2", "raised"),
        ("fooblar", "brand"),
    ],
)
def test_what_is_typed_is_found_in_first_place(store: LanceStore, query: str, first: str) -> None:
    """In the index and beside it alike."""
    assert found(store, query)[:1] == [first]


@pytest.mark.parametrize(
    ("query", "others"), [("C", {"cpp", "csharp"}), ("C++", {"c", "csharp"}), ("C#", {"c", "cpp"})]
)
def test_languages_of_one_letter_are_not_mistaken_for_each_other(
    store: LanceStore, query: str, others: set[str]
) -> None:
    assert others.isdisjoint(found(store, query))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("count++ i++ C/C++, C++17", ["count++", "count", "i++", "c", "c++", "c++", "17"]),
        ("#include a#b F#8", ["include", "a", "b", "f#", "8"]),
        ("ASP.NET ./run .5 end.", ["asp", "net", "run", "5", "end"]),
        ("GPUs iPhone 3D", ["gpus", "iphone", "i", "phone", "3d"]),
        ("T恤, 三个字", ["t", "恤", "三", "个", "字", "三个", "个字"]),
        ("don't don´t", ["don", "t", "don", "t"]),
        ("a\ud800b", ["a", "b"]),
        ("", []),
        ("。，！ ~*\x00\x7f", []),
    ],
)
def test_words_are_told_apart_by_rule(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("delta bravo Delta", "delta bravo"),
        ("What is the price of it?", "price it"),
        ("who will do this", "who will"),
        ("vitamin a", "vitamin a"),
        ("to be or not to be", "to be or not"),
        ("the", "the"),
        ("AT commands, as in the manual", "at commands manual"),
        ("AT COMMANDS", "commands"),
    ],
)
def test_a_query_counts_each_word_once_and_leaves_out_what_only_connects(query: str, words: str) -> None:
    """Beside other words, and not in capitals; a text keeps them all."""
    assert analyse_query(query) == words


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60))
def test_no_word_holds_a_blank_and_forms_of_a_text_have_the_same_words(text: str) -> None:
    """Composed and decomposed characters are one: whoever types a query does not choose between them."""
    words = list(words_of(text))
    assert all(word and len(word.split()) == 1 for word in words)
    assert analyse(text).split(" ") == (words or [""])
    for form in ("NFC", "NFD"):
        assert list(words_of(unicodedata.normalize(form, text))) == words


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(categories=["L", "Nd", "Zs", "P"]), max_size=30), at=st.integers(0, 30))
def test_what_cannot_be_seen_changes_no_word(text: str, at: int) -> None:
    for unseen in ("\u00ad", "\u200b", "\u200d", "\ufeff", "\ufe0f", "\u2060"):
        assert list(words_of(text[:at] + unseen + text[at:])) == list(words_of(text))


def test_the_table_of_characters_maps_none_twice() -> None:
    """So that a character and its image have one image; and each is a single character."""
    assert not {ord(each) for each in SIMPLIFIED.values()} & SIMPLIFIED.keys()
    assert all(len(each) == 1 for each in SIMPLIFIED.values())


def test_every_letter_and_digit_is_part_of_a_word() -> None:
    """Of all that Unicode has: none is dropped in silence."""
    lost = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code))[0] in "LN" and not list(words_of(chr(code)))
    ]
    assert lost == ["0x115f", "0x1160", "0x3164", "0xffa0"]  # Hangul fillers, which show nothing
