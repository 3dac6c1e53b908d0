"""retrieval/lexical/shingles.py: one rule for English and Chinese, and every pair compared exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.diversity_oracle import jaccard
from winnow.retrieval.lexical.shingles import shingle_similarities, words_for_shingles
from winnow.retrieval.limits import SHINGLED_CHARACTERS_MAX

ENGLISH = "The heron stands still in shallow water, waits for a fish to pass, and strikes with its long bill."
CHINESE = "苍鹭一动不动地站在浅水里，等鱼游过来，然后用长嘴猛地一啄，几乎从不落空。"
TEXTS = st.lists(
    st.one_of(
        st.text(alphabet="ab AB, Ｂ鹭水。１1\n-", max_size=14),
        st.lists(st.sampled_from(["the", "heron", "strikes", "at", "fish", "苍", "鹭"]), max_size=9).map(" ".join),
    ),
    min_size=1,
    max_size=9,
)


@settings(deadline=None, max_examples=300)
@given(texts=TEXTS)
def test_every_pair_has_the_similarity_of_the_definition(texts: list[str]) -> None:
    """Exactly the same fractions as sets in plain Python, symmetric, with 1 on the diagonal."""
    found = shingle_similarities(texts)
    assert found.tolist() == [[jaccard(one, other) for other in texts] for one in texts]


@pytest.mark.parametrize("copies", [2, 63, 64, 65, 130])
def test_shingles_of_few_and_of_many_texts_count_the_same(copies: int) -> None:
    """Both ways of counting meet in one matrix: words of every text, of some, and of a single one."""
    texts = [f"one two three four {'five six seven' if n % 2 else 'acht neun zehn'} w{n}" for n in range(copies)]
    found = shingle_similarities(texts)
    assert found.tolist() == [[jaccard(one, other) for other in texts] for one in texts]


def test_many_different_words_stay_apart() -> None:
    """Numbers of shingles would exceed 64 bits here, were they not numbered again: no two shingles become one."""
    texts = [" ".join(f"{n}x{word}" for word in range(900)) for n in range(400)]
    found = shingle_similarities([*texts, texts[7]])
    expected = np.eye(401)
    expected[7, 400] = expected[400, 7] = 1.0
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "changed",
    [
        ENGLISH.upper(),
        ENGLISH.replace(" ", " \n\t "),
        ENGLISH.replace(",", ";").replace(".", "!!"),
        "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in ENGLISH),
        ENGLISH.replace("heron", "her\u00ado\u200bn"),
    ],
)
def test_an_english_copy_is_the_same(changed: str) -> None:
    """In capitals, with other white space or punctuation, in full width, with invisible characters."""
    assert shingle_similarities([ENGLISH, changed])[0, 1] == 1.0


@pytest.mark.parametrize(
    "changed",
    [
        CHINESE.replace("，", ",").replace("。", "."),
        " ".join(CHINESE),
        CHINESE.replace("，", "\n"),
        f"「{CHINESE}」",
        CHINESE.replace("鱼", "\ufeff鱼"),
    ],
)
def test_a_chinese_copy_is_the_same(changed: str) -> None:
    """With other punctuation, blanks between characters, line breaks, quotation marks, invisible characters."""
    assert shingle_similarities([CHINESE, changed])[0, 1] == 1.0


def test_one_changed_word_costs_three_shingles() -> None:
    """In both languages; a Chinese word of two characters costs four."""
    for text, changed, lost in ((ENGLISH, "shallow>muddy", 3), (CHINESE, "浅水>泥塘", 4)):
        count = len(words_for_shingles(text)) - 2
        other = text.replace(*changed.split(">"))
        assert shingle_similarities([text, other])[0, 1] == pytest.approx((count - lost) / (count + lost))


def test_scripts_without_spaces_are_read_by_characters() -> None:
    """Thai, Japanese and Korean too; other scripts by words, digits included."""
    assert words_for_shingles("นก Ａb1 さぎ 왜가리 ２０２４年 Größe") == [
        *"นก", "ab1", *"さぎ", *"왜가리", "2024", "年", "grösse",
    ]  # fmt: skip
    assert words_for_shingles("...") == ["..."]
    assert words_for_shingles("") == [""]


def test_long_passages_are_compared_by_their_beginning() -> None:
    """The bound is in characters, also where one character unfolds into many."""
    same = "word " * (SHINGLED_CHARACTERS_MAX // 5)
    assert shingle_similarities([f"{same}one end", f"{same}other end"])[0, 1] == 1.0
    assert sum(map(len, words_for_shingles("\ufdfa" * SHINGLED_CHARACTERS_MAX))) <= SHINGLED_CHARACTERS_MAX


def test_shingles_end_with_their_text() -> None:
    """No shingle reaches from one text into the next."""
    texts = ["a b c d", "e f g h", "c d e f"]
    assert np.array_equal(shingle_similarities(texts), np.eye(3))
    assert all(shingle_similarities([one, other])[0, 1] == 0.0 for one, other in pairwise(texts))
