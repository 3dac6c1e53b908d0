"""Every error has one status, one code, and a body that other people's clients can read."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from winnow.api.http.problems import STATUS, code_of, problem_of, problem_of_fields
from winnow.api.search.records import REASONS, DegradeReason
from winnow.retrieval import errors


def test_the_table_of_statuses_is_total() -> None:
    """No error can be raised that has no answer, and none is listed that cannot be raised."""
    assert set(STATUS) == errors.leaves()


def test_the_table_of_degrade_reasons_is_total() -> None:
    """Every way in which stage two fails has a reason, and every reason a way."""
    assert set(REASONS) == errors.leaves(errors.RerankError)
    assert set(REASONS.values()) == set(DegradeReason)


def test_codes_are_different_and_stable() -> None:
    """Programs branch on them."""
    assert code_of(errors.CollectionNotFound) == "collection_not_found"
    assert len({code_of(kind) for kind in STATUS}) == len(STATUS)


@pytest.mark.parametrize("kind", sorted(STATUS, key=lambda kind: kind.__name__))
def test_the_body_is_readable_by_all_clients(kind: type[errors.WinnowError]) -> None:
    """OpenAI's client reads `error`, Voyage's and Jina's `detail`, Cohere's `message`: all say the same sentence."""
    problem = problem_of(kind("the detail"))
    body = problem.body("req_1")
    assert body["detail"] == body["message"] == body["error"]["message"]
    assert body["detail"].endswith(": the detail")
    assert body["status"] == STATUS[kind]
    assert body["error"]["code"] == code_of(kind)
    assert body["id"] == "req_1"


def test_who_should_come_back_is_told_when() -> None:
    """503 carries Retry-After, 401 names the scheme, the rest nothing."""
    assert problem_of(errors.Overloaded()).headers == {"Retry-After": "1"}
    assert problem_of(errors.KeyRefused()).headers == {"WWW-Authenticate": "Bearer"}
    assert problem_of(errors.DocumentNotFound()).headers == {}


def test_whose_limit_is_met_is_told_which_and_until_when() -> None:
    """In the body for programs, and in headers for those that read no body; what is stored has no until."""
    used_up = problem_of(errors.QuotaExceeded("600 a minute", limit="requests_per_minute", retry_after_seconds=7))
    assert used_up.headers == {"Retry-After": "7", "X-Winnow-Limit": "requests_per_minute"}
    body = used_up.body("req_1")
    assert (body["status"], body["limit"], body["error"]["param"]) == (429, *["requests_per_minute"] * 2)
    full = problem_of(errors.StorageQuotaExceeded("11 documents; 10 may be", limit="documents"))
    assert (full.status, full.headers) == (403, {"X-Winnow-Limit": "documents"})
    assert "limit" not in problem_of(errors.Overloaded()).body("req_1")


def test_wrong_fields_are_named_and_counted() -> None:
    """A body with a thousand faults is answered with a sentence, not with a megabyte."""
    problem = problem_of_fields(
        [
            {"loc": ("body", "documents", place, "Named", "txet"), "type": "extra_forbidden", "msg": ""}
            for place in range(9)
        ]
    )
    assert problem.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert problem.param == "documents.0.txet"
    assert problem.message.startswith(
        "Invalid request: the field 'documents.0.txet' is unknown; the field 'documents.1.txet'"
    )
    assert problem.message.endswith("; and 4 more")
