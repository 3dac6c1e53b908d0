"""Parsers for the values of settings, one per type. All raise `ValueError` with a sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.files.s3_access import BucketRoot, S3Access
from winnow.retrieval.model.backend import BACKENDS, Backend
from winnow.retrieval.model.hub import ModelSource

CACHE_MB_MAX: Final = 1_000_000  # megabytes; more than any machine has
CACHE_SECONDS_MAX: Final = 31 * 24 * 3_600  # a month; longer than a service runs unattended
CHUNKS_MAX: Final = 1_000_000_000  # chunks; never folds by their number
KEPT_MAX: Final = 100  # generations; each is as large as the vectors are
RECALL_TARGET_MIN: Final = 0.5  # below it an index misses more than it finds

_URL: Final = re.compile(r"[A-Za-z][\w.+-]+:/")  # as a path, the second slash is lost


def text(raw: str) -> str:
    if not raw.strip():
        raise ValueError("it is empty")
    return raw


def any_text(raw: str) -> str:
    """Also an empty one."""
    return raw


def ocr_command(raw: str) -> tuple[str, ...]:
    """Split a command line as a shell does; an empty one is no command."""
    try:
        arguments = tuple(shlex.split(raw))
    except ValueError as error:
        raise ValueError(f"it is not a command line: {error}") from None
    if arguments and "{file}" not in " ".join(arguments[1:]):
        raise ValueError("its arguments must contain {file}, such as: ./ocr.sh {file} {page}")
    return arguments


def folder(raw: str) -> Path:
    if _URL.match(raw):
        raise ValueError("it must be a local folder")
    return Path(text(raw)).expanduser()


def data_place(raw: str) -> Path | BucketRoot:
    """A local folder, or s3://BUCKET/PREFIX; its keys come from elsewhere."""
    if not _URL.match(raw):
        return folder(raw)
    scheme, _, rest = raw.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket or any(mark in bucket for mark in "@?#:"):
        raise ValueError("it must be a local folder or s3://BUCKET/PREFIX; put credentials into AWS_ variables")
    if not prefix.strip("/"):
        raise ValueError(f"it has no path in the bucket; write for example s3://{bucket}/winnow")
    return BucketRoot(url=f"s3://{bucket}/{prefix.strip('/')}", access=S3Access())


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            number = int(raw)
        except ValueError:
            raise ValueError("it must be a whole number") from None
        if not least <= number <= most:
            raise ValueError(f"it must be between {least} and {most}")
        return number

    return parse


megabytes: Final = whole(0, CACHE_MB_MAX)
seconds: Final = whole(1, CACHE_SECONDS_MAX)
pause: Final = whole(0, CACHE_SECONDS_MAX)  # 0 turns off what comes after it
chunks: Final = whole(0, CHUNKS_MAX)


def share(least: float, most: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            number = float(raw)
        except ValueError:
            raise ValueError("it must be a number") from None
        if not least <= number <= most:  # also refuses NaN
            raise ValueError(f"it must be between {least} and {most}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return raw

    return parse


def gpu_or_cpu(raw: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", raw):
        raise ValueError("it must be cpu, cuda or cuda:N")
    return raw


def yes_or_no(raw: str) -> bool:
    """true, yes, on, 1, and their opposites."""
    word = raw.strip().lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("it must be true or false")


def url(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        host, _ = parts.hostname, parts.port  # reading the port refuses one that is no number
    except ValueError:
        raise ValueError("it must be a URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("it must look like http://HOST:PORT")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it must not have a user, query or fragment")
    return raw.rstrip("/")


def key(raw: str) -> str:
    """A key for a header of HTTP."""
    if not raw.isascii() or not raw.isprintable() or " " in raw or not raw:
        raise ValueError("it must be visible ASCII characters without blanks")
    return raw


def database_url(raw: str) -> str:
    """The driver of the database reads the rest."""
    if urlsplit(raw).scheme not in {"postgresql", "postgresql+psycopg", "postgres"}:
        raise ValueError("it must look like postgresql://USER@HOST/DATABASE")
    return raw


def service_url(raw: str) -> str:
    """Address of a winnow service, as clients are told it: with or without /v1."""
    return url(raw.strip()).rstrip("/").removesuffix("/v1")


def urls(raw: str) -> tuple[str, ...]:
    """URLs of servers of one model, separated by commas."""
    listed = tuple(url(each.strip()) for each in raw.split(","))
    if len(set(listed)) < len(listed):
        raise ValueError("it names a server twice")
    return listed


def model_source(raw: str) -> ModelSource:
    try:
        return ModelSource(raw)
    except ValueError:
        raise ValueError(f"it must be one of {', '.join(ModelSource)}") from None


def backend(raw: str) -> Backend:
    """KIND, or KIND:FILE with a file of the model's folder."""
    kind, colon, file = raw.partition(":")
    found = next((each for each in BACKENDS if each == kind), None)
    if found is None:
        raise ValueError(f"it must be one of {', '.join(BACKENDS)}, or KIND:FILE")
    if colon and (found == "torch" or not file or Path(file).is_absolute() or ".." in Path(file).parts):
        raise ValueError("after the colon of onnx or openvino stands a file of the model's folder")
    return Backend(found, file or None)


def origins(raw: str) -> tuple[str, ...]:
    """Origins of web pages, separated by commas; * means all."""
    return tuple(each if each == "*" else url(each) for each in map(str.strip, raw.split(",")) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherReranker:
    """A reranker in addition to the default, which a collection may choose."""

    model: str  # as `rerank_model`
    urls: tuple[str, ...]  # as `rerank_url`


def further_rerankers(raw: str) -> tuple[FurtherReranker, ...]:
    further = tuple(_further_reranker(each) for each in text(raw).split())
    named = [each.model for each in further]
    for model in named:
        if named.count(model) > 1:
            raise ValueError(f"it names {model} twice")
    return further


def _further_reranker(raw: str) -> FurtherReranker:
    model, equals, where = raw.partition("=")
    if not model:
        raise ValueError(f"{raw!r} names no model; it is MODEL or MODEL=URL[,URL ...], several separated by spaces")
    try:
        return FurtherReranker(model=model, urls=urls(where) if equals else ())
    except ValueError as error:
        raise ValueError(f"{where!r}, the URL of {model}: {error}") from error


def parse_setting(parse: Callable[[str], Any], value: object, origin: str, *, is_switch: bool, is_hidden: bool) -> Any:
    """Parse the value of a setting. All sources share one parser, so that all refuse the same values.

    Raises `SettingInvalid`, which shows the value unless it `is_hidden`.
    """
    if (isinstance(value, bool) and not is_switch) or not isinstance(value, str | int | float | Path):
        raise SettingInvalid(f"{origin} = {value!r}: it must be a text or a number")
    try:
        return parse(str(value))
    except ValueError as error:
        shown = "(hidden)" if is_hidden else repr(str(value))
        raise SettingInvalid(f"{origin} = {shown}: {error}") from error
