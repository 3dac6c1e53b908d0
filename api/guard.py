"""Is whoever asks allowed to ask this? Answered before anything of a body is read.

    router = APIRouter(route_class=GuardedRoute)

A route class, not a dependency: the framework reads and parses a body before it asks its dependencies, and a route
could forget to depend on anything.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.access import Principal
from api.assemble import Parts
from api.scopes import NEEDED, OPEN, Needed
from retrieval.catalog import TenantName
from retrieval.errors import KeyRefused, NotPermitted

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """A route that asks for the scope that api/scopes.py names for it; without a line there it cannot be made."""

    def get_route_handler(self) -> Handler:
        needed = _needed(self.path, self.methods or ())
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if needed != OPEN:
                principal = await _principal(request)
                principal.require(needed)
                request.state.principal = principal
            return await handle(request)

        return guarded


def parts_of(request: Request) -> Parts:
    parts = request.app.state.parts
    assert isinstance(parts, Parts), "create_app sets it. This is a bug."
    return parts


async def principal_of(request: Request) -> Principal:
    """Who asks, on any route that is not open."""
    principal = request.state.principal
    assert isinstance(principal, Principal), "every route that wants to know is guarded. This is a bug."
    return principal


async def tenant_of(request: Request) -> TenantName:
    """The tenant whose key came with the request."""
    return (await principal_of(request)).tenant


async def anybody_of(request: Request) -> Principal | None:
    """Who asks, on a route that is open; None where that is nobody whom we know."""
    try:
        return await _principal(request)
    except (KeyRefused, NotPermitted):
        return None


Caller = Annotated[Principal, Depends(principal_of)]
Tenant = Annotated[TenantName, Depends(tenant_of)]
Anybody = Annotated[Principal | None, Depends(anybody_of)]


def _needed(path: str, methods: Iterable[str]) -> Needed:
    found = {NEEDED.get((method, path)) for method in methods}
    needed = found.pop() if len(found) == 1 else None
    assert needed is not None, f"{sorted(methods)} {path} has no line in api/scopes.py. This is a bug."
    return needed


async def _principal(request: Request) -> Principal:
    headers = request.headers
    return await parts_of(request).access.principal(
        authorization=headers.get("authorization"), host=headers.get("host")
    )
