"""The facts are what every format's test takes them for."""

from __future__ import annotations

from tests.formats.facts import FACTS, chapters, sections


def test_there_are_twenty_facts_of_each_language_in_eight_sections_of_four_chapters():
    languages = [fact.id.partition("-")[0] for fact in FACTS]
    assert (languages.count("en"), languages.count("zh")) == (20, 20)
    assert [len(facts) for _, facts in sections()] == [5] * 8
    assert [len(entries) for _, entries in chapters()] == [2] * 4


def test_a_fact_answers_its_own_question_and_stands_in_no_other():
    for fact in FACTS:
        assert fact.answer in fact.text
        assert [other.id for other in FACTS if fact.text in other.text] == [fact.id]
        assert [other.id for other in FACTS if fact.answer in other.text] == [fact.id]
