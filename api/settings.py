"""What may be set, from where, and to what? The only reader of the environment.

One row of `Settings` is a flag, an environment variable, a key of the settings file and a line of help at once:

    data   --data   WINNOW_DATA   data = "..."

Rule 1: flags win over the environment, the environment over the settings file, the file over the default.
Rule 2: nothing is read at import; `load` is called once, by the command.
Rule 3: a default that depends on the device is decided here, by the methods that take the device.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from winnow.api.setting_values import (
    FurtherReranker,
    database_url,
    folder,
    further_rerankers,
    gpu_or_cpu,
    one_of,
    origins,
    share,
    text,
    url,
    urls,
    whole,
    yes_or_no,
)
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.backup.place import S3Access
from winnow.retrieval.catalog.quotas import LIMIT_MAX, TenantLimits
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.index.planner import BUILDABLE, CPU, RECALL_TARGET, IndexWish, Recipe
from winnow.retrieval.limits import CANDIDATES_MAX, GENERATIONS_KEPT_MIN, TIMEOUT_MS_MAX
from winnow.retrieval.records import RecallMode

Quantization = Literal["none", "fp8"]
Front = Literal["winnow", "vllm"]

PREFIX: Final = "WINNOW_"
CONFIG_VARIABLE: Final = "WINNOW_CONFIG"
CANDIDATES_ON_CPU: Final = 30  # about a second of a small reranker on two cores; 100 would be three
CANDIDATES_ON_GPU: Final = 100  # what the large rerankers are measured with
CHUNK_TOKENS_MIN: Final = 16  # tokens; below it a chunk is no longer a thought
CHUNK_TOKENS_MAX: Final = 8_192  # tokens; the window of the large models
CACHE_MB_MAX: Final = 1_000_000  # megabytes; more than any machine has
CACHE_SECONDS_MAX: Final = 31 * 24 * 3_600  # a month; longer than a service runs unattended
CHUNKS_MAX: Final = 1_000_000_000  # chunks; never folds by their number
KEPT_MAX: Final = 100  # generations; each is as large as the vectors are
DATA_DEFAULT: Final = Path("winnow-data")  # in the folder where the command is given: easy to see, easy to remove
AUTO: Final = "auto"  # the recipe that suits
RECALL_TARGET_MIN: Final = 0.5  # below it a search would rather miss than find
DTYPES: Final = ("float32", "bfloat16", "float16")
QUANTIZATIONS: Final[tuple[Quantization, ...]] = ("none", "fp8")
FRONTS: Final[tuple[Front, ...]] = ("winnow", "vllm")


def _setting(default: Any, parse: Callable[[str], Any], help_: str, *, has_flag: bool = True) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help_, "has_flag": has_flag})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, with its default."""

    data: Path = _setting(  # noqa: RUF009  it makes a field
        DATA_DEFAULT, folder, "Folder that holds collections and catalog; made when missing."
    )
    catalog_url: str | None = _setting(
        None, database_url, "Database that holds the catalog, such as postgresql://winnow@db/winnow; by default a file "
        "in the data folder. Not a flag, since it may hold a password.", has_flag=False
    )  # fmt: skip
    embed_model: str = _setting(
        "winnow-embed", text, "Embedding model: winnow-embed (bundled), a folder, or a hub name such as "
        "Qwen/Qwen3-Embedding-0.6B."
    )  # fmt: skip
    rerank_model: str = _setting(
        "winnow-rerank", text, "Reranker: winnow-rerank (bundled), a folder, or a hub name such as "
        "Qwen/Qwen3-Reranker-0.6B."
    )  # fmt: skip
    rerank_also: tuple[FurtherReranker, ...] = _setting(
        (), further_rerankers, "Further rerankers that a collection may choose, separated by spaces: MODEL runs in "
        "this process, MODEL=URL on the vLLM server there, or on several with commas between them."
    )  # fmt: skip
    embed_url: tuple[str, ...] = _setting(
        (), urls, "vLLM server that runs the embedding model, such as http://127.0.0.1:8001, or several with commas "
        "between them; by default it runs in this process."
    )  # fmt: skip
    rerank_url: tuple[str, ...] = _setting(
        (), urls, "vLLM server that runs the reranker, such as http://127.0.0.1:8002, or several with commas between "
        "them; by default it runs in this process."
    )  # fmt: skip
    cache_secret: str | None = _setting(
        None, text, "Secret from which the salts are made that keep tenants apart in the servers' prefix caches; by "
        "default a new one each start. Processes that share servers share prefixes if they share it.", has_flag=False
    )  # fmt: skip
    embed_dimension: int | None = _setting(
        None, whole(8, 8_192), "Numbers kept of each vector (MRL); all of them by default."
    )
    device: str | None = _setting(
        None, text, "Where the models run: cpu, cuda, cuda:1; by default a GPU if there is one."
    )
    dtype: str | None = _setting(
        None, one_of(*DTYPES), "Number format of the models; by default float32 on a CPU, bfloat16 on a GPU."
    )
    spawn_vllm: bool = _setting(
        False,  # noqa: FBT003  the default's place is first
        yes_or_no,
        "Start and supervise a vLLM server for each model that no URL is given for.",
    )
    vllm_python: str | None = _setting(
        None, text, "Python that has vllm, for servers that winnow starts; by default the one that runs winnow."
    )
    vllm_front: Front = _setting(  # noqa: RUF009  it makes a field
        "winnow",
        one_of(*FRONTS),
        "What listens before vLLM's engine: winnow, a program of ours with less to do for each input, or vLLM's own.",
    )
    quantization: Quantization = _setting(  # noqa: RUF009  it makes a field
        "none", one_of(*QUANTIZATIONS), "Format of the weights on a vLLM server: none, or fp8 on an Ada or Hopper GPU."
    )
    candidates: int | None = _setting(
        None,
        whole(1, CANDIDATES_MAX),
        f"Candidates judged per search unless it says so itself; by default {CANDIDATES_ON_CPU} on a CPU, "
        f"{CANDIDATES_ON_GPU} on a GPU.",
    )
    recall: str = _setting(
        RecallMode.HYBRID.value,
        one_of(*RecallMode),
        "How candidates are found unless a search says so itself: dense by meaning, lexical by words, hybrid by both.",
    )
    depth: str = _setting(
        Depth.FULL.value,
        one_of(*Depth),
        "How many candidates are judged unless a search says so itself: full is all, adaptive stops where the rest can "
        "hardly change the answer.",
    )
    chunk_tokens: int = _setting(
        256,
        whole(CHUNK_TOKENS_MIN, CHUNK_TOKENS_MAX),
        "Most tokens of a chunk in a collection that is newly made.",
    )
    index_recipe: str = _setting(
        AUTO, one_of(AUTO, *BUILDABLE), "Kind of the indexes that are built: auto compares all vectors up to about a "
        "hundred thousand, and takes what suits beyond; exact, hnsw, ivf-rabitq and ivf-pq insist."
    )  # fmt: skip
    index_recall: float = _setting(
        RECALL_TARGET,
        share(RECALL_TARGET_MIN, 1.0),
        "Share of the 100 nearest chunks that an index which does not compare all is tuned to find.",
    )
    index_device: str = _setting(
        CPU, gpu_or_cpu, "Where indexes that compare all are searched: cpu, or by FAISS with cuVS on cuda, cuda:1."
    )
    timeout_ms: int = _setting(
        30_000, whole(1, TIMEOUT_MS_MAX), "Milliseconds a request may take unless it says so itself."
    )
    fold_chunks: int = _setting(
        10_000, whole(0, CHUNKS_MAX), "Chunks written or removed since the index was built that make the service "
        "build the next one beside it; 0 leaves that to the writes, which then wait for it."
    )  # fmt: skip
    fold_seconds: int = _setting(
        300, whole(1, CACHE_SECONDS_MAX), "Seconds after which the service does so for fewer chunks, too."
    )
    generations_kept: int = _setting(
        GENERATIONS_KEPT_MIN,
        whole(GENERATIONS_KEPT_MIN, KEPT_MAX),
        "Generations of an index that are kept, the one that serves among them.",
    )
    judgement_cache_mb: int = _setting(
        64,
        whole(0, CACHE_MB_MAX),
        "Megabytes of the reranker's judgements that the service remembers; 0 is none.",
    )
    query_cache_mb: int = _setting(
        16, whole(0, CACHE_MB_MAX), "Megabytes of query vectors that the service remembers; 0 is none."
    )
    cache_seconds: int = _setting(
        3_600, whole(1, CACHE_SECONDS_MAX), "Seconds that a judgement or a query vector is remembered."
    )
    limit_requests_per_minute: int = _setting(
        0, whole(0, LIMIT_MAX), "Requests that each tenant may make in a minute unless it has a limit of its own; 0 "
        "is no limit."
    )  # fmt: skip
    limit_rerank_tokens_per_minute: int = _setting(
        0, whole(0, LIMIT_MAX), "Tokens that rerankers may compute for each tenant in a minute; 0 is no limit."
    )
    limit_concurrent_requests: int = _setting(
        0, whole(0, LIMIT_MAX), "Requests of each tenant that are answered at once; 0 is no limit."
    )
    limit_documents: int = _setting(
        0, whole(0, LIMIT_MAX), "Documents that each tenant may store, in all its collections; 0 is no limit."
    )
    limit_bytes: int = _setting(
        0, whole(0, LIMIT_MAX), "Bytes that each tenant's collections may take on the disk, indexes included; 0 is no "
        "limit."
    )  # fmt: skip
    cors_origins: tuple[str, ...] = _setting(
        (), origins, "Origins whose web pages may call the service, such as https://app.example.org, separated by "
        "commas; * is any. None by default."
    )  # fmt: skip
    host: str = _setting("127.0.0.1", text, "Address to listen on; another than loopback needs an API key.")
    port: int = _setting(8000, whole(0, 65_535), "Port to listen on; 0 takes a free one.")
    api_key: str | None = _setting(
        None, text, "Key that callers send as 'Authorization: Bearer KEY'; not a flag, since flags show in process "
        "lists.", has_flag=False
    )  # fmt: skip

    @property
    def index_wish(self) -> IndexWish:
        """What is asked of the indexes that are built, wherever they are searched."""
        recipe = None if self.index_recipe == AUTO else Recipe(self.index_recipe)
        return IndexWish(recipe=recipe, recall_target=self.index_recall)

    @property
    def limits(self) -> TenantLimits:
        """What holds for tenants that have no limits of their own."""
        return TenantLimits(
            requests_per_minute=self.limit_requests_per_minute,
            rerank_tokens_per_minute=self.limit_rerank_tokens_per_minute,
            concurrent_requests=self.limit_concurrent_requests,
            documents=self.limit_documents,
            bytes=self.limit_bytes,
        )

    def candidates_on(self, device: str) -> int:
        """How many candidates a search judges when it does not say."""
        if self.candidates is not None:
            return self.candidates
        return CANDIDATES_ON_CPU if device == "cpu" else CANDIDATES_ON_GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting, under each of its names."""

    name: str  # also its key in the settings file
    flag: str | None
    variable: str
    default: Any
    help: str
    parse: Callable[[str], Any]

    @property
    def is_switch(self) -> bool:
        """On or off: a settings file may say true or false, and nothing else may."""
        return isinstance(self.default, bool)


def rows() -> Iterator[Row]:
    """The table of settings, in the order of `Settings`."""
    for each in fields(Settings):
        yield Row(
            name=each.name,
            flag="--" + each.name.replace("_", "-") if each.metadata["has_flag"] else None,
            variable=PREFIX + each.name.upper(),
            default=each.default,
            help=each.metadata["help"],
            parse=each.metadata["parse"],
        )


def load(
    flags: Mapping[str, object], *, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings that hold for this command. A flag of None was not given. Raises `SettingInvalid`."""
    environment = os.environ if environment is None else environment  # noqa: TID251  (the one place that may)
    config = config or _named_config(environment)
    filed = _read_file(config) if config else {}
    chosen: dict[str, Any] = {}
    for row in rows():
        if flags.get(row.name) is not None:
            chosen[row.name] = _parsed(row, flags[row.name], origin=row.flag or row.name)
        elif row.variable in environment:
            chosen[row.name] = _parsed(row, environment[row.variable], origin=row.variable)
        elif row.name in filed:
            chosen[row.name] = _parsed(row, filed[row.name], origin=f"{row.name} in {config}")
    return Settings(**chosen)


def s3_access(environment: Mapping[str, str] | None = None) -> S3Access:
    """How S3 is reached: by the variables that AWS's own tools read, so that who has set those has set this.

    What they leave open (no key, say) the object store looks for as those tools do: profiles, roles of the machine.
    Raises `SettingInvalid`.
    """
    environment = os.environ if environment is None else environment  # noqa: TID251  (the one place that may)

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
        raise SettingInvalid("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set together or not at all")
    return access


def _named_config(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(CONFIG_VARIABLE)
    return Path(named).expanduser() if named else None


def _read_file(path: Path) -> Mapping[str, object]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingInvalid(f"the settings file {path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingInvalid(f"the settings file {path} is not TOML: {error}") from error
    unknown = sorted(content.keys() - {row.name for row in rows()})
    if unknown:
        known = ", ".join(row.name for row in rows())
        raise SettingInvalid(f"the settings file {path} sets {', '.join(unknown)}; it may set {known}")
    return content


def _parsed(row: Row, value: object, *, origin: str) -> Any:
    """All sources go through the same parser, so that all refuse the same values."""
    if (isinstance(value, bool) and not row.is_switch) or not isinstance(value, str | int | float | Path):
        raise SettingInvalid(f"{origin} = {value!r}: it is neither a text nor a number")
    try:
        return row.parse(str(value))
    except ValueError as error:
        shown = "(hidden)" if row.flag is None else repr(str(value))
        raise SettingInvalid(f"{origin} = {shown}: {error}") from error
