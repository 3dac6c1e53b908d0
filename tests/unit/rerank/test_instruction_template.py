"""An instruction's text is a template of a grammar of its own: values are values, whatever is in them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.real_models import bundled_model, qwen_tokenizer
from tests.tiny_models import write_reranker
from winnow.rerank.instruction_template import check_content, is_one_line, parse_value, render
from winnow.rerank.prompt import PromptBuilder
from winnow.retrieval.catalog.instructions import InstructionContent, Variable, VariableType
from winnow.retrieval.errors import CallerError, InvalidRequest, LimitExceeded, VariableRefused
from winnow.retrieval.limits import EMBEDDING_TASK_CHARACTERS_MAX, INSTRUCTION_CHARACTERS_MAX, VARIABLE_CHARACTERS_MAX

LANGUAGE = Variable(name="language", type=VariableType.ENUM, allowed=("English", "Chinese"), default="English")
TOPIC = Variable(name="topic", max_length=20)
YEAR = Variable(name="year", type=VariableType.INTEGER, default=2020)
CONTENT = InstructionContent(
    text="{language} first, on {topic} since {year}; {{braces}} stay. {topic}!",
    embedding_task="Find passages on {topic}",
    variables=(LANGUAGE, TOPIC, YEAR),
)
TODAY = date(2026, 3, 1)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_values_stand_where_their_variables_stood() -> None:
    """In both texts, more than once if need be, and defaults where nothing is given."""
    said = render(CONTENT, {"topic": "herons", "year": -7}, today=TODAY)
    assert said.text == "English first, on herons since -7; {braces} stay. herons!"
    assert said.embedding_task == "Find passages on herons"


def test_today_is_the_given_date() -> None:
    """In both texts, undeclared, in ISO form; doubled braces and a literal text keep the word."""
    content = InstructionContent(text="Newest before {today}; {{today}} stays", embedding_task="Find news of {today}")
    said = render(check_content(content), {}, today=date(987, 6, 5))
    assert (said.text, said.embedding_task) == ("Newest before 0987-06-05; {today} stays", "Find news of 0987-06-05")
    assert render(replace(content, literal=True), {}, today=TODAY).text == content.text


def test_today_is_reserved() -> None:
    """Nobody can declare it or give it a value, except a version from before it was reserved."""
    mine = InstructionContent(text="Since {today}", variables=(Variable(name="today", default="noon"),))
    with pytest.raises(InvalidRequest, match="'today' is reserved for the date in UTC"):
        check_content(mine)
    with pytest.raises(VariableRefused, match="today takes no value"):
        render(InstructionContent(text="Since {today}"), {"today": "2020-01-01"}, today=TODAY)
    assert render(mine, {}, today=TODAY).text == "Since noon"
    assert render(mine, {"today": "dawn"}, today=TODAY).text == "Since dawn"


@pytest.mark.parametrize("room", [0, 1])
def test_the_date_counts_in_the_longest_text(room: int) -> None:
    content = InstructionContent(text="x" * (INSTRUCTION_CHARACTERS_MAX - 10 + room) + "{today}")
    if room:
        with pytest.raises(LimitExceeded, match="with the longest values"):
            check_content(content)
    else:
        assert len(render(check_content(content), {}, today=TODAY).text) == INSTRUCTION_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "topic is required"),
        ({"topic": "x", "tpic": "y"}, "'tpic' is not declared; declared variables: language, topic, year"),
        ({"topic": "x" * 21}, "topic has 21 characters; the limit is 20"),
        ({"topic": 3}, "topic must be a string"),
        ({"topic": True}, "topic must be a string"),
        ({"topic": " \u3000"}, "topic is blank"),
        ({"topic": ""}, "topic is blank"),
        ({"topic": "x", "year": "2020"}, "year must be an integer"),
        ({"topic": "x", "year": True}, "year must be an integer"),
        ({"topic": "x", "year": 2020.0}, "year must be an integer"),
        ({"topic": "x", "year": 10**5_000}, "year must be between"),
        ({"topic": "x", "language": "Klingon"}, "language must be one of 'English', 'Chinese'"),
        ({"topic": "x", "language": "english"}, "language must be one of"),
        ({"topic": "x\n<Query>: y"}, "topic contains a line break"),
        ({"topic": "x\u2028y"}, "topic contains a line break"),
        ({"topic": "x\x85y"}, "topic contains a line break"),
        ({"topic": "x\0"}, "topic contains a line break or a control character"),
        ({"topic": "\ud800"}, "topic contains a line break or a control character"),
        ({"topic": "x", "\ud800" + "n" * 10**6: "y"}, "is not declared"),
    ],
)
def test_a_value_that_does_not_fit_is_named(values: dict[str, Any], said: str) -> None:
    """By its variable, in a sentence that is short and can be written as UTF-8."""
    with pytest.raises(VariableRefused) as refused:
        render(CONTENT, values, today=TODAY)
    assert said in refused.value.message
    assert len(refused.value.message.encode()) < 300


@pytest.mark.parametrize(
    "text",
    [
        "{", "}", "{}", "{ topic }", "{topic.real}", "{topic[0]}", "{topic!r}", "{topic:>9}", "{0}", "{Topic}",
        "{topic", "topic}", "{__class__}", "{topic}}", "{tópic}", "{topic\n}",
    ],
)  # fmt: skip
def test_nothing_but_a_name_stands_between_braces(text: str) -> None:
    """No attribute, index, conversion, width or space: it is no format string."""
    with pytest.raises(InvalidRequest, match="at character"):
        check_content(InstructionContent(text=text, variables=(TOPIC,)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": "{language} {year} {topic} {place}"}, "variable 'place' is not declared"),
        ({"text": "{language} {year}", "embedding_task": None}, "variable 'topic' is declared but used neither"),
        ({"variables": (LANGUAGE, TOPIC, YEAR, TOPIC)}, "variable 'topic' is declared twice"),
        ({"variables": (LANGUAGE, YEAR, replace(TOPIC, name="Topic"))}, "invalid variable name 'Topic'"),
        ({"variables": (LANGUAGE, YEAR, replace(TOPIC, max_length=0))}, "max_length must be between 1 and 256"),
        ({"variables": (TOPIC, YEAR, replace(LANGUAGE, allowed=()))}, "has no allowed values"),
        ({"variables": (TOPIC, YEAR, replace(LANGUAGE, default="x"))}, "language must be one of"),
        ({"variables": (TOPIC, LANGUAGE, replace(YEAR, allowed=("x",)))}, "year must be an integer"),
        ({"variables": (LANGUAGE, YEAR, replace(TOPIC, default="a\nb"))}, "topic contains a line break"),
        ({"literal": True}, "a literal instruction cannot declare variables"),
        ({"embedding_task": "two\nlines"}, "embedding_task must be one line"),
        ({"embedding_task": " "}, "embedding_task must be one line"),
        ({"note": "bell \x07"}, "note contains a control character"),
        ({"text": "\ud800 {topic} {year} {language}"}, "text contains a control character"),
        ({"text": " \n"}, "the instruction is empty"),
    ],
)
def test_what_cannot_be_used_is_not_written(change: dict[str, Any], said: str) -> None:
    """The message says what is at fault."""
    with pytest.raises(CallerError, match=re.escape(said)):
        check_content(replace(CONTENT, **change))


def test_the_longest_result_has_room_when_it_is_written() -> None:
    """So that no value, however long, makes it too long when it is used."""
    full = "x" * (INSTRUCTION_CHARACTERS_MAX - 20)
    assert check_content(InstructionContent(text=full + "{topic}", variables=(TOPIC,)))
    with pytest.raises(LimitExceeded, match="4097 characters with the longest values"):
        check_content(InstructionContent(text=full + "x{topic}", variables=(TOPIC,)))
    task = "x" * EMBEDDING_TASK_CHARACTERS_MAX + "{topic}"
    with pytest.raises(LimitExceeded, match="with the longest values"):
        check_content(InstructionContent(text="{topic}", embedding_task=task[8:], variables=(TOPIC,)))
    named = replace(TOPIC, allowed=("a", "bcdef"))
    text = "x" * (INSTRUCTION_CHARACTERS_MAX - 7) + "{topic}"
    assert check_content(InstructionContent(text=text, variables=(named,)))


def test_a_literal_text_is_taken_as_it_stands() -> None:
    """As texts of before there were variables are."""
    content = check_content(InstructionContent(text="Prefer {json} and {{", literal=True))
    assert render(content, {}, today=TODAY).text == content.text


def test_what_is_typed_becomes_what_the_variable_is() -> None:
    """A command line has no types; what does not look like a number stays what it is, and is refused by name."""
    assert parse_value(CONTENT, "year", "-12") == -12
    assert parse_value(CONTENT, "topic", "12") == "12"
    for words in ("12.0", "x", "٣", "9" * 5_000):
        assert parse_value(CONTENT, "year", words) == words


@UNHURRIED
@given(st.dictionaries(st.sampled_from(["language", "topic", "year", "other"]), st.text() | st.integers() | st.none()))
def test_any_values_give_a_text_or_the_declared_error(values: dict[str, Any]) -> None:
    """And the text differs from the template only where variables stand."""
    try:
        said = render(CONTENT, values, today=TODAY)
    except VariableRefused:
        return
    words = {"language": "English", "year": 2020} | {name: value for name, value in values.items() if value is not None}
    assert said.text == (
        f"{words['language']} first, on {words['topic']} since {words['year']}; {{braces}} stay. {words['topic']}!"
    )
    assert len(said.text.splitlines()) == 1


@UNHURRIED
@given(st.text(alphabet=st.sampled_from("{}ab_ \n0é") | st.characters()))
def test_any_text_is_written_or_refused_and_what_is_written_can_be_used(text: str) -> None:
    """A text without braces is itself; doubled ones are single."""
    variables = tuple(Variable(name=name, max_length=1) for name in ("a", "b") if f"{{{name}}}" in text)
    try:
        content = check_content(InstructionContent(text=text, variables=variables))
    except CallerError:
        return
    said = render(content, {each.name: "{" for each in variables}, today=TODAY).text
    expected = re.sub(r"\{\{|\}\}|\{[ab]\}", lambda found: "}" if found[0] == "}}" else "{", text)
    assert said == expected


HOSTILE = st.sampled_from(
    ["<|im_end|>", "<|im_start|>system", "<think>", "</think>", "<|endoftext|>", "{topic}", "{0.__class__}", "%s",
     "${x}", "'", '"', "\\", "\u202e", "\u200f", "<Query>: ", "<Document>:", "\ufeff", "𝕏", "退货", "e\u0301"]
)  # fmt: skip


@UNHURRIED
@given(st.lists(HOSTILE | st.text(max_size=5), min_size=1, max_size=12).map("".join))
def test_no_value_brings_a_control_token_into_the_prompt(prompts: PromptBuilder, value: str) -> None:
    """The very prompt: control ids stand where an empty question's stand, and nowhere else."""
    content = InstructionContent(
        text="On {topic} first", variables=(replace(TOPIC, max_length=VARIABLE_CHARACTERS_MAX),)
    )
    try:
        said = render(content, {"topic": value}, today=TODAY)
    except VariableRefused:
        assert not value.strip() or not is_one_line(value)
        return
    built = prompts.build("q", ["d"], said.text)
    (tail,) = built.tails
    plain = prompts.build("q", ["d"], "On x first")
    assert controls(prompts, (*built.shared, *tail)) == controls(prompts, (*plain.shared, *plain.tails[0]))


def controls(prompts: PromptBuilder, ids: tuple[int, ...]) -> list[int]:
    return [each for each in ids if each in prompts.scaffold.control_ids]


@pytest.fixture(scope="module", params=["tiny", "bundled", "qwen"])
def prompts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PromptBuilder:
    match request.param:
        case "tiny":
            folder = write_reranker(tmp_path_factory.mktemp("models") / "tiny")
        case "bundled":
            folder = bundled_model("reranker").path
        case _:
            folder = qwen_tokenizer()
    return PromptBuilder.load(folder, tokens_max=2_048)
