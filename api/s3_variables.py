"""Access to S3, from the variables that AWS's own tools read."""

from __future__ import annotations

from collections.abc import Mapping

from winnow.api.setting_values import url
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.files.s3_access import S3Access


def access_of(environment: Mapping[str, str]) -> S3Access:
    """Return what is set. The object store finds the rest, such as a key, in profiles and roles of the machine.

    Raises `SettingInvalid`.
    """

    def first(*names: str) -> str | None:
        return next((environment[name] for name in names if environment.get(name)), None)

    endpoint = first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    try:
        endpoint = None if endpoint is None else url(endpoint)
    except ValueError as error:
        raise SettingInvalid(f"AWS_ENDPOINT_URL: {error}") from None  # it may hold a password
    access = S3Access(
        endpoint=endpoint,
        region=first("AWS_REGION", "AWS_DEFAULT_REGION"),
        key_id=first("AWS_ACCESS_KEY_ID"),
        secret=first("AWS_SECRET_ACCESS_KEY"),
        session_token=first("AWS_SESSION_TOKEN"),
    )
    if (access.key_id is None) != (access.secret is None):
        raise SettingInvalid("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together")
    return access
