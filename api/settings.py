"""The table of settings, and the only reader of the environment.

One row of `Settings` is a flag, an environment variable, a key of the settings file and a line of help at once:

    data   --data   WINNOW_DATA   data = "..."

Rule 1: flags win over the environment, the environment over the settings file, the file over the default.
Rule 2: nothing is read at import; `load` is called once, by the command.
Rule 3: a default that depends on the device is decided here, by the methods that take the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from winnow.api.ray_variables import set_ray_variables
from winnow.api.s3_variables import access_of
from winnow.api.setting_values import (
    KEPT_MAX,
    RECALL_TARGET_MIN,
    FurtherReranker,
    any_text,
    backend,
    chunks,
    data_place,
    database_url,
    folder,
    further_rerankers,
    gpu_or_cpu,
    key,
    megabytes,
    model_source,
    ocr_command,
    one_of,
    origins,
    parse_setting,
    pause,
    seconds,
    service_url,
    share,
    text,
    url,
    urls,
    whole,
    yes_or_no,
)
from winnow.api.settings_file import read_settings_file
from winnow.api.trace_variables import TraceExport, export_of
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.catalog.quotas import LIMIT_MAX, TenantLimits
from winnow.retrieval.files.s3_access import BucketRoot, S3Access
from winnow.retrieval.index.planner import BUILDABLE, CPU, RECALL_TARGET, IndexWish, Recipe
from winnow.retrieval.limits import CANDIDATES_MAX, GENERATIONS_KEPT_MIN, TIMEOUT_MS_MAX
from winnow.retrieval.model.backend import TORCH, Backend
from winnow.retrieval.model.hub import ModelSource
from winnow.retrieval.records import RecallMode
from winnow.retrieval.webhook.allowed import HostRule, parse_rules

Quantization = Literal["none", "fp8", "fp8-per-tensor", "fp8-per-channel", "fp8-per-block"]
Front = Literal["winnow", "vllm"]
LogFormat = Literal["text", "json"]

PREFIX: Final = "WINNOW_"
CONFIG_VARIABLE: Final = "WINNOW_CONFIG"
CANDIDATES_ON_CPU: Final = 30  # about a second of a small reranker on two cores; 100 would be three
CANDIDATES_ON_GPU: Final = 100  # what the large rerankers are measured with
CHUNK_TOKENS_MIN: Final = 16  # tokens; below it a chunk is no longer a thought
CHUNK_TOKENS_MAX: Final = 8_192  # tokens; the window of the large models
DATA_DEFAULT: Final = Path("winnow-data")  # in the current folder: easy to see, easy to remove
AUTO: Final = "auto"  # the recipe is chosen by size and memory
QUANTIZATIONS: Final[tuple[Quantization, ...]] = ("none", "fp8", "fp8-per-tensor", "fp8-per-channel", "fp8-per-block")
MODELS: Final = "Models"  # panels in a command's help
INDEX: Final = "Index"
CACHES: Final = "Caches"
TENANT_LIMITS: Final = "Limits of each tenant"


def _setting(
    default: Any, parse: Callable[[str], Any], help_: str, metavar: str = "", panel: str | None = None, *,
    has_flag: bool = True,
) -> Any:  # fmt: skip
    texts = {"help": help_, "metavar": metavar, "panel": panel}
    return field(default=default, metadata={"parse": parse, "has_flag": has_flag, **texts})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their defaults."""

    # fmt: off
    data: Path | BucketRoot = _setting(  # noqa: RUF009  it makes a field
        DATA_DEFAULT, data_place, "Folder of collections and catalog, or s3://BUCKET/PATH; created if missing.", "DIR"
    )
    cache_dir: Path = _setting(  # noqa: RUF009  it makes a field
        Path("~/.cache/winnow"), folder, "Folder for indexes and locks of collections in a bucket.", has_flag=False
    )
    catalog_url: str | None = _setting(
        None, database_url, "Database that holds the catalog, such as postgresql://winnow@db/winnow; by default a file "
        "in the data folder. There is no flag, because the URL may hold a password.", has_flag=False
    )
    embed_model: str = _setting(
        "winnow-embed", text, "Embedding model: winnow-embed (bundled), a folder, or a hub name such as "
        "Qwen/Qwen3-Embedding-0.6B.", "MODEL", MODELS
    )
    rerank_model: str = _setting(
        "winnow-rerank", text, "Reranker: winnow-rerank (bundled), a folder, or a hub name such as "
        "Qwen/Qwen3-Reranker-0.6B.", "MODEL", MODELS
    )
    rerank_backend: Backend = _setting(  # noqa: RUF009  it makes a field
        TORCH, backend, "What computes cross-encoders: torch, onnx or openvino (extras of the same names); after a "
        "colon a file of the model's folder, such as onnx:onnx/model_qint8_avx512.onnx.", "KIND[:FILE]", MODELS
    )
    rerank_templates: Path | None = _setting(  # noqa: RUF009  it makes a field
        None, folder, "File in TOML with the prompts of causal rerankers that are not asked like Qwen3-Reranker, by "
        "model.", "FILE", MODELS
    )
    rerank_also: tuple[FurtherReranker, ...] = _setting(
        (), further_rerankers, "More rerankers that a collection may choose, separated by spaces: MODEL runs in this "
        "process, MODEL=URL on a vLLM server, MODEL=URL,URL on several.", "'MODEL[=URL] ...'", MODELS
    )
    model_source: ModelSource = _setting(  # noqa: RUF009  it makes a field
        ModelSource.HUGGING_FACE, model_source, "Where models are downloaded by name: huggingface or modelscope.",
        "SOURCE", MODELS
    )
    embed_query_prefix: str | None = _setting(
        None, any_text, "Text before each query, such as 'query: ' for E5; by default the model's own. Not for Qwen3.",
        "TEXT", MODELS
    )
    embed_passage_prefix: str | None = _setting(
        None, any_text, "Text before each passage, such as 'passage: ' for E5; by default the model's own. Not for "
        "Qwen3.", "TEXT", MODELS
    )
    embed_url: tuple[str, ...] = _setting(
        (), urls, "vLLM server that runs the embedding model, such as http://127.0.0.1:8001; separate several with "
        "commas. By default the model runs in this process.", "URL", MODELS
    )
    rerank_url: tuple[str, ...] = _setting(
        (), urls, "vLLM server that runs the reranker, such as http://127.0.0.1:8002; separate several with commas. By "
        "default the model runs in this process.", "URL", MODELS
    )
    cache_secret: str | None = _setting(
        None, text, "Secret that keeps tenants apart in the prefix caches of vLLM servers; by default a new one at "
        "each start. Give processes the same secret to let them share cached prefixes.", has_flag=False
    )
    embed_dimension: int | None = _setting(
        None, whole(8, 8_192), "Number of dimensions to keep of each vector (MRL); all by default.", "N", MODELS
    )
    device: str | None = _setting(
        None, text, "Device that runs the models: cpu, cuda or cuda:1; by default a GPU if there is one.",
        "DEVICE", MODELS
    )
    dtype: str | None = _setting(
        None, one_of("float32", "bfloat16", "float16", "bf16-mixed", "int8-dynamic"),
        "Number format of the models: float32, bfloat16 or float16; by default float32 on a CPU, bfloat16 on a GPU. "
        "bf16-mixed and int8-dynamic compute the matrix products of Qwen3 models in bfloat16 or int8 and the rest in "
        "float32, on a CPU with AVX512-BF16, AVX512-VNNI (int8) or AMX (both).", "DTYPE", MODELS
    )
    spawn_vllm: bool = _setting(
        False,  # noqa: FBT003  the default's place is first
        yes_or_no, "Start and supervise a vLLM server for each model that has no URL.", "", MODELS
    )
    vllm_python: str | None = _setting(
        None, text, "Python that has vllm installed, for the servers that winnow starts; by default the one that runs "
        "winnow.", "PYTHON", MODELS
    )
    vllm_front: Front = _setting(  # noqa: RUF009  it makes a field
        "winnow", one_of("winnow", "vllm"),
        "HTTP server in front of vLLM's engine: winnow (less work per input) or vllm "
        "(vLLM's own).", "winnow|vllm", MODELS
    )
    quantization: Quantization = _setting(  # noqa: RUF009  it makes a field
        "none", one_of(*QUANTIZATIONS), "Format of the weights on a vLLM server: none, or on an Ada or Hopper GPU "
        "fp8 (a scale per row), fp8-per-tensor, fp8-per-channel or fp8-per-block.", "FORMAT", MODELS
    )
    candidates: int | None = _setting(
        None, whole(1, CANDIDATES_MAX), "Number of candidates to rerank, unless the search sets its own; by default "
        f"{CANDIDATES_ON_CPU} on a CPU, {CANDIDATES_ON_GPU} on a GPU.", "N"
    )
    recall: str = _setting(
        RecallMode.HYBRID.value, one_of(*RecallMode), "How to find candidates, unless the search sets its own way: "
        "dense (by meaning), lexical (by words) or hybrid (both).", "dense|lexical|hybrid"
    )
    depth: str = _setting(
        Depth.FULL.value, one_of(*Depth), "How many candidates to rerank, unless the search sets its own depth: full "
        "(all) or adaptive (stop once the rest can hardly change the answer).", "full|adaptive"
    )
    chunk_tokens: int = _setting(
        256, whole(CHUNK_TOKENS_MIN, CHUNK_TOKENS_MAX), "Maximum tokens per chunk (new collections only).", "N"
    )
    ocr_command: tuple[str, ...] = _setting(
        (), ocr_command, "Command that reads a page of a PDF file that is an image, and prints its text as UTF-8; "
        "{file} and {page} are replaced, such as './ocr.sh {file} {page}'. At most 120 s for each page.", "COMMAND"
    )
    index_recipe: str = _setting(
        AUTO, one_of(AUTO, *BUILDABLE), "Type of index to build. auto builds an exact index up to about a hundred "
        "thousand chunks and chooses an approximate one beyond.", "auto|exact|hnsw|ivf-rabitq|ivf-pq", INDEX
    )
    index_recall: float = _setting(
        RECALL_TARGET, share(RECALL_TARGET_MIN, 1.0), "Share of the 100 nearest chunks that an approximate index must "
        "find; the index is tuned to reach it.", "SHARE", INDEX
    )
    index_device: str = _setting(
        CPU, gpu_or_cpu, "Device that searches exact indexes: cpu, or cuda or cuda:1 with a FAISS that has cuVS.",
        "cpu|cuda|cuda:N", INDEX
    )
    timeout_ms: int = _setting(
        30_000, whole(1, TIMEOUT_MS_MAX), "Time limit of a request in milliseconds, unless the request sets its own.",
        "MS"
    )
    rewrite_url: str | None = _setting(
        None, url, "OpenAI-compatible server whose chat model writes the query of a conversation (`messages`), such as "
        "http://127.0.0.1:8003/v1. By default the last turn is the query.", "URL", MODELS
    )
    rewrite_model: str | None = _setting(None, text, "Name of that chat model at its server.", "MODEL", MODELS)
    rewrite_key: str | None = _setting(
        None, key, "API key for that server. There is no flag, because process lists show flags.", has_flag=False
    )
    rewrite_timeout_ms: int = _setting(
        3_000, whole(1, TIMEOUT_MS_MAX), "Time limit of that model in milliseconds, at most half of what is left of a "
        "request's.", "MS", MODELS
    )
    drain_seconds: int = _setting(0, pause, "Seconds after SIGTERM in which the service answers but is not ready, so "
        "that balancers turn away from it.", "SECONDS")
    stop_seconds: int = _setting(5, pause, "Seconds for requests in progress when the service stops.", "SECONDS")
    fold_chunks: int = _setting(
        10_000, chunks, "Number of unindexed changes (chunks written or removed) after which the "
        "service rebuilds the index in the background; 0 makes each write rebuild it and wait.", "N", INDEX
    )
    fold_seconds: int = _setting(
        300, seconds, "Maximum age of unindexed changes before a rebuild, in seconds.", "SECONDS",
        INDEX
    )
    generations_kept: int = _setting(
        GENERATIONS_KEPT_MIN, whole(GENERATIONS_KEPT_MIN, KEPT_MAX), "Number of generations (published builds) of an "
        "index to keep, including the current one.", "N", INDEX
    )
    judgement_cache_mb: int = _setting(
        64, megabytes, "Size of the cache of relevance scores, in megabytes; 0 turns it off.", "MB", CACHES
    )
    query_cache_mb: int = _setting(
        16, megabytes, "Size of the cache of query vectors, in megabytes; 0 turns it off.", "MB", CACHES
    )
    text_cache_mb: int = _setting(
        64, megabytes, "Size of the cache of chunks' texts, in megabytes; 0 turns it off.", "MB", CACHES
    )
    index_cache_mb: int = _setting(
        20_000, megabytes, "Size of this host's copies of indexes in a bucket, in megabytes.", "MB", CACHES
    )
    cache_seconds: int = _setting(
        3_600, seconds, "Lifetime of a relevance score or query vector, in seconds.", "SECONDS", CACHES
    )
    replay_seconds: int = _setting(
        5, pause, "Seconds between checks for golden sets to replay, by schedule or after a "
        "change; 0 turns such replays off.", "SECONDS"
    )
    limit_requests_per_minute: int = _setting(
        0, whole(0, LIMIT_MAX), "Maximum requests per minute of a tenant that has no limit of its own; 0 is no limit.",
        "N", TENANT_LIMITS
    )
    limit_rerank_tokens_per_minute: int = _setting(
        0, whole(0, LIMIT_MAX), "Maximum tokens per minute that rerankers compute for a tenant; 0 is no limit.",
        "N", TENANT_LIMITS
    )
    limit_concurrent_requests: int = _setting(
        0, whole(0, LIMIT_MAX), "Maximum concurrent requests of a tenant; 0 is no limit.", "N", TENANT_LIMITS
    )
    limit_documents: int = _setting(
        0, whole(0, LIMIT_MAX), "Maximum documents of a tenant in all its collections; 0 is no limit.",
        "N", TENANT_LIMITS
    )
    limit_bytes: int = _setting(
        0, whole(0, LIMIT_MAX), "Maximum bytes on disk of a tenant's collections, indexes included; 0 is no limit.",
        "N", TENANT_LIMITS
    )
    cors_origins: tuple[str, ...] = _setting(
        (), origins, "Origins whose web pages may call the service, such as https://app.example.org, separated by "
        "commas; * allows all. None by default.", "URL,..."
    )
    webhook_hosts: tuple[HostRule, ...] = _setting((), parse_rules, "Hosts and networks that webhooks may be "
        "sent to, such as hooks.example.org,10.1.0.0/16:8443, separated by commas; none by default.", "HOST[:PORT],..."
    )
    log_format: LogFormat = _setting(  # noqa: RUF009  it makes a field
        "text", one_of("text", "json"), "Form of the service's log: text (lines for people) or json (one object per "
        "line).", "text|json"
    )
    host: str = _setting("127.0.0.1", text, "Address to listen on; any but loopback requires an API key.", "HOST")
    port: int = _setting(8000, whole(0, 65_535), "Port to listen on; 0 chooses a free one.", "PORT")
    url: str | None = _setting(None, service_url, "Running service to ask instead of a data folder.", "URL")
    api_key: str | None = _setting(None, text, "API key that clients send as 'Authorization: Bearer KEY'. The service "
        "has no flag for it, because process lists show flags.", has_flag=False)
    # fmt: on

    @property
    def index_wish(self) -> IndexWish:
        """What to build, wherever the index is searched."""
        recipe = None if self.index_recipe == AUTO else Recipe(self.index_recipe)
        return IndexWish(recipe=recipe, recall_target=self.index_recall)

    @property
    def folder(self) -> Path:
        """The data folder, or the local cache of a bucket."""
        return self.data if isinstance(self.data, Path) else self.data.cache_in(self.cache_dir.expanduser())

    @property
    def bucket(self) -> BucketRoot | None:
        return None if isinstance(self.data, Path) else self.data.caching(1_000_000 * self.index_cache_mb)

    @property
    def limits(self) -> TenantLimits:
        """The limits of tenants that have no limits of their own."""
        return TenantLimits(
            requests_per_minute=self.limit_requests_per_minute,
            rerank_tokens_per_minute=self.limit_rerank_tokens_per_minute,
            concurrent_requests=self.limit_concurrent_requests,
            documents=self.limit_documents,
            bytes=self.limit_bytes,
        )

    def candidates_on(self, device: str) -> int:
        """Number of candidates to rerank, where the search sets none."""
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
    metavar: str
    panel: str | None  # of a command's help; None: the panel of the command's own options
    parse: Callable[[str], Any]

    @property
    def is_switch(self) -> bool:
        """Whether the setting is on or off. Only such a setting may be a boolean in a settings file."""
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
            metavar=each.metadata["metavar"],
            panel=each.metadata["panel"],
            parse=each.metadata["parse"],
        )


def load(
    flags: Mapping[str, object], *, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Load the settings for this command; None stands for a flag that was not given. Raises `SettingInvalid`."""
    environment = os.environ if environment is None else environment  # noqa: TID251  (the one place that may)
    named = environment.get(CONFIG_VARIABLE)
    config = config or (Path(named).expanduser() if named else None)
    filed = read_settings_file(config, known=[row.name for row in rows()]) if config else {}
    chosen: dict[str, Any] = {}
    for row in rows():
        sources: tuple[tuple[Mapping[str, object], str, str], ...] = (
            (flags, row.name, row.flag or row.name),
            (environment, row.variable, row.variable),
            (filed, row.name, f"{row.name} in {config}"),
        )
        given = next(((source[name], origin) for source, name, origin in sources if source.get(name) is not None), None)
        if given is not None:
            is_hidden = row.flag is None
            chosen[row.name] = parse_setting(row.parse, *given, is_switch=row.is_switch, is_hidden=is_hidden)
    settings = Settings(**chosen)
    return replace(settings, data=settings.bucket.reached_by(access_of(environment))) if settings.bucket else settings


def s3_access(environment: Mapping[str, str] | None = None) -> S3Access:
    """Access to S3, from the variables that AWS's own tools read. Raises `SettingInvalid`."""
    return access_of(os.environ if environment is None else environment)  # noqa: TID251  (the one place that may)


def trace_export(environment: Mapping[str, str] | None = None) -> TraceExport:
    """Whether to send traces, by the variables that all programs with OpenTelemetry read."""
    return export_of(os.environ if environment is None else environment)  # noqa: TID251  (the one place that may)


def prepare_ray(*, own_cluster: bool) -> None:
    """Set the variables that Ray reads; call this before ray is imported."""
    set_ray_variables(os.environ, own_cluster=own_cluster)  # noqa: TID251  (the one place that may)
