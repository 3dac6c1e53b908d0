"""retrieval/vllm/replica.py: when a server may be asked."""

from __future__ import annotations

import pytest

from winnow.retrieval.vllm.client import CallFailed, Fault, VllmClient
from winnow.retrieval.vllm.replica import AFTER, Event, Patience, Replica, Standing

PATIENCE = Patience()


def proven() -> Replica:
    replica = Replica(VllmClient("http://127.0.0.1:1"), PATIENCE)
    replica.passed(took=0.2, now=0.0)
    return replica


def failure(fault: Fault) -> CallFailed:
    return CallFailed(fault, f"it was {fault}")


def test_the_table_knows_every_standing() -> None:
    """What is not in it cannot happen, and every standing can be left."""
    assert set(AFTER) == set(Standing)
    assert all(AFTER.values())
    assert Event.LOST not in AFTER[Standing.LEFT_ALONE], "what is lost already cannot be lost"


def test_a_lost_connection_is_enough() -> None:
    """It may come back as another server, and must be proven first."""
    replica = proven()
    assert replica.failed(failure(Fault.GONE), since=1.0)
    assert replica.standing is Standing.LEFT_ALONE
    assert replica.report.problem == "it was gone"


def test_broken_answers_are_borne_until_they_are_three_in_a_row() -> None:
    """One answer between them, and they are counted anew."""
    replica = proven()
    assert not any(replica.failed(failure(Fault.BROKEN), since=1.0) for _ in range(PATIENCE.failures_max - 1))
    replica.answered(1.0)
    assert [replica.failed(failure(Fault.BROKEN), since=1.0) for _ in range(PATIENCE.failures_max)] == [
        False,
        False,
        True,
    ]


def test_a_busy_server_is_not_lost() -> None:
    """However often it says so."""
    replica = proven()
    assert not any(replica.failed(failure(Fault.BUSY), since=1.0) for _ in range(10))
    assert replica.standing is Standing.PROVEN


def test_calls_that_were_under_way_tell_nothing_new() -> None:
    """Ten calls meet the same closed connection: it is lost once."""
    replica = proven()
    assert [replica.failed(failure(Fault.GONE), since=1.0) for _ in range(3)] == [True, False, False]


def test_calls_from_before_its_proof_tell_nothing_of_it() -> None:
    """Ten calls were under way when it was lost; those that end after it has come back do not lose it again."""
    replica = proven()
    assert replica.failed(failure(Fault.GONE), since=1.0)
    replica.passed(took=0.1, now=5.0)
    for _ in range(PATIENCE.failures_max):
        assert not replica.failed(failure(Fault.GONE), since=4.9)
        assert not replica.stayed_silent(since=1.0, now=9.0, detail="silence")
    assert replica.standing is Standing.PROVEN


@pytest.mark.parametrize(("since", "now", "lost"), [(10.0, 11.9, False), (10.0, 12.0, True), (4.0, 12.0, False)])
def test_silence_counts_where_there_was_time_and_nobody_was_answered(*, since: float, now: float, lost: bool) -> None:
    """A caller that waits for a millisecond must not take the server from everybody."""
    replica = proven()
    replica.answered(5.0)
    silences = [replica.stayed_silent(since=since, now=now, detail="silence") for _ in range(PATIENCE.failures_max)]
    assert silences[-1] is lost


def test_pauses_grow_and_are_bounded() -> None:
    """And begin anew once it has passed."""
    replica = proven()
    replica.failed(failure(Fault.GONE), since=1.0)
    pauses = []
    for _ in range(5):
        pauses.append(replica.pause)
        replica.failed_proof("still not", was_gone=True)
    assert pauses == [0.25, 0.5, 1.0, 1.0, 1.0]
    replica.passed(took=0.1, now=0.0)
    assert (replica.pause, replica.report.problem) == (0.25, None)


def test_a_server_may_be_away_for_days() -> None:
    """It is tried once a second all the while, and no number grows too large for that."""
    replica = proven()
    replica.failed(failure(Fault.GONE), since=1.0)
    for _ in range(5_000):
        replica.failed_proof("still not", was_gone=True)
    assert replica.pause == PATIENCE.pause_seconds_max


def test_a_proof_may_take_long_after_a_start_only() -> None:
    """A server that was there all the time answers as fast as before, or is still ill."""
    replica = Replica(VllmClient("http://127.0.0.1:1"), PATIENCE)
    assert replica.proof_seconds == PATIENCE.proof_seconds_max
    replica.passed(took=0.01, now=0.0)
    assert replica.proof_seconds == PATIENCE.proof_seconds_short
    replica.failed(failure(Fault.GONE), since=1.0)
    assert replica.proof_seconds == PATIENCE.proof_seconds_max
