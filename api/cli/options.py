"""How is each setting spelt on the command line? One alias for each row of the settings, so that all commands agree.

And which data folder do they name: `opened`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.settings import CONFIG_VARIABLE, Row, Settings, load, rows
from winnow.retrieval.files.layout import require_name

if TYPE_CHECKING:
    from winnow.api.collections.data_folder import DataFolder

_ROWS: Final = {row.name: row for row in rows()}


def _option(name: str, **bounds: Any) -> Any:
    row = _ROWS[name]
    assert row.flag is not None, "only settings with a flag have an option. This is a bug."
    return typer.Option(row.flag, help=_help(row), show_default=False, **bounds)


def _switch(name: str, **how: Any) -> Any:
    """A setting that is on or off: its flag, and the one that takes it back."""
    row = _ROWS[name]
    assert row.flag is not None, "only settings with a flag have an option. This is a bug."
    spelling = f"{row.flag}/--no-{row.flag.removeprefix('--')}"
    return typer.Option(spelling, help=_help(row), show_default=False, metavar="", **how)


def _help(row: Row) -> str:
    default = "" if row.default in (None, False, ()) else f", default {row.default}"
    return f"{row.help} [{row.variable}{default}]"


def switch(*names: str, said: str, **how: Any) -> Any:
    """An option that takes no value."""
    return typer.Option(*names, help=said, metavar="", **how)


InstructionText = Annotated[
    str | None, typer.Option("--instruction", "-i", metavar="TEXT", help="What counts as relevant, in a sentence.")
]
InstructionName = Annotated[
    str | None,
    typer.Option(
        "--instruction-name", metavar="NAME[@VERSION]", help="An instruction of the library instead of a text."
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--variable", metavar="NAME=VALUE", help="Value of a variable of that; may be given several times."),
]
Data = Annotated[Path | None, _option("data", metavar="DIR")]
EmbedModel = Annotated[str | None, _option("embed_model", metavar="MODEL", rich_help_panel="Models")]
EmbedUrl = Annotated[str | None, _option("embed_url", metavar="URL", rich_help_panel="Models")]
EmbedDimension = Annotated[int | None, _option("embed_dimension", metavar="N", rich_help_panel="Models")]
RerankModel = Annotated[str | None, _option("rerank_model", metavar="MODEL", rich_help_panel="Models")]
RerankAlso = Annotated[str | None, _option("rerank_also", metavar="'MODEL[=URL] ...'", rich_help_panel="Models")]
RerankUrl = Annotated[str | None, _option("rerank_url", metavar="URL", rich_help_panel="Models")]
Device = Annotated[str | None, _option("device", metavar="DEVICE", rich_help_panel="Models")]
Dtype = Annotated[str | None, _option("dtype", metavar="DTYPE", rich_help_panel="Models")]
SpawnVllm = Annotated[bool | None, _switch("spawn_vllm", rich_help_panel="Models")]
VllmPython = Annotated[str | None, _option("vllm_python", metavar="PYTHON", rich_help_panel="Models")]
VllmFront = Annotated[str | None, _option("vllm_front", metavar="winnow|vllm", rich_help_panel="Models")]
Quantization = Annotated[str | None, _option("quantization", metavar="FORMAT", rich_help_panel="Models")]
Candidates = Annotated[int | None, _option("candidates", metavar="N")]
RecallBy = Annotated[str | None, _option("recall", metavar="dense|lexical|hybrid")]
Depth = Annotated[str | None, _option("depth", metavar="full|adaptive")]
ChunkTokens = Annotated[int | None, _option("chunk_tokens", metavar="N")]
IndexRecipe = Annotated[
    str | None, _option("index_recipe", metavar="auto|exact|hnsw|ivf-rabitq|ivf-pq", rich_help_panel="Index")
]
IndexRecall = Annotated[float | None, _option("index_recall", metavar="SHARE", rich_help_panel="Index")]
IndexDevice = Annotated[str | None, _option("index_device", metavar="cpu|cuda|cuda:N", rich_help_panel="Index")]
TimeoutMs = Annotated[int | None, _option("timeout_ms", metavar="MS")]
FoldChunks = Annotated[int | None, _option("fold_chunks", metavar="N", rich_help_panel="Index")]
FoldSeconds = Annotated[int | None, _option("fold_seconds", metavar="SECONDS", rich_help_panel="Index")]
GenerationsKept = Annotated[int | None, _option("generations_kept", metavar="N", rich_help_panel="Index")]
JudgementCacheMb = Annotated[int | None, _option("judgement_cache_mb", metavar="MB", rich_help_panel="Caches")]
QueryCacheMb = Annotated[int | None, _option("query_cache_mb", metavar="MB", rich_help_panel="Caches")]
CacheSeconds = Annotated[int | None, _option("cache_seconds", metavar="SECONDS", rich_help_panel="Caches")]
LimitRequestsPerMinute = Annotated[
    int | None, _option("limit_requests_per_minute", metavar="N", rich_help_panel="Limits of each tenant")
]
LimitRerankTokensPerMinute = Annotated[
    int | None, _option("limit_rerank_tokens_per_minute", metavar="N", rich_help_panel="Limits of each tenant")
]
LimitConcurrentRequests = Annotated[
    int | None, _option("limit_concurrent_requests", metavar="N", rich_help_panel="Limits of each tenant")
]
LimitDocuments = Annotated[int | None, _option("limit_documents", metavar="N", rich_help_panel="Limits of each tenant")]
LimitBytes = Annotated[int | None, _option("limit_bytes", metavar="N", rich_help_panel="Limits of each tenant")]
CorsOrigins = Annotated[str | None, _option("cors_origins", metavar="URL,...")]
Host = Annotated[str | None, _option("host", metavar="HOST")]
Port = Annotated[int | None, _option("port", metavar="PORT")]

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help=f"Settings file in TOML. [{CONFIG_VARIABLE}]", show_default=False),
]


def own_name(said: str | None) -> str | None:
    """Of a tenant, or of a collection of its own: refused before anything is loaded. Raises `InvalidRequest`."""
    if said is not None:
        require_name(said)
    return said


def collection_name(said: str) -> str:
    """The tenant's own, or OWNER/NAME where it is granted. Raises `InvalidRequest`."""
    for segment in said.split("/", maxsplit=1):
        require_name(segment)
    return said


Whose = Annotated[
    str,
    typer.Option(
        "--tenant",
        "-t",
        metavar="TENANT",
        help="Whose; `winnow tenants create` makes more.",
        callback=own_name,
    ),
]
Json = Annotated[bool, switch("--json", said="Print one JSON object to stdout and nothing else there.")]
CollectionName = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="Which collection.", callback=collection_name)
]
OwnCollectionName = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="Which collection.", callback=own_name)
]


def opened(data: Path | None, config: Path | None, *, made: bool = False) -> tuple[Settings, DataFolder]:
    """The data folder that these options name, under all settings that hold.

    One that is missing is an error, unless it is to be made, since there is something to put into it. Raises
    `SettingInvalid`, and what opening a catalog raises.
    """
    from winnow.api.collections.data_folder import DataFolder

    settings = load({"data": data}, config=config)
    return settings, (DataFolder.open if made else DataFolder.existing)(settings.data, settings.catalog_url)
