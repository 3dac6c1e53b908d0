"""Writes numbers of spreadsheets as a person reads them: dates in ISO 8601, percentages, no digits of binary rounding.

A value is never rounded to the decimals of its format, only padded to them: 19.8 in the format 0.00 is 19.80.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Final

_PRECISION: Final = Context(prec=15)  # significant digits that a double holds for certain
_EXPONENT_MAX: Final = 30  # larger or smaller numbers stay in scientific notation
_DIGITS_MAX: Final = 300  # digits of an integer; more is no number that a spreadsheet holds
_SERIAL_MAX: Final = 2_958_466  # days; the first day of the year 10000
_LEAP_DAY: Final = 60  # serial of 1900-02-29, which Lotus 1-2-3 invented and Excel kept
_DAY_SECONDS: Final = 86_400
_EPOCH_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001  times of spreadsheets have no zone
_EPOCH_1900: Final = datetime(1899, 12, 30)  # noqa: DTZ001
_LITERALS: Final = re.compile(r'"[^"]*"|\\.|_.|\*.')
_ELAPSED: Final = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_BRACKETS: Final = re.compile(r"\[[^\]]*\]")
_DECIMALS: Final = re.compile(r"\.(0+)")
_BUILT_IN: Final = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    9: "0%",
    10: "0.00%",
    39: "#,##0.00",
    40: "#,##0.00",
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 34, 35, 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 45, 47, 55, 56), "h:mm:ss"),
    22: "yyyy-mm-dd h:mm",
    46: "[h]:mm:ss",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFormat:
    """What a number format says about its values."""

    has_date: bool = False
    has_time: bool = False
    is_elapsed: bool = False  # hours beyond 24
    is_percent: bool = False
    decimals: int = 0  # that are always shown
    digits: int = 0  # of an integer that is padded with zeros, such as a postal code


GENERAL: Final = NumberFormat()


def built_in_format(number: int) -> NumberFormat:
    return read_format(_BUILT_IN[number]) if number in _BUILT_IN else GENERAL


def read_format(code: str) -> NumberFormat:
    """Read the first section of a format code, which is the one for positive numbers."""
    bare = _LITERALS.sub("", code).partition(";")[0]
    is_elapsed = _ELAPSED.search(bare) is not None
    bare = _BRACKETS.sub("", bare).lower()
    if bare in {"", "@", "general", "standard"} and not is_elapsed:
        return GENERAL
    has_time = is_elapsed or "h" in bare or "s" in bare
    has_date = "y" in bare or "d" in bare or ("m" in bare and not has_time)
    if has_date or has_time:
        return NumberFormat(has_date=has_date, has_time=has_time, is_elapsed=is_elapsed)
    decimals = _DECIMALS.search(bare)
    return NumberFormat(
        is_percent="%" in bare,
        decimals=len(decimals[1]) if decimals and "e" not in bare else 0,
        digits=len(bare) if set(bare) == {"0"} else 0,
    )


def number_text(raw: str, number_format: NumberFormat = GENERAL, *, is_1904: bool = False) -> str:
    """Return a number as text; what is no number stays as it is."""
    if number_format.has_date or number_format.has_time:
        return _date_text(raw, number_format, is_1904=is_1904) or plain_number(raw)
    if number_format.is_percent:
        percent = plain_number(raw, factor=100)
        return f"{percent}%" if percent else raw
    text = plain_number(raw) or raw
    if number_format.decimals and re.fullmatch(r"-?\d+(\.\d*)?", text):
        whole, _, fraction = text.partition(".")
        return f"{whole}.{fraction.ljust(number_format.decimals, '0')}"
    return text.zfill(number_format.digits) if text.isdecimal() else text


def plain_number(raw: str, *, factor: int = 1) -> str:
    """Return a number without exponent and without digits of binary rounding; integers are exact."""
    if raw.isdecimal() and raw.isascii() and raw[0] != "0" and len(raw) <= _DIGITS_MAX and factor == 1:
        return raw
    try:
        value = Decimal(raw.strip()) * factor if len(raw) <= _DIGITS_MAX else Decimal("NaN")
    except InvalidOperation:
        return ""
    if not value.is_finite():
        return ""
    if value and abs(value.adjusted()) > _EXPONENT_MAX and not raw.strip().lstrip("-").isdecimal():
        return str(value.normalize(_PRECISION))
    if value == value.to_integral_value(context=Context(prec=2 * _DIGITS_MAX)):
        return str(int(value))
    return f"{value.normalize(_PRECISION):f}"


def _date_text(raw: str, number_format: NumberFormat, *, is_1904: bool) -> str:
    """Return a serial number of days as date, time or duration; empty if it is none."""
    try:
        serial = float(raw)
    except ValueError:
        return ""
    if not 0 <= serial < _SERIAL_MAX or (
        _LEAP_DAY <= serial < _LEAP_DAY + 1 and number_format.has_date and not is_1904
    ):
        return ""
    milliseconds = round(serial * _DAY_SECONDS * 1000)
    if abs(milliseconds - round(milliseconds, -3)) <= 2:  # a double holds about this much of a date's time
        milliseconds = round(milliseconds, -3)
    if number_format.is_elapsed:
        minutes, seconds = divmod(milliseconds // 1000, 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    epoch = _EPOCH_1904 if is_1904 else _EPOCH_1900 + timedelta(days=serial < _LEAP_DAY)
    moment = epoch + timedelta(milliseconds=milliseconds)
    precision = "milliseconds" if milliseconds % 1000 else "seconds"
    if not number_format.has_date:
        return moment.time().isoformat(precision)
    if not number_format.has_time and milliseconds % (_DAY_SECONDS * 1000) == 0:
        return moment.date().isoformat()
    return moment.isoformat("T", precision)
