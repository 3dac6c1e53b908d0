"""Signs a message, so that its receiver can tell that it is ours, and new."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

SIGNATURE_HEADER: Final = "Winnow-Signature"


def sign(secrets: Sequence[str], *, at: int, body: bytes) -> str:
    """Return `t=SECONDS,v1=HEX`, with one `v1` for each secret: HMAC-SHA256 of `SECONDS.BODY`."""
    signed = f"{at}.".encode() + body
    digests = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={at}", *(f"v1={digest}" for digest in digests)])
