"""The signature, against the definition in docs/how-to/stability.md."""

from __future__ import annotations

from tests.stability.webhook_receiver import Received
from winnow.retrieval.webhook.signature import SIGNATURE_HEADER, sign


def test_each_secret_signs_moment_and_body() -> None:
    """A known value, from `printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec_a`; two during a rotation."""
    signed = sign(["whsec_a"], at=1_700_000_000, body=b"{}")
    assert signed == "t=1700000000,v1=" + KNOWN
    both = Received("/", {SIGNATURE_HEADER: sign(["whsec_b", "whsec_a"], at=1_700_000_000, body=b"{}")}, b"{}")
    assert both.headers[SIGNATURE_HEADER].endswith(KNOWN)
    assert (both.is_signed_with("whsec_a"), both.is_signed_with("whsec_b"), both.is_signed_with("x")) == (
        True,
        True,
        False,
    )
    changed = Received("/", both.headers, b"{ }")
    assert not changed.is_signed_with("whsec_a")


KNOWN = "04339dc4f01d6541e8d3b7e4bd93cd2d4f680ccb28592270900b08e49cc09e57"
