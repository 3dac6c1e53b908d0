"""The page of errors: the tree of `retrieval/errors.py` with the status, problem code and exit code of each leaf."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Final

from docs.generate.markdown import code, table
from winnow.api.cli.terminal import Exit
from winnow.api.http.problems import STATUS, code_of, problem_of
from winnow.retrieval.errors import CallerError, WinnowError

HEAD: Final = """# Errors

Every error has one line of text. It says what happened, which thing it happened to and, where winnow knows it, what to do next. The command line prints it to standard error and ends with an exit code; HTTP answers with a problem body (RFC 9457).

"""
BODY: Final = """## The problem body

The body has the media type `application/problem+json` and the same fields for every error. Branch on `error.code`; the text may change. `type` is `urn:winnow:problem:` followed by the code. `error.param` names the field or the limit at fault, `limit` is present only when a tenant's limit was met, and `id` is the request's id in the log.

<!-- not run: an answer of the service -->
```json
{body}
```

Other headers: `Retry-After` in seconds comes with every 503 and, when a limit of a tenant is used up, with the 429; `X-Winnow-Limit` names that limit; `WWW-Authenticate: Bearer` comes with a 401. Errors of the framework have the same body: their code is the name of the status, such as `method_not_allowed`. An unexpected failure is a 500 with the code `internal_error`; the log has its details.

"""


def page() -> str:
    """The tree, one table per branch, and the body."""
    sections = "".join(
        f"## {branch.__name__}\n\n{_sentence(branch)}\n\n{table(COLUMNS, _rows(branch))}\n"
        for branch in WinnowError.__subclasses__()
    )
    return HEAD + _exits() + _tree_section() + sections + BODY.format(body=_example())


COLUMNS: Final = ("Error", "Status", "`error.code`", "Exit code", "Message")


def exit_code(kind: type[WinnowError]) -> int:
    """The exit code of a command that ends with this error."""
    return Exit.USAGE if issubclass(kind, CallerError) else Exit.FAILED


def _exits() -> str:
    meanings = {0: "done", **{int(each): MEANING[each] for each in Exit}}
    return (
        "## Exit codes\n\n"
        + table(("Exit code", "Meaning"), ((str(key), said) for key, said in meanings.items()))
        + "\n"
    )


MEANING: Final = {
    Exit.FAILED: "failed, every record was rejected, or a check found a fault",
    Exit.USAGE: "the command or its input is at fault; the same call fails again",
    Exit.REJECTS: "done, but some records were rejected, or there were none",
    Exit.INTERRUPTED: "interrupted; the same command continues where it stopped",
}


def _tree_section() -> str:
    return (
        "## The tree\n\n<!-- not run: a drawing -->\n```text\n"
        + "\n".join([WinnowError.__name__, *_branches(WinnowError, "")])
        + "\n```\n\n"
    )


def _branches(parent: type[WinnowError], indent: str) -> Iterator[str]:
    children = parent.__subclasses__()
    for child in children:
        is_last = child is children[-1]
        yield f"{indent}{'└── ' if is_last else '├── '}{child.__name__}"
        yield from _branches(child, indent + ("    " if is_last else "│   "))


def _rows(branch: type[WinnowError]) -> Iterator[tuple[str, ...]]:
    for child in branch.__subclasses__():
        if child.__subclasses__():
            yield from _rows(child)
        else:
            yield (
                code(child.__name__),
                str(int(STATUS[child])),
                code(code_of(child)),
                str(exit_code(child)),
                _sentence(child),
            )


def _sentence(kind: type[WinnowError]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def _example() -> str:
    from winnow.retrieval.errors import CollectionNotFound

    return json.dumps(problem_of(CollectionNotFound("docs")).body("req_…"), indent=2, ensure_ascii=False)
