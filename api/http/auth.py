"""Authenticates and admits requests: the way of every request to its route.

    router = APIRouter(route_class=MeteredRoute)

First the key, then the tenant's limits, then the body, then a slot for answering; each is checked before the next. This
is a route class, not a dependency: the framework reads and parses a body before dependencies, and a route could forget
its dependency.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import cached_property
from inspect import get_annotations
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from winnow.api.accounting import Bill
from winnow.api.assemble import Services
from winnow.api.http.body_limits import body_limit
from winnow.api.http.request_body import Intake, ReadRequest
from winnow.api.http.request_limits import Gate
from winnow.api.http.scopes import COSTLY, NEEDED, OPEN, Needed
from winnow.api.tenancy.access import Principal
from winnow.retrieval.errors import KeyRefused, NotPermitted
from winnow.retrieval.tenancy import TenantName
from winnow.retrieval.tracing import note_tenant

BODILESS: Final = frozenset({"GET", "HEAD", "DELETE"})  # bodies of these are not read
ALWAYS_ANSWERED: Final = frozenset({"/metrics"})  # a busy service must still report how busy it is
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AuthorizedRoute(APIRoute):
    """A route that requires the scope listed in api/http/scopes.py; without an entry there it cannot be created."""

    def get_route_handler(self) -> Handler:
        needed = _needed(self.path, self.methods or ())
        handle = super().get_route_handler()
        has_body = not BODILESS.issuperset(self.methods or ())
        limit, as_json = body_limit(self.path), self.body_field is not None
        answer = self._plain_answer()

        async def guarded(request: Request) -> Response:
            if needed == OPEN:
                return await handle(request)
            principal = await _principal(request)
            principal.require(needed)
            request.state.principal = principal
            note_tenant(principal.tenant)
            tenant, gate, intake = principal.tenant, gate_of(request), intake_of(request)
            async with self.admitted(request, tenant):
                if self.path in ALWAYS_ANSWERED:
                    return await handle(request)
                if limit.is_streamed and has_body:  # a slot is for answering, not for reading
                    return await handle(request)
                if not has_body:
                    async with gate.held(tenant):
                        return await handle(request)
                async with intake.taken(request, limit, tenant=tenant, as_json=as_json) as read, gate.held(tenant):
                    return (await answer(read) if answer is not None else None) or await handle(read)

        return guarded

    def _plain_answer(self) -> Callable[[ReadRequest], Coroutine[Any, Any, Response | None]] | None:
        """Return how to call an endpoint of a body, the caller and the request; None for any other endpoint.

        It answers None where the body is wrong: the framework then says so. Looking up three arguments takes the
        framework as long as finding the nearest chunks.
        """
        endpoint, body_field, asked = self.endpoint, self.body_field, self.dependant
        if list(get_annotations(endpoint)) != ["body", "caller", "request", "return"] or body_field is None:
            return None
        if [each.call for each in asked.dependencies] != [principal_of] or [body_field] != asked.body_params:
            return None

        async def answer(request: ReadRequest) -> Response | None:
            body, errors = body_field.validate(request.parsed, {}, loc=("body",))
            if errors:
                return None
            response = await endpoint(body=body, caller=request.state.principal, request=request)
            assert isinstance(response, Response), "endpoints build their answers. This is a bug."
            return response

        return answer

    @asynccontextmanager
    async def admitted(self, request: Request, tenant: TenantName) -> AsyncIterator[None]:  # noqa: ARG002
        """Admit the request until it is answered."""
        yield


class MeteredRoute(AuthorizedRoute):
    """A route that a tenant's limits bound and whose cost is charged to it. No shadow is reranked meanwhile.

    A route of `COSTLY` answers only with something on its bill, and no other route adds to one.
    """

    @asynccontextmanager
    async def admitted(self, request: Request, tenant: TenantName) -> AsyncIterator[None]:
        """Raises `QuotaExceeded`."""
        parts = parts_of(request)
        async with parts.accounting.admitted(tenant) as bill:
            request.state.bill = bill
            with parts.shadowing.held():
                yield
            assert bool(bill.items) == self.is_costly, f"{self.path} and api/http/scopes.py differ. This is a bug."

    @cached_property
    def is_costly(self) -> bool:
        return any((method, self.path) in COSTLY for method in self.methods or ())


def parts_of(request: Request) -> Services:
    parts = request.app.state.parts
    assert isinstance(parts, Services), "create_app sets it. This is a bug."
    return parts


def gate_of(request: Request) -> Gate:
    gate = request.app.state.gate
    assert isinstance(gate, Gate), "create_app sets it. This is a bug."
    return gate


def intake_of(request: Request) -> Intake:
    intake = request.app.state.intake
    assert isinstance(intake, Intake), "create_app sets it. This is a bug."
    return intake


def bill_of(request: Request) -> Bill:
    """Where a route of `COSTLY` adds what it computed."""
    bill = request.state.bill
    assert isinstance(bill, Bill), "every metered route has one. This is a bug."
    return bill


async def principal_of(request: Request) -> Principal:
    """Return the caller of a route that is not open."""
    principal = request.state.principal
    assert isinstance(principal, Principal), "the route is guarded. This is a bug."
    return principal


async def tenant_of(request: Request) -> TenantName:
    """Return the tenant of the request's key."""
    return (await principal_of(request)).tenant


async def anybody_of(request: Request) -> Principal | None:
    """Return the caller of an open route, or None if unknown."""
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
    assert needed is not None, f"{sorted(methods)} {path} has no entry in api/http/scopes.py. This is a bug."
    return needed


async def _principal(request: Request) -> Principal:
    headers = request.headers
    return await parts_of(request).access.principal(
        authorization=headers.get("authorization"), host=headers.get("host")
    )
