"""`winnow mcp`: the tools of MCP on standard input and output."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.api.cli.options import DEVICE, EMBEDDER, RERANKER, SERVICE, TenantOption, open_tenant, with_settings
from winnow.api.cli.terminal import Terminal
from winnow.api.settings import Settings
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.mcp.library import Library


@with_settings("data", *SERVICE, *EMBEDDER, *RERANKER, *DEVICE)
def mcp(
    *,
    collection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Search this collection where a call names none.")
    ] = None,
    instruction: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What counts as relevant where a call does not say: a text, or NAME@VERSION."
        ),
    ] = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
) -> None:
    """Serve search tools to a chat program, by the Model Context Protocol on standard input and output.

    The program starts this command itself. Over HTTP, `winnow serve` has the same tools at /mcp.
    """
    from winnow.api.mcp.library import Defaults
    from winnow.api.mcp.mounted import is_installed

    if not is_installed():
        raise SettingInvalid("the Model Context Protocol is not installed; run: pip install 'winnow-search[mcp]'")
    defaults = Defaults(collection=collection, instruction=instruction)
    library = _of_service(settings, defaults) if settings.url else _of_folder(settings, tenant, defaults)
    Terminal().say("Serving MCP on standard input and output.")

    from winnow.api.mcp.server import make_server

    make_server(_always(library)).run("stdio")


def _always(library: Library) -> Callable[[Any], Library]:
    return lambda _: library


def _of_service(settings: Settings, defaults: Any) -> Library:
    from winnow.api.mcp.remote import RemoteLibrary

    assert settings.url is not None, "the data folder is asked. This is a bug."
    return RemoteLibrary(settings.url, key=settings.api_key, defaults=defaults)


def _of_folder(settings: Settings, tenant: str, defaults: Any) -> Library:
    from winnow.api.assemble import assemble
    from winnow.api.mcp.library import ServiceLibrary
    from winnow.api.search.records import Answer, Question
    from winnow.retrieval.deadline import Deadline

    _, owner = open_tenant(settings, tenant)
    parts = assemble(settings)

    async def ask(question: Question) -> Answer:
        return await parts.search.answer(question, Deadline.after_ms(settings.timeout_ms))

    return ServiceLibrary(parts, tenant=owner, ask=ask, defaults=defaults)
