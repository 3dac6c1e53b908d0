"""The MCP server: its tools and resources. The only module that names the SDK.

`search` and `fetch` have the shape that chat platforms expect of a connector: one text, which is JSON.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Annotated, Any, Final, TypeVar

import orjson
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import Field
from starlette.applications import Starlette

from winnow import __version__
from winnow.api.mcp.library import TOP_K_DEFAULT, Library, ToolSearch
from winnow.retrieval.errors import CallerError, WinnowError
from winnow.retrieval.limits import QUERY_CHARACTERS_MAX, SEARCH_BYTES_MAX

TOP_K_MAX: Final = 50  # passages; more would fill a chatbot's context
_READS: Final = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_INSTRUCTIONS: Final = (
    "Search the collections of a winnow service. `search` returns passages with an id; `fetch` returns the whole "
    "document of an id. Cite the url, or the title if it begins with winnow://."
)

Result = TypeVar("Result")
LibraryOf = Callable[[Context[Any, Any]], Library]

Query = Annotated[str, Field(min_length=1, max_length=QUERY_CHARACTERS_MAX, description="A question, or words.")]


def make_server(library_of: LibraryOf) -> MCPServer[Any]:
    """Build the server; `library_of` returns what the caller of a request may see."""
    with _logging_kept():
        server: MCPServer[Any] = MCPServer("winnow", instructions=_INSTRUCTIONS, version=__version__)

    @server.tool(annotations=_READS, structured_output=False, title="Search")
    async def search(query: Query, ctx: Context[Any, Any]) -> str:
        """Find passages that answer a query, best first."""
        hits = await _told(library_of(ctx).search(ToolSearch(query=query)))
        shown = ("id", "title", "url", "text")
        return _json({"results": [{name: getattr(hit, name) for name in shown} for hit in hits]})

    @server.tool(annotations=_READS, structured_output=False, title="Read a document")
    async def fetch(
        id: Annotated[str, Field(description="Id of a search result.")],  # noqa: A002  the name that platforms use
        ctx: Context[Any, Any],
    ) -> str:
        """Read the whole document of a search result."""
        return _json(asdict(await _told(library_of(ctx).fetch(id))))

    @server.tool(annotations=_READS, structured_output=False, title="Search with a filter")
    async def search_filtered(
        query: Query,
        ctx: Context[Any, Any],
        *,
        collection: Annotated[str | None, Field(description="Name of one collection; all if left out.")] = None,
        filter: Annotated[  # noqa: A002  as in POST /v1/search
            dict[str, Any] | None,
            Field(
                description='Condition on attributes: {"type": "gte", "key": "year", "value": 2020}; types eq, ne, gt, '
                'gte, lt, lte, in, nin; or {"type": "and", "filters": [...]}.'
            ),
        ] = None,
        instruction: Annotated[
            str | None, Field(description="What counts as relevant, in a sentence; or an instruction's name.")
        ] = None,
        top_k: Annotated[
            Annotated[int, Field(ge=1, le=TOP_K_MAX)] | None, Field(description=f"{TOP_K_DEFAULT} if left out.")
        ] = None,
    ) -> str:
        """Find passages in one collection, among documents with certain attributes, ranked as an instruction says."""
        wish = ToolSearch(  # models fill in what they do not mean with null, "" and {}
            query=query,
            collection=collection or None,
            where=filter or None,
            instruction=instruction or None,
            top_k=TOP_K_DEFAULT if top_k is None else top_k,
        )
        return _json({"results": [asdict(hit) for hit in await _told(library_of(ctx).search(wish))]})

    @server.tool(annotations=_READS, structured_output=False, title="List collections")
    async def list_collections(ctx: Context[Any, Any]) -> str:
        """List the collections, with the attributes that a filter may use."""
        return _json({"collections": [asdict(each) for each in await _told(library_of(ctx).collections())]})

    @server.resource("winnow://{collection}/{document}", mime_type="text/plain", title="A document")
    async def document(collection: str, document: str, ctx: Context[Any, Any]) -> str:
        """The text of a document."""
        try:
            return (await library_of(ctx).fetch(f"{collection}/{document}")).text
        except CallerError as error:
            raise ResourceNotFoundError(error.message) from error

    return server


def http_app(server: MCPServer[Any]) -> Starlette:
    """Streamable HTTP without sessions: each request stands alone, so any process of several can answer it.

    The service has checked key and host before, which the SDK cannot know.
    """
    return server.streamable_http_app(
        json_response=True,
        stateless_http=True,
        max_request_body_size=SEARCH_BYTES_MAX,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """The SDK gives a root logger without handlers one of its own; how the service logs is not its business."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


async def _told(asked: Awaitable[Result]) -> Result:
    """Errors of ours become the text that the model reads; others stay crashes."""
    try:
        return await asked
    except WinnowError as error:
        raise ToolError(error.message) from error


def _json(value: Any) -> str:
    return orjson.dumps(value, default=dict).decode()
