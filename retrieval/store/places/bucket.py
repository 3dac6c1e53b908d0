"""Objects of our own in a bucket: small files, conditional puts, listings and removals, which Lance does not offer.

The only module that names boto3. Every call ends after its timeouts, also if the store is silent. Then one
call at a time asks it, of these and of Lance's (retrieval/concurrency/silence.py), and for next to nothing: what it was
asked for while it was silent it does once it goes on, although no caller waits for that any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from winnow.retrieval.concurrency.silence import Silence
from winnow.retrieval.errors import SettingInvalid, StoreUnavailable
from winnow.retrieval.files.durable import write_errors
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.store.places.object_store import REGION_OF_OTHERS, hint_for, said_by

CONNECT_SECONDS: Final = 5.0
TRIES: Final = 2  # of each request
BLOCK_BYTES: Final = 1 << 20
REMOVED_AT_ONCE: Final = 1_000  # objects; the most that one request may name
_MISSING: Final = frozenset({"404", "NoSuchKey"})
_THERE_ALREADY: Final = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An object in a listing."""

    name: str  # relative to the root
    bytes: int
    written_at: float  # seconds since 1970, by the store's clock


class Bucket:
    """The objects below the root of a deployment. Names are relative to it. Raises `StoreUnavailable`. Thread-safe."""

    def __init__(self, root: BucketRoot) -> None:
        """Raises `SettingInvalid` without boto3."""
        try:  # here: few deployments need it, and importing it takes half a second
            import boto3
            from boto3.exceptions import Boto3Error
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise SettingInvalid(f"--data {root.url} needs boto3: pip install 'winnow-search[bucket]'") from error
        self.root = root
        self.silence = Silence(slow_seconds=root.answer_seconds / 4)  # told by calls of Lance as well
        self._refusal: type[Exception] = ClientError
        self._errors: tuple[type[Exception], ...] = (BotoCoreError, ClientError, Boto3Error)
        access = root.access
        try:
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=access.endpoint,
                region_name=access.region or (REGION_OF_OTHERS if access.endpoint else None),
                aws_access_key_id=access.key_id,
                aws_secret_access_key=access.secret,
                aws_session_token=access.session_token,
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=root.answer_seconds / TRIES,
                    retries={"total_max_attempts": TRIES, "mode": "standard"},
                    s3={"addressing_style": "path" if access.endpoint else "auto"},
                ),
            )
        except self._errors as error:
            raise self._unavailable("cannot be opened", error) from None

    def require_answering(self) -> None:
        """Raise `StoreUnavailable` while the store is silent. One call at a time asks it first."""
        if (refusal := self.silence.refusal(seconds=self.root.answer_seconds)) is not None:
            raise StoreUnavailable(f"{self.root.url}: {refusal}")
        if self.silence.is_silent:
            with self._heard("the bucket cannot be reached"), suppress(self._refusal):
                self._client.head_bucket(Bucket=self.root.bucket)

    def get(self, name: str) -> bytes | None:
        """Return the content of an object, or None if there is none."""
        with self._asking(f"{name} cannot be read"):
            try:
                content: bytes = self._client.get_object(Bucket=self.root.bucket, Key=self._key(name))["Body"].read()
            except self._refusal as error:
                if _code_of(error) in _MISSING:
                    return None
                raise
            return content

    def put(self, name: str, content: bytes) -> None:
        """Write an object. It is durable when this returns."""
        with self._asking(f"{name} cannot be written"):
            self._client.put_object(Bucket=self.root.bucket, Key=self._key(name), Body=content)

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one of this name; return whether it was written."""
        with self._asking(f"{name} cannot be written"):
            try:
                self._client.put_object(Bucket=self.root.bucket, Key=self._key(name), Body=content, IfNoneMatch="*")
            except self._refusal as error:
                if _code_of(error) in _THERE_ALREADY:
                    return False
                raise
            return True

    def upload(self, name: str, path: Path) -> None:
        """Write an object from a file of any size. Raises `WriteFailed` if that cannot be read."""
        with write_errors(path), self._asking(f"{name} cannot be written"):
            self._client.upload_file(str(path), self.root.bucket, self._key(name))

    def download(self, name: str, path: Path) -> bool:
        """Write the content of an object to a file, which is not synced; return whether there is such an object.

        Raises `WriteFailed`.
        """
        with self._asking(f"{name} cannot be read"):
            try:
                body = self._client.get_object(Bucket=self.root.bucket, Key=self._key(name))["Body"]
            except self._refusal as error:
                if _code_of(error) in _MISSING:
                    return False
                raise
            with write_errors(path), path.open("wb") as file:
                for block in body.iter_chunks(BLOCK_BYTES):
                    file.write(block)
            return True

    def listed(self, folder: str) -> Iterator[Listed]:
        """Yield the objects whose names begin with `folder`/, in order of their names."""
        with self._asking(f"{folder} cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.root.bucket, Prefix=self._key(f"{folder}/")
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    yield Listed(
                        name=each["Key"].removeprefix(self._key("")),
                        bytes=int(each["Size"]),
                        written_at=each["LastModified"].timestamp(),
                    )

    def remove_below(self, folder: str) -> None:
        """Remove all objects whose names begin with `folder`/."""
        self.remove([each.name for each in self.listed(folder)])

    def remove(self, names: Sequence[str]) -> None:
        """Remove these objects, those that exist."""
        with self._asking("objects cannot be removed"):
            for start in range(0, len(names), REMOVED_AT_ONCE):
                some = [{"Key": self._key(name)} for name in names[start : start + REMOVED_AT_ONCE]]
                failed = self._client.delete_objects(
                    Bucket=self.root.bucket, Delete={"Objects": some, "Quiet": True}
                ).get("Errors")
                if failed:
                    raise StoreUnavailable(f"{self.root.url}: objects cannot be removed ({failed[0].get('Code')})")

    def _key(self, name: str) -> str:
        return f"{self.root.prefix}/{name}"

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Raises `StoreUnavailable` if `what` cannot be done because the store does not answer or refuses."""
        self.require_answering()
        with self._heard(what):
            yield

    @contextmanager
    def _heard(self, what: str) -> Iterator[None]:
        """Note whether the store answers, and translate its errors."""
        began, is_answered = time.monotonic(), True
        try:
            yield
        except self._errors as error:
            is_answered = isinstance(error, self._refusal)
            if not is_answered:
                self.silence.unanswered(self._said(error), seconds=time.monotonic() - began)
            raise self._unavailable(what, error) from None
        finally:
            if is_answered:
                self.silence.answered()

    def _unavailable(self, what: str, error: Exception) -> StoreUnavailable:
        said = self._said(error)
        return StoreUnavailable(f"{self.root.url}: {what} ({said}){hint_for(said)}")

    def _said(self, error: Exception) -> str:
        return said_by(str(error), self.root.access.secrets)


def _code_of(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
