"""The options of the object store that Lance includes, and what it says.

Replies to a refused request quote parts of the request. Only their code and message are passed on, with secrets
removed.
"""

from __future__ import annotations

import re
from typing import Final

from winnow.retrieval.files.s3_access import S3Access

RETRIES_MAX: Final = 3  # retries per request; Lance's default of ten takes minutes to fail
RETRY_SECONDS_MAX: Final = 30
REGION_OF_OTHERS: Final = "us-east-1"  # region that stores without regions expect in signatures

_SAID_BY_S3: Final = re.compile(r"<Code>([^<]*)</Code>\s*(?:<Message>([^<]*)</Message>)?")
_PLACE_IN_RUST: Final = re.compile(r",? ?/\S+\.rs:\d+:\d+")
_UNANSWERED: Final = re.compile(
    r"Generic S3 error|error sending request|timed? ?out|connection (?:refused|reset|closed)", re.IGNORECASE
)
_NO_KEY: Final = "Failed to get AWS credentials"  # followed by the whole search for credentials
_REFUSALS: Final = ("403 Forbidden", "401 Unauthorized", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch",
                    _NO_KEY)  # fmt: skip


def options_of(access: S3Access) -> dict[str, str]:
    """Return the options by their names in Lance."""
    region = access.region or (REGION_OF_OTHERS if access.endpoint else None)
    chosen = {
        "aws_endpoint": access.endpoint,
        "aws_region": region,
        "aws_access_key_id": access.key_id,
        "aws_secret_access_key": access.secret,
        "aws_session_token": access.session_token,
        "allow_http": "true" if access.endpoint and access.endpoint.startswith("http://") else None,
        "client_max_retries": str(RETRIES_MAX),
        "client_retry_timeout": str(RETRY_SECONDS_MAX),
    }
    return {name: value for name, value in chosen.items() if value is not None}


def said_by(message: str, secrets: tuple[str, ...]) -> str:
    """Return one line, in the store's own words if it replied, without secrets."""
    answered = _SAID_BY_S3.search(message)
    if _NO_KEY in message:
        said = _NO_KEY
    elif answered:
        said = ": ".join(part for part in answered.groups() if part)
    else:
        said = _PLACE_IN_RUST.sub("", " ".join(message.split()))
    for secret in secrets:
        said = said.replace(secret, "(hidden)")
    return said


def hint_for(said: str) -> str:
    """Return what to do about a refusal, to be appended; nothing for other failures."""
    refused = any(word in said for word in _REFUSALS)
    return "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL" if refused else ""


def is_unanswered(message: str) -> bool:
    """Whether the store was not reached, or refused for now or for its credentials: nothing is wrong with the data."""
    return _UNANSWERED.search(message) is not None or any(word in message for word in _REFUSALS)
