"""Numbers read as a person reads them."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format
from openpyxl.utils.datetime import to_excel

from winnow.indexer.readers.documents.cell_values import built_in_format, number_text, plain_number, read_format


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("-0", "0"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.3"),
        ("12345678901234567890", "12345678901234567890"),
        ("1.2345678901234567E+16", "12345678901234567"),
        ("1E-3", "0.001"),
        ("1E+300", "1E+300"),
        ("2.5e-40", "2.5E-40"),
        ("100", "100"),
        ("nan", ""),
        ("abc", ""),
        ("9" * 5000, ""),
    ],
)
def test_plain_numbers(raw: str, text: str):
    assert plain_number(raw) == text


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        ("0.125", "0%", "12.5%"),
        ("0.07", "0.00%", "7%"),
        ("19.8", "0.00", "19.80"),
        ("19.8", '#,##0.00 "€"', "19.80"),
        ("0.12345", "0.00", "0.12345"),
        ("1234", "00000", "01234"),
        ("46095", "yyyy-mm-dd", "2026-03-14"),
        ("46095", 'yyyy"年"m"月"d"日"', "2026-03-14"),
        ("46095.5", "d/m/yyyy", "2026-03-14T12:00:00"),
        ("46095", "d/m/yy h:mm", "2026-03-14T00:00:00"),
        ("46095", "mmm", "2026-03-14"),
        ("0.75", "h:mm AM/PM", "18:00:00"),
        ("1.5", "[h]:mm", "36:00:00"),
        ("46095.396805555557", "yyyy-mm-dd hh:mm:ss", "2026-03-14T09:31:24"),
        ("1", "yyyy-mm-dd", "1900-01-01"),
        ("61", "yyyy-mm-dd", "1900-03-01"),
        ("60", "yyyy-mm-dd", "60"),
        ("-1", "yyyy-mm-dd", "-1"),
        ("1e9", "yyyy-mm-dd", "1000000000"),
        ("5", '"day "0', "5"),
        ("5", "[Red]0;[Blue]-0", "5"),
        ("5", "General", "5"),
        ("5", "0.0E+00", "5"),
        ("abc", "0.00", "abc"),
        ("x", "yyyy", ""),
    ],
)
def test_numbers_in_a_format(raw: str, code: str, text: str):
    assert number_text(raw, read_format(code)) == text


def test_dates_of_1904():
    assert number_text("0", read_format("yyyy-mm-dd"), is_1904=True) == "1904-01-01"


@given(st.datetimes(min_value=datetime(1900, 3, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_a_date_is_the_one_that_openpyxl_writes(moment: datetime):
    moment = moment.replace(microsecond=0)
    assert number_text(repr(to_excel(moment)), read_format("yyyy-mm-dd hh:mm:ss")) == moment.isoformat()


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_a_number_keeps_its_value(number: int, places: int):
    assert float(plain_number(repr(number / 10**places))) == number / 10**places


def test_the_built_in_formats_of_dates_are_those_of_openpyxl():
    for number, code in BUILTIN_FORMATS.items():
        known = built_in_format(number)
        assert (known.has_date or known.has_time) == is_date_format(code), code
