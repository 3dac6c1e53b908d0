"""Options that several commands share, and the data folder that they name.

`with_settings` makes the options of settings: names, meanings and defaults stand in the settings' table alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_type_hints

import typer

from winnow.api.settings import CONFIG_VARIABLE, Row, Settings, load, rows
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.files.layout import require_name
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.collections.data_folder import DataFolder
    from winnow.retrieval.tenancy import TenantName

_ROWS: Final = {row.name: row for row in rows()}
_TYPES: Final = get_type_hints(Settings)
_TYPED_BY_CLICK: Final = (bool, int, float, Path)  # the settings' own parser reads all other values from a text
_SETTINGS: Final = "settings"  # the parameter of a command that receives them

EMBEDDER: Final = ("embed_model", "embed_url", "embed_dimension", "embed_query_prefix", "embed_passage_prefix")
RERANKER: Final = ("rerank_model", "rerank_also", "rerank_url", "rerank_backend", "rerank_templates")
DEVICE: Final = ("device", "dtype", "model_source")
REWRITER: Final = ("rewrite_url", "rewrite_model", "rewrite_timeout_ms")
INDEXES: Final = ("index_recipe", "index_recall", "index_device")
SERVICE: Final = ("url", "api_key")  # of a command that can ask a running service

Command = Callable[..., None]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help=f"Settings file in TOML. [{CONFIG_VARIABLE}]", show_default=False),
]


NO_SERVICE: Final = "Refused: this command works on a data folder."  # help of an option that is only there to say so


def with_settings(*names: str, asked: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings and --config, and call it with the `Settings` in force.

    Rule 1: the options stand where the command has its parameter `settings`; those with a panel stand at the end.
    Rule 2: a parameter that is named like a setting receives what the flag alone says, None without the flag; the
            option stands there.
    Rule 3: a command with `SERVICE` is told in `settings.url` whether to ask a service. `asked` names the settings that
            a request can hold; the flags of all others are refused then. A command with a data folder alone refuses
            --url.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters
        is_local = "data" in names and "url" not in {*names, *own}
        assert own[_SETTINGS].annotation is Settings, f"{command.__name__} takes no Settings. This is a bug."

        @functools.wraps(command)
        def run(**arguments: object) -> None:
            config = arguments.pop("config")
            assert config is None or isinstance(config, Path), "typer reads a path. This is a bug."
            if is_local and arguments.pop("url") is not None:
                raise InvalidRequest("this command works on a data folder, where the service runs; leave out --url")
            flags = {name: arguments[name] if name in own else arguments.pop(name) for name in names}
            settings = load(flags, config=config)
            if "url" in names:
                settings = _asking(settings, flags, asked=asked, tenant=arguments.get("tenant", DEFAULT_TENANT))
            command(**arguments, **{_SETTINGS: settings})

        parameters = _with_options(list(own.values()), names)
        if is_local:
            parameters.append(
                _parameter("url", Annotated[str | None, typer.Option("--url", hidden=True, help=NO_SERVICE)])
            )
        run.__dict__["__signature__"] = inspect.Signature(parameters, return_annotation=None)
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _asking(settings: Settings, flags: Mapping[str, object], *, asked: Collection[str], tenant: object) -> Settings:
    """Decide whether a service is asked: --data wins over WINNOW_URL. Raises `InvalidRequest` for flags that differ."""
    if settings.url is None or (flags["url"] is None and flags.get("data") is not None):
        return replace(settings, url=None)
    other = [name for name, value in flags.items() if value is not None and name not in SERVICE and name not in asked]
    if "data" in other:
        raise InvalidRequest("--data and --url cannot be used together: search a data folder, or ask a service")
    if other:
        flag = _ROWS[other[0]].flag
        raise InvalidRequest(f"{flag} cannot be used with a service ({settings.url}): it has its own setting")
    if tenant != DEFAULT_TENANT:
        raise InvalidRequest(f"--tenant cannot be used with a service ({settings.url}): the API key decides the tenant")
    return settings


def _with_options(own: list[inspect.Parameter], names: tuple[str, ...]) -> list[inspect.Parameter]:
    declared = {each.name for each in own}
    options = [_parameter(name, _option(_ROWS[name])) for name in names if name not in declared]
    at_end = [each for each in options if _ROWS[each.name].panel is not None]
    found: list[inspect.Parameter] = []
    for each in own:
        if each.name == _SETTINGS:
            found += [option for option in options if option not in at_end]
        else:
            found.append(_parameter(each.name, _option(_ROWS[each.name])) if each.name in names else each)
    return [*found, *at_end, _parameter("config", Config)]


def _parameter(name: str, annotation: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _option(row: Row) -> object:
    """The annotation of a parameter, as typer reads it."""
    if row.name == "api_key":
        return _KEY
    assert row.flag is not None, "only settings with a flag have an option. This is a bug."
    flag = f"{row.flag}/--no-{row.flag.removeprefix('--')}" if row.is_switch else row.flag
    default = "" if row.default in (None, False, ()) else f", default {row.default}"
    option = typer.Option(
        flag,
        help=f"{row.help} [{row.variable}{default}]",
        show_default=False,
        metavar=row.metavar,
        rich_help_panel=row.panel,
    )
    return Annotated[_type_of(row) | None, option]


_KEY: Final = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help=f"API key for --url. Process lists show flags: the variable is safer. [{_ROWS['api_key'].variable}]",
        show_default=False,
    ),
]


def _type_of(row: Row) -> type:
    declared = _TYPES[row.name]
    kinds = get_args(declared) if isinstance(declared, UnionType) else (declared,)
    if BucketRoot in kinds:
        return str  # a Path makes s3:/bucket of s3://bucket
    return next((each for each in _TYPED_BY_CLICK if each in kinds), str)


def switch(*names: str, meaning: str, **how: Any) -> Any:
    """An option that takes no value."""
    return typer.Option(*names, help=meaning, metavar="", **how)


CollapseCosine = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Leave out passages whose vector has a cosine of at least X to that of one shown higher."
    ),
]
CollapseShingles = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Leave out passages that share at least X (Jaccard similarity) of their runs of three words, or Chinese "
        "characters, with one shown higher.",
    ),
]
MmrLambda = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Order by maximal marginal relevance: 1 keeps the order, lower values move similar passages down.",
    ),
]


def collapse_field(cosine: float | None, shingles: float | None, *, off: bool) -> dict[str, float] | bool | None:
    """`collapse` as a request body has it; None if nothing was typed."""
    limits = {name: limit for name, limit in (("cosine", cosine), ("shingles", shingles)) if limit is not None}
    if off and limits:
        raise InvalidRequest("--no-collapse and a limit of a collapse cannot be used together")
    return False if off else limits or None


def own_name(name: str | None) -> str | None:
    """Check the name of a tenant or of a tenant's own collection before anything is loaded. Raises `InvalidRequest`."""
    if name is not None:
        require_name(name)
    return name


def collection_name(name: str) -> str:
    """Check NAME, or OWNER/NAME of a collection that another tenant shares. Raises `InvalidRequest`."""
    for segment in name.split("/", maxsplit=1):
        require_name(segment)
    return name


InstructionText = Annotated[
    str | None, typer.Option("--instruction", "-i", metavar="TEXT", help="What counts as relevant, in a sentence.")
]
InstructionName = Annotated[
    str | None,
    typer.Option(
        "--instruction-name",
        metavar="NAME[@VERSION]",
        help="Instruction from the library (`winnow instructions list`), instead of --instruction.",
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--variable", metavar="NAME=VALUE", help="Value for a variable of the named instruction; repeatable."),
]
TenantOption = Annotated[
    str,
    typer.Option(
        "--tenant",
        "-t",
        metavar="TENANT",
        help="Tenant to act for; `winnow tenants list` shows all.",
        callback=own_name,
    ),
]
Json = Annotated[bool, switch("--json", meaning="Print one JSON object to stdout, and nothing else.")]
CollectionName = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="Name of the collection.", callback=collection_name)
]
OwnCollectionName = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="Name of the collection.", callback=own_name)
]


def open_data_folder(settings: Settings, *, create: bool = False) -> DataFolder:
    """Open the data folder with its catalog.

    A missing folder is an error, unless the command is about to write to it. Raises what opening a catalog raises.
    """
    from winnow.api.collections.data_folder import DataFolder

    if create:
        return DataFolder.of(settings)
    return DataFolder.existing(settings.folder, settings.catalog_url, settings.bucket)


def open_tenant(settings: Settings, tenant: str, *, create: bool = False) -> tuple[DataFolder, TenantName]:
    """Open the data folder for a tenant of its catalog. Raises `TenantNotFound`, and what opening a catalog raises."""
    folder = open_data_folder(settings, create=create)
    return folder, folder.catalog.tenant_named(tenant)
