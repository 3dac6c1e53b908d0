"""Parquet: every type of Arrow becomes JSON by its stated rule, or its row is rejected with the column's name."""

from __future__ import annotations

import datetime as dt
import json
import struct
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.corpus import Record, Reject, check_entries
from winnow.indexer.decoding.arrow_values import convert_rows
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.errors import CorpusUnreadable

CONVERTED: list[tuple[Any, Any]] = [
    (pa.array([True]), True),
    (pa.array([-(2**63)]), -(2**63)),
    (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    (pa.array([0.1]), 0.1),
    (pa.array([np.float16(1.5)]), 1.5),
    (pa.array([float("nan")]), None),
    (pa.array([None], pa.null()), None),
    (pa.array([Decimal("19.90")], pa.decimal128(10, 2)), 19.9),
    (pa.array([Decimal("20.00")], pa.decimal128(10, 2)), 20),
    (pa.array([Decimal("12345678901234567890.10")], pa.decimal128(22, 2)), "12345678901234567890.10"),
    (pa.array([Decimal("1E+3")], pa.decimal128(30, 0)), "1000"),
    (pa.array(["民法"], pa.large_string()), "民法"),
    (pa.array(["民法"], pa.string_view()), "民法"),
    (pa.array(["民法".encode()], pa.binary()), "民法"),
    (pa.array([b"abc"], pa.binary(3)), "abc"),
    (pa.array([dt.date(2020, 1, 2)]), "2020-01-02"),
    (pa.array([dt.date(2020, 1, 2)], pa.date64()), "2020-01-02"),
    (pa.array([4_000_000], pa.date32()), "+12921-08-18"),
    (pa.array([-800_000], pa.date32()), "-0221-09-04"),
    (pa.array([1_577_934_245], pa.timestamp("s")), "2020-01-02T03:04:05"),
    (pa.array([1_577_934_245_000_000_001], pa.timestamp("ns")), "2020-01-02T03:04:05.000000001"),
    (pa.array([250], pa.timestamp("ms", tz="Asia/Shanghai")), "1970-01-01T00:00:00.25+00:00"),
    (pa.array([400_000_000_000], pa.timestamp("s")), "+14645-06-30T15:06:40"),
    (pa.array([dt.time(3, 4, 5, 250_000)]), "03:04:05.25"),
    (pa.array([0], pa.time32("s")), "00:00:00"),
    (pa.array([dt.timedelta(seconds=90)]), 90),
    (pa.array([1_500], pa.duration("ms")), 1.5),
    (pa.array([[1, None]]), [1, None]),
    (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [1, 2]),
    (pa.array([[]], pa.large_list(pa.int8())), []),
    (pa.array([{"a": dt.date(2020, 1, 2), "b": [{"c": b"x"}]}]), {"a": "2020-01-02", "b": [{"c": "x"}]}),
    (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), {"a": 1}),
    (pa.array([[(1, "a")]], pa.map_(pa.int8(), pa.string())), [[1, "a"]]),
    (pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8())), [["a", 1], ["a", 2]]),
    (pa.array(["a"]).dictionary_encode(), "a"),
    (pa.RunEndEncodedArray.from_arrays([1], ["a"]), "a"),
    (pa.array([uuid.UUID(int=7).bytes], pa.uuid()), "00000000-0000-0000-0000-000000000007"),
]
REFUSED: list[tuple[Any, str]] = [
    (pa.array([b"\xff\xd8\xff"]), "column 'x': the bytes are not UTF-8 text"),
    (pa.array([b"a\0b"]), "column 'x': the bytes are not UTF-8 text"),
    (pa.array([{"y": [b"\xff"]}]), "column 'x': the bytes are not UTF-8 text"),
    (pa.array([b"\xff"]).cast(pa.string(), safe=False), "column 'x': the text is not UTF-8"),
    (pa.array([float("-inf")]), "column 'x': JSON cannot represent infinity"),
    (pa.array([-(2**63)], pa.timestamp("us")), "column 'x': the timestamp is out of range"),
    (
        pa.array([pa.MonthDayNano([1, 2, 3])]),
        "column 'x': JSON cannot represent values of type month_day_nano_interval",
    ),
]


def names(cases: list[tuple[Any, Any]]) -> list[str]:
    return [f"{array.type}-{number}" for number, (array, _) in enumerate(cases)]


@pytest.mark.parametrize(("array", "expected"), CONVERTED, ids=names(CONVERTED))
def test_a_value_becomes_json_by_its_rule(array: Any, expected: Any):
    """The same type and value, which JSON gives back as it is."""
    ((row, unfit),) = convert_rows(pa.record_batch({"x": array}))
    assert unfit is None
    assert (row["x"], type(row["x"])) == (expected, type(expected))
    assert json.loads(json.dumps(row["x"])) == expected


@pytest.mark.parametrize(("array", "reason"), REFUSED, ids=names(REFUSED))
def test_what_cannot_be_json_names_its_column(array: Any, reason: str):
    """The other columns of the row are there."""
    ((row, unfit),) = convert_rows(pa.record_batch({"id": ["a"], "x": array}))
    assert row == {"id": "a"}
    assert unfit is not None
    assert unfit.reason.startswith(reason)


@given(moment=st.datetimes(), unit=st.sampled_from(["ms", "us"]))
def test_timestamps_agree_with_the_standard_library(moment: dt.datetime, unit: str):
    """What is written is read back as the same moment, for all years that the standard library has."""
    exact = moment if unit == "us" else moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
    ((row, _),) = convert_rows(pa.record_batch({"x": pa.array([exact], pa.timestamp(unit))}))
    written = row["x"]
    assert isinstance(written, str)
    assert dt.datetime.fromisoformat(written) == exact


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=2, allow_nan=False, allow_infinity=False))
def test_a_decimal_of_15_digits_is_an_exact_number(value: Decimal):
    """The float that JSON carries is written with the digits of the decimal."""
    ((row, _),) = convert_rows(pa.record_batch({"x": pa.array([value], pa.decimal128(15, 2))}))
    assert Decimal(repr(row["x"])) == value


def test_a_bad_row_does_not_end_the_run(tmp_path: Path):
    """Bytes without the mark of a text are text, an unfit value rejects its own row by number and id."""
    path = tmp_path / "a.PARQUET"
    columns = {
        "id": pa.array([b"a", b"b", b"c"], pa.binary()),
        "text": pa.array(["正文".encode()] * 3, pa.binary()),
        "seen": pa.array([1, None, 400_000_000_000_000], pa.timestamp("ms")),
        "raw": pa.array([b"ok", b"\xff", None], pa.binary()),
    }
    pq.write_table(pa.table(columns), path)
    first, second, third = check_entries(open_corpus(str(path)).entries())
    assert isinstance(first, Record)
    assert first.document.text == "正文"
    assert first.document.metadata == {"seen": "1970-01-01T00:00:00.001", "raw": "ok"}
    assert isinstance(second, Reject)
    assert (second.id, second.place.line) == ("b", 2)
    assert second.reason.startswith("column 'raw'")
    assert isinstance(third, Record)
    assert third.document.metadata["seen"] == "+14645-06-30T15:06:40"


def test_old_timestamps_of_spark_are_not_wrapped(tmp_path: Path):
    """Of 96 bits, and beyond 2262, where nanoseconds of 64 bits begin again in 1677."""
    path = tmp_path / "a.parquet"
    moments = pa.array([16_725_225_600], pa.timestamp("s"))
    table = pa.table({"id": ["a"], "text": ["t"], "until": moments})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    (entry,) = open_corpus(str(path)).entries()
    assert isinstance(entry, Record)
    assert entry.document.metadata == {"until": "2500-01-01T00:00:00"}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"id": ["a"], "note": ["t"]},
            r"none of the columns 'text', .*. The columns are 'id', 'note'; choose one with --text-field",
        ),
        (
            {"key": ["a"], "text": ["t"]},
            r"none of the columns '_id', .*. The columns are 'key', 'text'; choose one with --id-field",
        ),
    ],
)
def test_a_missing_column_is_said_once_with_those_there_are(tmp_path: Path, columns: dict[str, Any], said: str):
    """Not once for every row."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(CorpusUnreadable, match=said):
        list(open_corpus(str(path)).entries())


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    """Of which one would be lost without a word."""
    path = tmp_path / "a.parquet"
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array(["t"]), pa.array([1]), pa.array([2])], ["id", "text", "y", "y"]
    )
    pq.write_table(table, path)
    with pytest.raises(CorpusUnreadable, match="several columns are named 'y'"):
        list(open_corpus(str(path)).entries())


def test_the_doubles_of_a_float_column_are_its_own():
    """A float of 32 bits is widened, not written anew."""
    value = struct.unpack("f", struct.pack("f", 0.1))[0]
    ((row, _),) = convert_rows(pa.record_batch({"x": pa.array([0.1], pa.float32())}))
    assert row["x"] == value
