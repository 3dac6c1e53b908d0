"""Ask as one of the tenants, and look through everything that comes back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from tests.tenants.service import Operation, Service
from tests.tenants.world import Collection, Tenant, World, words_of
from winnow.api.http.problems import MEDIA_TYPE
from winnow.api.http.routes.access import router as access
from winnow.api.http.routes.health import router as health

NOT_COUNTED: Final = {route.path for router in (access, health) for route in router.routes} | {
    "/",
    "/docs",
    "/ui",
    "/ui/{path:path}",
    "/openapi.json",
    "/openapi-tools.json",
    "/v1/limits",
    "/v1/models",
    "/v1/models/{name:path}",
}
Asked = Any  # the client's answer


class Asking:
    """One run: the service, the model of it, and what was found wrong."""

    def __init__(self, service: Service, world: World) -> None:
        self.service = service
        self.world = world
        self.chances = world.chances
        self.asked: Counter[Operation] = Counter()
        self.statuses: Counter[int] = Counter()
        self.refusals: Counter[tuple[int, str]] = Counter()  # status, and its problem's code
        self.foreign = 0  # ids, names and words of others that were sent
        self.leaks: list[str] = []
        self.differences: list[str] = []

    def ask(
        self,
        tenant: Tenant | None,
        operation: Operation,
        body: Any = None,
        *,
        expect: int | Iterable[int],
        query: str = "",
        shown: Iterable[str] = (),
        form: Any = None,
        **places: str,
    ) -> Asked:
        """As this tenant, or with None as the operator; `places` are what stands in the path.

        `shown` are words of others that the question entitles it to. `form` is sent in place of a body.
        A status that was not expected is a difference.
        """
        method, path = operation
        url = path.replace(":path", "").format_map({name: quote(place, safe="") for name, place in places.items()})
        headers, query = self._lies(tenant, query)
        sent = (url + query + json.dumps(body, ensure_ascii=False) + str(headers) + str(places) + str(form)).lower()
        key = self.service.operator if tenant is None else tenant.key
        answer = self.service.ask(key, method, url + query, body, form=form, **headers)
        self.asked[operation] += 1
        self.statuses[int(answer.status_code)] += 1
        if answer.is_error:
            self.refusals[int(answer.status_code), self._refused(operation, answer)] += 1
        if tenant is not None:
            self.foreign += sum(not word.startswith(f"zq{tenant.number:03d}") for word in words_of(sent))
            tenant.requests += path not in NOT_COUNTED and answer.status_code != 403
        said = answer.text + "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        where = f"{tenant.name if tenant else 'operator'} {method} {url}{query} {json.dumps(body)[:300]}"
        for word in self.world.leaked(tenant, said, sent=sent, shown=shown):
            self.leaks.append(f"{word} in the answer {answer.status_code} to {where}")
        expected = {expect} if isinstance(expect, int) else set(expect)
        if answer.status_code not in expected:
            self.differs(f"{answer.status_code} in place of {sorted(expected)} to {where}: {answer.text[:300]}")
        return answer

    def _refused(self, operation: Operation, answer: Asked) -> str:
        """The code of its problem. One that may pass says when to come again."""
        if answer.headers.get("content-type") != MEDIA_TYPE:
            return f"without a problem, of {' '.join(operation)}"
        if answer.status_code in {429, 503} and "retry-after" not in answer.headers:
            self.differs(f"{answer.status_code} of {' '.join(operation)} does not say when to come again")
        return str(answer.json()["error"]["code"])

    def same(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            self.differs(f"{what}: {found!r:.400} in place of {expected!r:.400}")

    def differs(self, what: str) -> None:
        self.differences.append(what)

    def widened(self, tenant: Tenant, body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Now and then a body that says whose it is, which every body of ours refuses; and whether it does."""
        if self.chances.random() < 0.1:
            field = self.chances.choice(("tenant", "owner", "tenant_name"))
            return body | {field: self.world.other(tenant).name}, True
        return body, False

    def filter_of(self, tenant: Tenant, collection: Collection | None) -> tuple[Any, Any, set[str]]:
        """A filter as it is sent, the test that it means, and the attributes that it names."""
        other = self.world.other(tenant)
        theirs = next(iter(other.collections.values())).canary_key if other.collections else "none"
        line = self.chances.choice("ab")
        own = collection.canary_key if collection else "none"
        value = next((each.value for each in collection.documents.values()), "none") if collection else "none"
        return self.chances.choice([
            (None, lambda _: True, set()),
            ({"type": "eq", "key": "line", "value": line}, lambda found: found.line == line, {"line"}),
            ({"type": "eq", "key": own, "value": value}, lambda found: found.value == value, {own}),
            ({"type": "ne", "key": theirs, "value": "x"}, lambda _: True, {theirs}),
            ({"type": "eq", "key": "tenant", "value": other.name}, lambda _: False, {"tenant", "never"}),
            ({"type": "or", "filters": [{"type": "ne", "key": "line", "value": "x"},
                                        {"type": "eq", "key": "line", "value": other.name}]},
             lambda _: True, {"line"}),
        ])  # fmt: skip

    def _lies(self, tenant: Tenant | None, query: str) -> tuple[dict[str, str], str]:
        """Headers and parameters with another tenant's name, which mean nothing."""
        if tenant is None or self.chances.random() < 0.7:
            return {}, query
        other = self.world.other(tenant)
        header = self.chances.choice(("x-tenant", "x-winnow-tenant", "tenant", "x-forwarded-user", "x-api-key"))
        said = other.key_id if header == "x-api-key" else other.name
        return {header: said}, f"{query}&tenant={other.name}" if query else f"?tenant={other.name}"
