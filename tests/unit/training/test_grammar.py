"""Composed instructions say what they are to say, and never in a wording that is kept for measuring."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from training.gpu import exclusions, grammar, sentences, wordings
from training.gpu.phrases import KINDS, PREFERENCES, kind_of

DRAWN = 3_000
OPEN = re.compile(r"\{\w+\}|\[[^\]]*\|")  # a slot, a choice; not the braces of a filter in JSON
UNSEEN = Path(grammar.__file__).with_name("unseen_wordings.json")


def drawn(kind: str) -> list[str]:
    rng = random.Random(kind)
    return [grammar.preferring(kind, rng, english="votes", chinese="点赞") for _ in range(DRAWN)]


@pytest.mark.parametrize("kind", list(PREFERENCES))
def test_no_held_out_wording_is_composed_and_no_slot_stays_open(kind: str) -> None:
    held = {text.replace("{0}", name) for text in wordings.HELD_OUT[kind] for name in ("votes", "点赞")}
    held |= {text.replace("{0}", name) for text in json.loads(UNSEEN.read_text())[kind] for name in ("votes", "点赞")}
    for text in drawn(kind):
        assert text not in held
        assert not OPEN.search(text), text


@pytest.mark.parametrize("kind", list(PREFERENCES))
def test_few_instructions_are_drawn_twice(kind: str) -> None:
    assert len(set(drawn(kind))) > 0.75 * DRAWN


def test_written_sentences_are_not_those_that_measure() -> None:
    held = [wordings.HELD_OUT, json.loads(UNSEEN.read_text(encoding="utf-8"))]
    measuring = {plain(text) for each in held for texts in each.values() for text in texts}
    assert measuring
    for kind, parts in sentences.SENTENCES.items():
        for texts in parts.values():
            assert not measuring & {plain(text) for text in texts}, kind


@pytest.mark.parametrize(("one", "other"), [("zh", "en"), ("code", "prose"), ("new", "old"), ("most", "least"),
                                            ("not", "about")])  # fmt: skip
def test_opposites_share_no_sentence(one: str, other: str) -> None:
    for part, texts in sentences.SENTENCES[one].items():
        assert texts
        assert not {plain(text) for text in texts} & {plain(text) for text in sentences.SENTENCES[other][part]}


def test_two_sentences_are_joined_by_one_mark() -> None:
    assert sentences.joined("One", "two", chinese=False) == "One. two"
    assert sentences.joined("One!", "two", chinese=False) == "One! two"
    assert sentences.joined("一", "二", chinese=True) == "一。二"
    assert sentences.joined("一？", "二", chinese=True) == "一？二"


def plain(text: str) -> str:
    return text.casefold().strip(" .!。！")


def test_an_instruction_about_a_topic_names_it_and_its_opposite_is_another() -> None:
    rng = random.Random(1)
    wanted = {grammar.about("heat pumps", rng, wanted=True).casefold() for _ in range(DRAWN)}
    unwanted = {grammar.about("heat pumps", rng, wanted=False).casefold() for _ in range(DRAWN)}
    assert all("heat pumps" in text for text in wanted | unwanted)
    assert not wanted & unwanted


def test_the_instructions_of_an_exclusion_are_opposites() -> None:
    rng = random.Random(2)
    for _ in range(200):
        first, second = exclusions.instructed("valves", "pistons", rng, held=False)
        assert first != second
        assert "valves" in first + second or "pistons" in first + second


def test_a_topic_is_named_by_words_that_the_other_passage_lacks() -> None:
    own = ["The", "boiler", "heats", "water", "in", "a", "tank", "before", "the", "pump", "moves", "it"]
    text = ("s", "en", "prose", " ".join(own), "How the boiler heats")
    counts = {word.lower(): 5 for word in own}
    other, rng = {"the", "water", "in", "a", "it"}, random.Random(4)
    said = {exclusions.topic(own, other, counts, text, rng) for _ in range(600)}
    lacking = {word.lower() for word in own} - other
    assert "How the boiler heats" in said
    assert any(topic and " and " in topic for topic in said)
    for topic in said:
        assert topic
        assert lacking & set(re.findall(r"[a-z]+", topic.lower())), topic
    same = {word.lower() for word in own} | {"how"}
    assert exclusions.topic(own, same, counts, text, rng) is None


def test_sources_belong_to_the_kind_with_the_longest_matching_name() -> None:
    assert kind_of("opentelemetry-blog") == "blog"
    assert kind_of("opentelemetry") == "guide"
    assert kind_of("poems") is None
    rng = random.Random(3)
    for name, kind in KINDS.items():
        said = [grammar.preferring_kind(name, rng).casefold() for _ in range(50)]
        assert any(any(word.casefold() in text for word in (*kind.english, *kind.chinese)) for text in said)
