"""Client of winnow, a search service that follows your instruction.

from winnow_client import Client

with Client("http://127.0.0.1:8000") as winnow:
    found = winnow.search("how do I undo a commit?", collection="docs")
"""

from winnow_client.async_client import AsyncClient
from winnow_client.client import Client
from winnow_client.errors import (
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    Unavailable,
    WinnowError,
)
from winnow_client.uploading import Written
from winnow_client.version import __version__

__all__ = [
    "AsyncClient",
    "AuthenticationFailed",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DeadlineExceeded",
    "InvalidAnswer",
    "InvalidRequest",
    "NotFound",
    "PermissionDenied",
    "RateLimited",
    "ServerError",
    "Unavailable",
    "WinnowError",
    "Written",
    "__version__",
]
