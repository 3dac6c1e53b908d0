"""The tree of errors that is drawn at the top of retrieval/errors.py is the tree of classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from winnow.retrieval import errors


def drawn(text: str) -> Iterator[tuple[str, str]]:
    """(error, its parent), line by line."""
    above: dict[int, str] = {}
    for line in text.splitlines():
        if found := re.match(r"^ {4}([│├└─ ]*)(\w+)", line):
            depth, name = len(found[1]) // 4, found[2]
            above[depth] = name
            if depth:
                yield name, above[depth - 1]


def defined() -> set[tuple[str, str]]:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.WinnowError)]
    return {(kind.__name__, kind.__base__.__name__) for kind in kinds if kind is not errors.WinnowError}


def test_the_drawing_is_the_tree() -> None:
    """Each error once, below the class that it derives from."""
    pairs = list(drawn((errors.__doc__ or "").partition("Rule 1")[0]))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == defined()
