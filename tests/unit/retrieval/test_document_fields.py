"""Fields before a text: one line each, within the bound, whatever the values hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.real_models import bundled_model, qwen_tokenizer
from tests.tiny_models import write_embedder
from winnow.retrieval.document_fields import FieldChoice, check_fields, heads_of, is_whole
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import (
    FIELD_CHARACTERS_MAX,
    FIELD_NAME_CHARACTERS_MAX,
    FIELD_TOKENS_DEFAULT,
    FIELD_TOKENS_MAX,
    FIELD_TOKENS_MIN,
    FIELDS_MAX,
)
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer
from winnow.retrieval.records import Chunk

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)
MARKS = (
    "<|im_end|>",
    "<think>",
    "\n<Query>: x",
    "\r",
    "\u2028",
    "\x85",
    "\x0b",
    "\0",
    ": ",
    "\ndate: 1",
    "退货",
    "e\u0301",
    "\ud800",
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text()
    | st.lists(st.sampled_from(MARKS) | st.text(max_size=5)).map("".join)
    | st.integers(0, 700).map(lambda count: "a long value " * count),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
NAMES = st.lists(st.sampled_from(["date", "source", "citations", "来源", "dc:title", "a b"]), min_size=1, unique=True)


@pytest.fixture(scope="module", params=["tiny", "bundled", "qwen"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "tiny":
        return write_embedder(tmp_path_factory.mktemp("models") / "embedder")
    return bundled_model("reranker").path if request.param == "bundled" else qwen_tokenizer()


@pytest.fixture(scope="module")
def plain(folder: Path) -> PlainTokenizer:
    return PlainTokenizer.load(folder)


@pytest.fixture(scope="module")
def scaffold(folder: Path) -> ScaffoldTokenizer:
    return ScaffoldTokenizer.load(folder)


def head(plain: PlainTokenizer, choice: FieldChoice, **metadata: Any) -> str:
    return heads_of([choice.lines(id=None, title="", url=None, metadata=metadata)], plain, tokens_max=10_000)[0]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2024-05-01", "2024-05-01"),
        (2020, "2020"),
        (2020.0, "2020"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1e300, "1e+300"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (["Noether", "Hopper", 3, None, ""], "Noether, Hopper, 3"),
        ({"a": [1, "é"]}, '{"a": [1, "é"]}'),
        ("  two\r\n\tlines\u2029and\x85more\x00 ", "two lines and more"),
        ("<|im_end|>", "<|im_end|>"),
        (None, None),
        ("", None),
        (" \n", None),
        ([], None),
        ({}, None),
        (float("nan"), None),
    ],
)
def test_how_values_are_written(plain: PlainTokenizer, value: Any, written: str | None) -> None:
    """As the module's table says; what has nothing to write has no line."""
    expected = "" if written is None else f"x: {written}\n\n"
    assert head(plain, check_fields(["x"], 128), x=value) == expected


def test_lines_stand_in_the_chosen_order() -> None:
    """The document's own title and url come before attributes of these names; what is missing is left out."""
    chunk = Chunk(
        number=0, document_id="d-1", ordinal=0, start=0, end=1, title="T", text="x", url=None,
        metadata={"title": "other", "url": "u", "date": "2020"},
    )  # fmt: skip
    lines = check_fields(["date", "title", "url", "author", "id"], 64).lines_of(chunk)
    assert (lines.lines, lines.tokens_max) == (("date: 2020", "title: T", "url: u", "id: d-1"), 64)


def test_a_line_that_does_not_fit_is_left_out(plain: PlainTokenizer) -> None:
    """Whole, and shorter ones behind it stay."""
    long = " ".join(["heron"] * 12)
    bound = len(plain.ids(f"a: {long}\n")) + len(plain.ids("c: 1\n")) + 1
    assert head(plain, check_fields(["a", "b", "c"], bound), a=long, b=long, c="1") == f"a: {long}\nc: 1\n\n"
    assert head(plain, check_fields(["a", "b", "c"], 400), a=long, b=long, c="1") == f"a: {long}\nb: {long}\nc: 1\n\n"


def test_a_value_that_alone_exceeds_the_bound_is_cut(plain: PlainTokenizer) -> None:
    """It gets what the other lines leave, at its own place, and ends between two characters."""
    authors = ", ".join(f"Author {number}" for number in range(300))
    found = head(plain, check_fields(["authors", "date"], 64), authors=authors, date="2020-01-02")
    first, second, empty, end = found.split("\n")
    assert (second, empty, end) == ("date: 2020-01-02", "", "")
    assert authors.startswith(first.removeprefix("authors: "))
    assert 40 < len(plain.ids(found)) <= 64
    lines = check_fields(["authors", "date"], 64).lines(id=None, title="", url=None, metadata={"authors": authors})
    assert not is_whole(lines, heads_of([lines], plain, tokens_max=64)[0])


@UNHURRIED
@given(names=NAMES, values=st.lists(VALUES, min_size=6, max_size=6), bound=st.integers(FIELD_TOKENS_MIN, 200))
def test_no_value_breaks_the_form_or_the_bound(
    plain: PlainTokenizer, names: list[str], values: list[Any], bound: int
) -> None:
    """Each line is a chosen field's, in order and once; a shorter value would not have saved another line's place."""
    metadata = dict(zip(names, values, strict=False))
    choice = check_fields(names, bound)
    lines = choice.lines(id=None, title="", url=None, metadata=metadata)
    (found,) = heads_of([lines], plain, tokens_max=10_000)
    assert len(plain.ids(found)) <= bound
    assert found == "" or (found.endswith("\n\n") and "\n\n" not in found[:-2])
    shown = found.splitlines()[:-1]
    assert shown == found.split("\n")[: len(shown)]
    places = []
    for line in shown:
        (place,) = [place for place, name in enumerate(names) if line.startswith(f"{name}: ")]
        places.append(place)
    assert places == sorted(set(places))
    whole = [line for line in shown if line in lines.lines]
    cut = [line for line in shown if line not in lines.lines]
    assert len(cut) <= 1
    for line in cut:
        (origin,) = [each for each in lines.lines if each.startswith(line)]
        assert len(plain.ids(f"{origin[:FIELD_CHARACTERS_MAX]}\n")) >= bound or len(origin) > FIELD_CHARACTERS_MAX
    if len(plain.ids("".join(f"{each}\n" for each in lines.lines) + "\n")) <= bound // 2:
        assert whole == list(lines.lines)


@UNHURRIED
@given(value=st.lists(st.sampled_from(MARKS) | st.text(max_size=5)).map("".join))
def test_no_value_becomes_a_control_token(plain: PlainTokenizer, scaffold: ScaffoldTokenizer, value: str) -> None:
    assert scaffold.control_ids.isdisjoint(plain.ids(head(plain, check_fields(["x"], 512), x=value)))


@pytest.mark.parametrize(
    ("names", "tokens", "said"),
    [
        ([f"f{number}" for number in range(FIELDS_MAX + 1)], 128, "17 fields; the limit is 16"),
        (["a\nb"], 128, "'a\\\\nb' is not a field name"),
        ([""], 128, "'' is not a field name"),
        ([" a"], 128, "is not a field name: use one line of text, without spaces at its ends or two in a row"),
        (["a  b"], 128, "without spaces at its ends or two in a row"),
        (["\ud800"], 128, "is not a field name"),
        (["x" * (FIELD_NAME_CHARACTERS_MAX + 1)], 128, "a field name has 65 characters; the limit is 64"),
        (["text"], 128, "the text is always read"),
        (["a", "b", "a"], 128, "field 'a' is named twice"),
        (["a"], FIELD_TOKENS_MIN - 1, "8 to 1024 tokens, not 7"),
        (["a"], FIELD_TOKENS_MAX + 1, "8 to 1024 tokens, not 1025"),
    ],
)
def test_what_is_no_choice_is_refused(names: list[str], tokens: int, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        check_fields(names, tokens)
    assert check_fields([], FIELD_TOKENS_DEFAULT) == FieldChoice()


@pytest.mark.parametrize("blanks", [1, 3, 5_000])
@pytest.mark.parametrize("words", [1, 10, FIELD_CHARACTERS_MAX // 2, 20 * FIELD_CHARACTERS_MAX])
def test_no_more_of_a_long_value_is_written_than_can_be_read(words: int, blanks: int) -> None:
    """What is written begins like the whole value; a value that is not whole is longer than what can be read."""
    value = ("\n" * blanks + "a") * min(words, 10_000_000 // blanks)
    whole = " ".join(value.split())
    (line,) = FieldChoice(names=("n",)).lines(id=None, title="", url=None, metadata={"n": value}).lines
    written = line.removeprefix("n: ")
    assert whole.startswith(written)
    assert written == whole or FIELD_CHARACTERS_MAX < len(written) <= 2 * FIELD_CHARACTERS_MAX
