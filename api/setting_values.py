"""Which texts may stand for a value of a setting? One parser for each kind; all raise `ValueError`, in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


def text(raw: str) -> str:
    if not raw.strip():
        raise ValueError("it is empty")
    return raw


def folder(raw: str) -> Path:
    return Path(text(raw)).expanduser()


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            number = int(raw)
        except ValueError:
            raise ValueError("it is not a whole number") from None
        if not least <= number <= most:
            raise ValueError(f"it is not between {least} and {most}")
        return number

    return parse


def share(least: float, most: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            number = float(raw)
        except ValueError:
            raise ValueError("it is not a number") from None
        if not least <= number <= most:  # also where it is not a number after all
            raise ValueError(f"it is not between {least} and {most}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"it is none of {', '.join(choices)}")
        return raw

    return parse


def gpu_or_cpu(raw: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", raw):
        raise ValueError("it is none of cpu, cuda, cuda:N")
    return raw


def yes_or_no(raw: str) -> bool:
    """As TOML, shells and people write it."""
    said = raw.strip().lower()
    if said in {"true", "yes", "on", "1"}:
        return True
    if said in {"false", "no", "off", "0"}:
        return False
    raise ValueError("it is neither true nor false")


def url(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        host, _ = parts.hostname, parts.port  # a port that is no number is found out here
    except ValueError:
        raise ValueError("it is no URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("it is not like http://HOST:PORT")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it may have no user, query or fragment")
    return raw.rstrip("/")


def database_url(raw: str) -> str:
    """What exactly is in it, the database's driver reads."""
    if urlsplit(raw).scheme not in {"postgresql", "postgresql+psycopg", "postgres"}:
        raise ValueError("it is not like postgresql://USER@HOST/DATABASE")
    return raw


def urls(raw: str) -> tuple[str, ...]:
    """Several, separated by commas: servers of the same model."""
    listed = tuple(url(each.strip()) for each in raw.split(","))
    if len(set(listed)) < len(listed):
        raise ValueError("it names a server twice")
    return listed


def origins(raw: str) -> tuple[str, ...]:
    """Of web pages, separated by commas; * is all."""
    return tuple(each if each == "*" else url(each) for each in map(str.strip, raw.split(",")) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherReranker:
    """A reranker beside the deployment's own, which a collection may choose."""

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
        raise ValueError(f"{where!r}, where {model} should run: {error}") from error
