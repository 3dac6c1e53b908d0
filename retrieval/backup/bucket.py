"""A bucket as the location of a snapshot, through the object store that Lance includes.

Replies to a refused request quote parts of the request. Only their code and message are passed on, with secrets
removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lance.file import LanceFileSession

from winnow.retrieval.backup.place import Advanced, S3Access
from winnow.retrieval.errors import SnapshotCorrupt, SnapshotUnreachable, WriteFailed
from winnow.retrieval.files.durable import FileFacts, facts_of
from winnow.retrieval.store.lance_errors import FOREIGN, panics

RETRIES_MAX: Final = 3  # retries per request; Lance's default of ten takes minutes to fail
RETRY_SECONDS_MAX: Final = 30
REGION_OF_OTHERS: Final = "us-east-1"  # region that stores without regions expect in signatures

_SAID_BY_S3: Final = re.compile(r"<Code>([^<]*)</Code>\s*(?:<Message>([^<]*)</Message>)?")
_PLACE_IN_RUST: Final = re.compile(r",? ?/\S+\.rs:\d+:\d+")
_NO_KEY: Final = "Failed to get AWS credentials"  # followed by the whole search for credentials
_REFUSALS: Final = ("403 Forbidden", "401 Unauthorized", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch",
                    _NO_KEY)  # fmt: skip


class BucketPlace:
    """`s3://BUCKET/PREFIX`. Implements `Place`."""

    def __init__(self, url: str, access: S3Access) -> None:
        self._url = url.rstrip("/")
        self._access = access
        with self._translate_errors("cannot be opened"):
            self._files = LanceFileSession(self._url, storage_options=_options(access))

    @property
    def name(self) -> str:
        return self._url

    def names(self) -> list[str]:
        with self._translate_errors("cannot be listed"):
            return sorted(self._files.list())

    def put(self, name: str, source: Path, advanced: Advanced) -> FileFacts:
        try:
            facts = facts_of(source)
        except OSError as error:
            raise WriteFailed(f"{source}: {error.strerror}") from error
        with self._translate_errors(f"{name} cannot be written"):
            self._files.upload_file(source, name)
        advanced(facts.bytes)
        return facts

    def get(self, name: str, target: Path, advanced: Advanced) -> FileFacts:
        with self._translate_errors(f"{name} cannot be read"):
            if not self._files.contains(name):
                raise SnapshotCorrupt(f"{self.name}: {name} is missing")
            self._files.download_file(name, target)
        try:
            facts = facts_of(target)
        except OSError as error:
            raise WriteFailed(f"{target}: {error.strerror}") from error
        advanced(facts.bytes)
        return facts

    def remove(self, name: str) -> None:
        with self._translate_errors(f"{name} cannot be removed"):
            self._files.delete_file(name)

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        try:
            with panics():
                yield
        except FOREIGN as error:
            said = _said(str(error), self._access.secrets)
            refused = any(word in said for word in _REFUSALS)
            hint = "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL" if refused else ""
            # The cause would put the whole reply into a traceback.
            raise SnapshotUnreachable(f"{self.name}: {what} ({said}){hint}") from None


def _options(access: S3Access) -> dict[str, str]:
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


def _said(message: str, secrets: tuple[str, ...]) -> str:
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
