"""What the service takes and answers, as types. Written by `python -m docs.generate` from the service's OpenAPI."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class ApiVersion(TypedDict):
    """The version of Cohere's API that this answer follows."""

    version: str


class AppliedCalibration(TypedDict):
    """The calibrated threshold of a search. Not applied to a degraded answer."""

    threshold: float
    """Least relevance of a passage that is shown."""
    precision: float
    """Promised share of relevant passages among those that are shown."""
    confidence: float
    """Chance that the promise holds."""
    coverage: float
    """Share of the tested queries that still show something."""


InstructionSource: TypeAlias = Literal["request", "key", "collection", "tenant", "built-in"]


State: TypeAlias = Literal["draft", "published", "retired"]


class AppliedInstructionResponse(TypedDict):
    """The instruction that was applied."""

    name: str | None
    version: int | None
    source: InstructionSource
    """Where it came from."""
    sha256: str
    """SHA-256 of the instruction's text in UTF-8, variables filled in."""
    state: State | None
    """published, retired or (only in trials) draft. null for a text in the request."""


class _ChunkingChoice(TypedDict):
    """A wish for chunks of a certain size, which belongs to the collection."""

    type: Literal["auto"]
    """auto: the collection's chunk size. Others are refused."""


class AttachBody(TypedDict):
    """POST /v1/vector_stores/{name}/files"""

    file_id: str
    attributes: NotRequired[Mapping[str, str | bool | int | float] | None]
    chunking_strategy: NotRequired[_ChunkingChoice | None]


class AttributesBody(TypedDict):
    """POST /v1/vector_stores/{name}/files/{file_id}"""

    attributes: Mapping[str, str | bool | int | float] | None
    """They take the place of all former ones."""


class AuditEntryResponse(TypedDict):
    """One administrative action."""

    number: int
    at: str
    actor: str
    action: str
    """Noun and verb, such as key.create."""
    tenant: str
    """Owner of what was changed."""
    subject: str
    """What was changed: a key's id, a collection's name ..."""
    before: dict[str, Any] | None
    """null if it did not exist."""
    after: dict[str, Any] | None
    """null if it no longer exists."""


class AuditResponse(TypedDict):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryResponse]
    next_before: int | None
    """`before` of the next page; null on the last page."""


class BilledUnits(TypedDict):
    """One search unit per request, as Cohere's client reads it."""

    search_units: int


class BreachResponse(TypedDict):
    """A measure beyond its threshold."""

    measure: str
    """top1_change_rate, overlap_at_10, rbo, tau_b, score_shift or degraded."""
    value: float
    limit: float
    side: str
    """max or min: the side of the limit on which the value should stay."""


class CauseResponse(TypedDict):
    """Why a run differs from its baseline."""

    kind: str
    """documents, model, instruction, index, settings, numerics, or unexplained."""
    proof: str
    """replay: the difference goes away with the old one; elimination: nothing else that changed explains it;
    together: it cannot be told apart from others that changed."""
    before: str
    after: str
    share: float | None
    """Of the moved queries, the share that is as before with the old one."""


class ChangeResponse(TypedDict):
    """A field that differs."""

    field: str
    before: Any
    after: Any


class ContentPart(TypedDict):
    """A part of a message. Only texts are read."""

    type: NotRequired[str]
    text: NotRequired[str | None]


class ChatMessage(TypedDict):
    """A message as OpenAI's chat completions have it. Only texts of user and assistant are read."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: NotRequired[str | Sequence[ContentPart] | None]


class ChunkPlace(TypedDict):
    """Where a chunk lies in its document: characters (code points), half-open."""

    ordinal: int
    """0 for the document's first chunk."""
    start: int
    end: int


class StaticChunks(TypedDict):
    """The chunk size of the collection."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class ChunkingStrategy(TypedDict):
    """How a file is cut."""

    type: str
    static: StaticChunks


class CollapseLimits(TypedDict):
    """From which similarity on two passages are near-identical. With both, one is enough."""

    cosine: NotRequired[float | None]
    """Cosine of their stored vectors."""
    shingles: NotRequired[float | None]
    """Jaccard similarity of title and text in runs of three words, or characters in scripts without spaces; case,
    width, white space and punctuation do not count."""


class CollapseLimitsResponse(TypedDict):
    """From which similarity on passages are near-identical. null: that measure is not used."""

    cosine: float | None
    shingles: float | None


Measure: TypeAlias = Literal["cosine", "shingles"]


class CollapsedChunk(TypedDict):
    """A passage that was left out because a kept one is near-identical."""

    document_id: str
    chunk: ChunkPlace
    title: str
    url: str | None
    score: float | None
    """The quantity that `ranked_by` names."""
    relevance: float | None
    """Stage two. null if the chunk was not reranked."""
    rank_before: int
    """Place before anything was left out; 1 is best."""
    cosine: float | None
    """Cosine of its vector to the kept one's. null: not measured."""
    shingles: float | None
    """Jaccard similarity to the kept one. null: not measured."""
    by: list[Measure]
    """Measures that reach their limit."""


class CollapsedText(TypedDict):
    """A document that was left out because a kept one is near-identical."""

    index: int
    """Place of the document in the request; 0 is the first."""
    relevance_score: float | None
    shingles: float
    """Jaccard similarity to the kept document."""


VectorFormat: TypeAlias = Literal["float32", "float16"]


class CollectionBody(TypedDict):
    """POST /v1/collections"""

    name: str
    chunk_tokens: NotRequired[int | None]
    """Maximum tokens per chunk. null or left out: the service's default."""
    instruction: NotRequired[str | None]
    """Published instruction, NAME or NAME@VERSION, of searches that name none."""
    reranker: NotRequired[str | None]
    """Name of a configured reranker. null or left out: the service's default."""
    vectors: NotRequired[VectorFormat]
    """How vectors are stored: float32, or float16 in half the room. Searches then compute with rounded vectors,
    which moves a cosine by less than 0.0005. Cannot be changed."""
    demote_query_echo: NotRequired[bool]
    """Rank passages that hold little more than the query behind all others and mark them as demoted. For
    collections that untrusted authors write to."""
    require_instruction: NotRequired[bool]
    """Whether searches are refused while the collection's reranker reads no instruction. Searches with `rerank:
    false` are answered."""
    rerank_fields: NotRequired[Sequence[str] | None]
    """Attributes that the reranker reads as `name: value` lines before title and text, in this order: title, url,
    id, or any field of the metadata. Attributes that a document lacks are left out."""
    rerank_field_tokens: NotRequired[int | None]
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    embed_fields: NotRequired[Sequence[str] | None]
    """The same for the embedder. Cannot be changed while the collection has documents."""
    embed_field_tokens: NotRequired[int | None]
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    collapse: NotRequired[Literal[False] | CollapseLimits | None]
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. false or
    null: off."""
    mmr_lambda: NotRequired[float | None]
    """Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage
    placed before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the
    order. null: off."""


class CollectionChange(TypedDict):
    """PATCH /v1/collections/{name}. Fields that are left out do not change; null resets to the default."""

    instruction: NotRequired[str | None]
    """Published instruction, NAME or NAME@VERSION, of searches that name none."""
    reranker: NotRequired[str | None]
    """Name of a configured reranker."""
    demote_query_echo: NotRequired[bool | None]
    """Rank passages that hold little more than the query behind all others and mark them as demoted. For
    collections that untrusted authors write to."""
    require_instruction: NotRequired[bool | None]
    """Whether searches are refused while the collection's reranker reads no instruction. Searches with `rerank:
    false` are answered."""
    rerank_fields: NotRequired[Sequence[str] | None]
    """Attributes that the reranker reads as `name: value` lines before title and text, in this order: title, url,
    id, or any field of the metadata. Attributes that a document lacks are left out."""
    rerank_field_tokens: NotRequired[int | None]
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    embed_fields: NotRequired[Sequence[str] | None]
    """The same for the embedder. Cannot be changed while the collection has documents."""
    embed_field_tokens: NotRequired[int | None]
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    collapse: NotRequired[Literal[False] | CollapseLimits | None]
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. false or
    null: off."""
    mmr_lambda: NotRequired[float | None]
    """Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage
    placed before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the
    order. null: off."""


class DiskUseResponse(TypedDict):
    """Bytes on the disk, by what is in them."""

    documents: int
    """Texts and metadata."""
    vectors: int
    words: int
    """What lexical search reads."""
    indexes: int
    """All generations of the vector index."""
    replaced: int
    """Earlier versions of all that. A service without a write removes them four minutes after they were replaced."""
    other: int


class EmbedderResponse(TypedDict):
    """The embedder of a collection's vectors."""

    name: str
    revision: str
    dimension: int


class CollectionResponse(TypedDict):
    """A collection."""

    name: str
    embedder: EmbedderResponse
    chunk_tokens: int
    """Maximum tokens per chunk."""
    vectors: VectorFormat | None
    """How vectors are stored. null if the collection cannot be read."""
    instruction: str | None
    """null means the tenant's default."""
    reranker: str | None
    """null means the service's default."""
    demote_query_echo: bool
    require_instruction: bool
    """Whether searches are refused while the collection's reranker reads no instruction. Searches with `rerank:
    false` are answered."""
    rerank_fields: list[str]
    """What the reranker reads before title and text."""
    rerank_field_tokens: int
    """Maximum tokens of these lines."""
    embed_fields: list[str]
    """What the embedder reads before title and text."""
    embed_field_tokens: int
    """Maximum tokens of these lines."""
    collapse: CollapseLimitsResponse | None
    """Of searches that do not choose themselves. null: off."""
    mmr_lambda: float | None
    """Likewise."""
    created_at: str
    documents: int | None
    """null, like chunks and store_version, if the collection cannot be read."""
    chunks: int | None
    attributes: dict[str, str] | None
    """Metadata fields that filters can name, with their types: boolean, number, text, list of texts, or several
    of these joined by ` or `. null for a collection of an older winnow until its next write."""
    store_version: int | None
    word_rules: int | None
    """Version of the rules by which lexical search splits text into words; the newest is 2. A collection of an
    older winnow keeps its rules until its next fold. null if it cannot be read."""
    disk_bytes: DiskUseResponse | None
    """null in a list of collections, and if the collection cannot be read."""
    problem: str | None
    """Why the collection cannot be read or written, and which file is at fault; null if it can."""


Depth: TypeAlias = Literal["full", "adaptive"]


class InstructionChoice(TypedDict):
    """An instruction of the library."""

    name: str
    version: NotRequired[int | None]
    """null or left out: the newest published version."""
    variables: NotRequired[Mapping[str, str | int] | None]
    """Values of its variables."""


OnRerankFailure: TypeAlias = Literal["degrade", "error"]


RecallMode: TypeAlias = Literal["dense", "hybrid", "lexical"]


class CollectionSearchBody(TypedDict):
    """POST /v1/collections/{name}/search"""

    query: NotRequired[str | None]
    """The question. Needed unless `messages` or `queries` is given."""
    messages: NotRequired[Sequence[ChatMessage] | None]
    """A conversation, in place of `query`. The query is a question that a chat model of the operator makes of it,
    if there is one, or else the last message of the user; `query_used` and `rewrite` say which."""
    queries: NotRequired[Sequence[str] | None]
    """Further queries, whose candidates are fused with those of the main query: `query`, that of `messages`, or
    else the first of these. The reranker judges by the main query. Each query beyond the first counts as a
    search, and as a request towards the tenant's limit."""
    rewrite: NotRequired[bool]
    """false: the conversation is not sent to a chat model. Only with `messages`."""
    top_k: NotRequired[int]
    candidates: NotRequired[int | None]
    """Number of candidates from recall. null or left out: the service's default."""
    recall: NotRequired[RecallMode | None]
    """How recall finds candidates: dense by meaning, lexical by words (BM25), hybrid by both. null or left out:
    the service's default."""
    depth: NotRequired[Depth | None]
    """full reranks all candidates. adaptive stops when the rest can hardly change the first `top_k`. null or left
    out: the service's default. Grouped answers, `min_relevance`, `collapse` and `mmr_lambda` always need all."""
    filter: NotRequired[Mapping[str, Any] | None]
    """Documents to search, by their metadata, in the grammar of OpenAI's filters."""
    rerank: NotRequired[bool | Literal["always"]]
    """false: results are in recall's order. true: the reranker runs unless relevance has no weight under the
    instruction; then `rerank_skipped` says so. always: it runs in any case, for the relevance of each result.
    `min_relevance` implies always."""
    instruction: NotRequired[str | InstructionChoice | None]
    """What counts as relevant: a text, or a published instruction."""
    min_relevance: NotRequired[float | Literal["calibrated"] | None]
    """Leave out results with a lower relevance. calibrated: below the threshold that `winnow calibrate` measured
    for this collection, reranker and instruction. Not applied if nothing was reranked."""
    group_by_document: NotRequired[bool]
    """Return one result per document, with its other chunks in `other_chunks`. Recall looks beyond `candidates`
    chunks until it has `top_k` documents, but no more are reranked."""
    chunks_per_document: NotRequired[int | None]
    """Only with `group_by_document`: maximum chunks per document, the best ones. null or left out: all
    candidates."""
    neighbours: NotRequired[int]
    """Add `context`: the text of this many chunks before and after each result; no text twice."""
    highlight: NotRequired[bool]
    """Add `highlights`: the sentences of each passage that carry its relevance, judged one by one by the
    reranker, within 16,384 tokens. What cannot be judged has none, and `highlight` says why. Needs `rerank`."""
    demote_query_echo: NotRequired[bool | None]
    """Rank passages that hold little more than the query behind all others and mark them as demoted. For
    collections that untrusted authors write to. null or left out: as the collection is set."""
    collapse: NotRequired[Literal[False] | CollapseLimits | None]
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. Deeper
    candidates fill `top_k`. false: off. null or left out: as the collection is set."""
    mmr_lambda: NotRequired[float | None]
    """Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage
    placed before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the
    order. Applied after `collapse`. null or left out: as the collection is set."""
    on_rerank_failure: NotRequired[OnRerankFailure]
    timeout_ms: NotRequired[int | None]
    explain: NotRequired[bool]
    """Add `explain`: every candidate's place in both orders; `filtered`: how the filter was applied; `index`:
    what was searched."""


class CollectionsResponse(TypedDict):
    """GET /v1/collections"""

    collections: list[CollectionResponse]


Operator: TypeAlias = Literal[
    "contains",
    "not contains",
    "start with",
    "end with",
    "is",
    "is not",
    "empty",
    "not empty",
    "in",
    "not in",
    "=",
    "≠",
    ">",
    "<",
    "≥",
    "≤",
    "before",
    "after",
]


class Condition(TypedDict):
    """A condition on one attribute."""

    name: str | Sequence[str]
    """The attribute; of a list the first."""
    comparison_operator: Operator
    value: NotRequired[str | int | float | Sequence[str | int | float] | None]


VariableType: TypeAlias = Literal["string", "integer", "enum"]


class VariableBody(TypedDict):
    """A variable that an instruction's texts may contain as `{name}`."""

    name: str
    type: NotRequired[VariableType]
    default: NotRequired[str | int | None]
    """Without a default, every use must give a value."""
    allowed: NotRequired[Sequence[str | int]]
    """Allowed values: required for an enum, optional for other types. Empty: any value of the type."""
    max_length: NotRequired[int]
    description: NotRequired[str]


class ContentBody(TypedDict):
    """The content of one version of an instruction."""

    text: str
    """Text for the reranker. Write a variable as {name}, a literal brace as {{ or }}. English is best."""
    literal: NotRequired[bool]
    """Use the texts as they are, without variables; braces are literal."""
    embedding_task: NotRequired[str | None]
    """Task for embedding the query. Default: the embedder's own task."""
    variables: NotRequired[Sequence[VariableBody]]
    purpose: NotRequired[str]
    language: NotRequired[str]
    collections: NotRequired[Sequence[str]]
    """Collections that may use this instruction; empty means all."""
    author: NotRequired[str]
    note: NotRequired[str]


class LocationResponse(TypedDict):
    """Where in its file a passage stands. Only what is known; numbers count from 1."""

    page: NotRequired[int]
    slide: NotRequired[int]
    sheet: NotRequired[str]
    """Name of a worksheet."""
    row: NotRequired[int]
    """First row of the passage."""
    row_end: NotRequired[int]
    """Its last row."""
    cell: NotRequired[int]
    """Cell of a notebook."""
    line: NotRequired[int]
    """First line of the passage."""
    line_end: NotRequired[int]
    """Its last line."""
    symbol: NotRequired[str]
    """Dotted name of a function or class."""
    anchor: NotRequired[str]
    """Id of an element of the page above the passage."""


class ExtractResponse(TypedDict):
    """A part of the document's text: characters (code points), half-open."""

    section: list[str]
    """Headings above the passage, outermost first, without the title."""
    header: str
    """Column names of the passage's table; empty if its text begins with them."""
    location: LocationResponse
    start: int
    end: int
    text: str


class ContextResponse(TypedDict):
    """The text directly before and after a chunk. null if there is none, or if this answer already shows it."""

    before: ExtractResponse | None
    after: ExtractResponse | None


CountedBy: TypeAlias = Literal["process", "all"]


class CountedByResponse(TypedDict):
    """What counts towards each limit: `process`, what one process answers, or `all`, what all have stored
    together."""

    requests_per_minute: CountedBy
    rerank_tokens_per_minute: CountedBy
    concurrent_requests: CountedBy
    documents: CountedBy
    bytes: CountedBy


KeyScope: TypeAlias = Literal["search", "write", "admin", "operator"]


KeyStanding: TypeAlias = Literal["active", "expired", "revoked"]


class IssuedResponse(TypedDict):
    """A new key."""

    id: str
    tenant: str
    scopes: list[KeyScope]
    standing: KeyStanding
    created_at: str
    expires_at: str | None
    """null if the key never expires."""
    revoked_at: str | None
    last_used_at: str | None
    note: str
    instruction: str | None
    """Applied where a request has none."""
    collection: str | None
    """Searched where a request names none."""
    key: str
    """The key that callers send. Only this answer shows it."""


class CreatedTenantResponse(TypedDict):
    """A new tenant and its first key."""

    name: str
    created_at: str
    disabled_at: str | None
    """null if the tenant is enabled."""
    key: IssuedResponse


class DayResponse(TypedDict):
    """One day of one collection under one instruction."""

    day: str
    collection: str
    instruction: str
    """NAME@VERSION, or that it was a text of the request."""
    samples: int
    """Recorded searches."""
    repeated: int
    """Of these, questions that were recorded before."""
    moved: int
    """Of the repeated, those with another order or other scores."""
    top1_change_rate: float | None
    """null if no question was repeated."""
    overlap_at_10: float | None
    rbo: float | None
    degraded: float | None
    """Share of the samples."""
    runs: int
    """Runs of golden sets."""
    runs_moved: int
    causes: list[str]
    """Causes found by these runs."""


class DefaultBody(TypedDict):
    """PUT /v1/instructions/default"""

    instruction: str | None
    """NAME or NAME@VERSION; null resets to the model card's."""


class DefaultResponse(TypedDict):
    """The tenant's default instruction."""

    instruction: str | None
    """NAME or NAME@VERSION; null means the model card's."""


DegradeReason: TypeAlias = Literal["timeout", "overloaded", "unavailable", "breaker_open"]


class DegradedResponse(TypedDict):
    """A stage that was requested and failed."""

    stage: str
    reason: DegradeReason


class DeleteBody(TypedDict):
    """POST /v1/collections/{name}/delete"""

    filter: Mapping[str, Any]
    """Documents to remove, in the grammar of OpenAI's filters."""
    dry_run: NotRequired[bool]
    """Count the documents without removing any."""


class DeletedObject(TypedDict):
    """Something that is gone."""

    id: str
    object: str
    deleted: bool


class DeletedResponse(TypedDict):
    """What was removed."""

    deleted: str


class DeliveryResponse(TypedDict):
    """A message about the breaches of one run."""

    id: str
    """The idempotency key; the same at each attempt."""
    run: int
    created_at: str
    state: str
    """waiting, delivered, or undelivered (given up)."""
    attempts: int
    next_at: str | None
    """Not attempted before; null once it has ended."""
    ended_at: str | None
    problem: str | None
    """Why the last attempt failed."""


class DeliveriesResponse(TypedDict):
    """Deliveries, newest first."""

    deliveries: list[DeliveryResponse]


class DiffResponse(TypedDict):
    """GET /v1/instructions/{name}/diff"""

    name: str
    before: int
    """Version."""
    after: int
    """Version."""
    changes: list[ChangeResponse]
    diff: str
    """Both versions as YAML, compared like `diff -u`."""


class DiversityResponse(TypedDict):
    """What was left out, and what ordered the rest."""

    collapse: CollapseLimitsResponse | None
    """null: nothing was left out."""
    mmr_lambda: float | None
    """null: the order was kept."""
    candidates: int
    """Passages that were compared: at least `min_relevance`, if set."""
    kept: int
    """Passages that no kept one stands for; the first of them are the results."""
    collapsed: int
    """Passages that were left out. `kept` and `collapsed` are all."""


PartKind: TypeAlias = Literal["prose", "rows", "code"]


class PartResponse(TypedDict):
    """A structural part of a document's text: characters (code points), half-open."""

    start: int
    end: int
    kind: PartKind
    """Where it may be cut: prose anywhere, rows and code between lines."""
    section: list[str]
    """Headings above the passage, outermost first, without the title."""
    header: str
    """Column names, which every later chunk of a table repeats."""
    location: LocationResponse


class DocumentResponse(TypedDict):
    """A document, or the requested part of its text."""

    id: str
    title: str
    text: str
    start: int
    """Where `text` starts in the document, in characters (code points)."""
    end: int
    characters: int
    """Length of the whole text."""
    url: str | None
    metadata: dict[str, Any]
    parts: list[PartResponse]
    """Structural parts with text between `start` and `end`. Empty: the structure is not known."""


class ListedResponse(TypedDict):
    """A document in a list, without its text."""

    id: str
    title: str
    url: str | None
    characters: int
    """Length of its text."""
    metadata: dict[str, Any]


class DocumentsResponse(TypedDict):
    """GET /v1/collections/{name}/documents"""

    documents: list[ListedResponse]
    next: str | None
    """`after` of the next page; null on the last page."""


class EmbeddingCounts(TypedDict):
    """What OpenAI's shape does not say."""

    truncated: list[int]
    """Places of texts that were cut to the model's window."""


class EmbeddingDatum(TypedDict):
    """One vector."""

    object: str
    index: int
    embedding: list[float] | str
    """Unit length; base64 if `encoding_format` says so."""


class EmbeddingUsage(TypedDict):
    """Tokens that the embedder computed."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsBody(TypedDict):
    """POST /v1/embeddings, as the clients of OpenAI and Voyage send it. Other fields (user, truncation) are
    ignored."""

    input: str | Sequence[str]
    """A text, or a list of texts. Longer ones are cut to the model's window."""
    model: NotRequired[str | None]
    """Any name; the answer names the embedder that ran."""
    dimensions: NotRequired[int | None]
    """Keep only the first dimensions, renormalised. null or left out: all."""
    output_dimension: NotRequired[int | None]
    """Voyage's name of `dimensions`, which comes first."""
    output_dtype: NotRequired[Literal["float"] | None]
    """Voyage's number format; others than float are refused."""
    encoding_format: NotRequired[Literal["float", "base64"] | None]
    """base64: float32, little-endian."""
    input_type: NotRequired[Literal["query", "document"] | None]
    """query: with the embedder's task before the text, for searching. document, null or left out: as documents
    are indexed."""


class EmbeddingsResponse(TypedDict):
    """POST /v1/embeddings"""

    object: str
    data: list[EmbeddingDatum]
    """In the order of the texts."""
    model: str
    """Name of the embedder."""
    usage: EmbeddingUsage
    winnow: EmbeddingCounts


class EmptiedResponse(TypedDict):
    """POST /v1/collections/{name}/delete"""

    collection: str
    documents: int
    """Documents that match. With dry_run they are not removed."""
    dry_run: bool
    store_version: int
    """First version without these documents; with dry_run the version that was counted."""


class PlaceResponse(TypedDict):
    """A chunk."""

    document_id: str
    ordinal: int


class ExampleResponse(TypedDict):
    """One search, reranked twice. Both orders hold their first 20 places, best first."""

    at: str
    collection: str
    query_sha256: str
    query: str | None
    """null unless the shadow keeps queries."""
    candidates: int
    overlap: float
    tau: float | None
    rbo: float
    top_changed: bool
    live_order: list[PlaceResponse]
    shadow_order: list[PlaceResponse]


class KeptPlace(TypedDict):
    """The kept passage that stands for a collapsed one."""

    document_id: str
    ordinal: int


class ExplainedCandidate(TypedDict):
    """A candidate's place in both orders."""

    found_by: NotRequired[list[int | None]]
    """Only with several queries: its place in the list of each of `queries_used`. null: that query did not find
    it."""
    above_threshold: NotRequired[bool]
    """Only with `"min_relevance": "calibrated"`: whether its relevance reaches the threshold. false also if it
    was not reranked."""
    document_id: str
    ordinal: int
    recall_rank: int
    """Place in recall's order; 1 is best."""
    similarity: float | None
    """Stage one: cosine similarity in [-1, 1], also for a chunk that lexical search found. null if it was not
    computed."""
    lexical_score: float | None
    """Stage one: BM25 score of title and text. null if lexical search did not find the chunk."""
    rank: int
    """Place in the final order, before `collapse` and MMR; 1 is best."""
    relevance: float | None
    """Stage two: relevance score in [0, 1]. null if the chunk was not reranked."""
    score: float | None
    """The quantity that `ranked_by` names."""
    fields: list[str]
    """Lines that the reranker read before title and text (`rerank_fields`)."""
    collapsed_into: NotRequired[KeptPlace | None]
    """Only with `collapse`: the passage that stands for it. null: it stands for itself."""


class FeedbackBody(TypedDict):
    """POST /v1/feedback"""

    search_id: str
    """`id` of the search's answer."""
    document_id: str
    """A document that the answer showed."""
    grade: NotRequired[int | None]
    """How relevant it is; 0 is not relevant. Thumbs are 1 and 0."""
    click: NotRequired[bool]
    """true: it was opened. Either `grade` or `click`."""
    judge: NotRequired[str | None]
    """Who judges, such as a user's id. null or left out: the API key."""


class FileText(TypedDict):
    """The text of a document."""

    type: str
    text: str


class FileContentResponse(TypedDict):
    """GET /v1/vector_stores/{name}/files/{file_id}/content"""

    object: str
    data: list[FileText]
    has_more: bool
    next_page: None


class FileCounts(TypedDict):
    """Attached files; of a collection that was filled otherwise, its documents."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


FileFault: TypeAlias = Literal["unsupported_file", "invalid_file", "server_error"]


class FileNotes(TypedDict):
    """What OpenAI's shape does not say."""

    documents: int
    """Documents that the file became."""
    rejected: int
    """Records, pages or members that could not be read."""
    first_reject: str | None
    """Place and reason of the first of them."""


class FileResponse(TypedDict):
    """An uploaded file."""

    id: str
    object: str
    bytes: int
    created_at: int
    """Seconds since 1970."""
    expires_at: None
    filename: str
    purpose: str
    status: str
    status_details: None


FileStatus: TypeAlias = Literal["in_progress", "completed", "failed"]


class FilesResponse(TypedDict):
    """GET /v1/files"""

    object: str
    data: list[FileResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


Way: TypeAlias = Literal["gathered", "selected", "refilled"]


class FilteredResponse(TypedDict):
    """How the filter was applied."""

    matching: int
    """Chunks that match the filter."""
    of: int
    """Chunks in the collection."""
    way: Way
    """gathered: every matching vector was compared. selected: the index searched among matching chunks only.
    refilled: the index was asked for more until enough chunks matched."""


Why: TypeAlias = Literal["size", "age", "repair", "asked"]


class FoldResponse(TypedDict):
    """The state of a collection's folds, in /readyz."""

    building: Why | None
    """Why a generation is being built; null if none is."""
    failures: int
    """Failed attempts since the last success."""
    problem: str | None
    """Why the last attempt failed."""


class FoldedResponse(TypedDict):
    """POST /v1/collections/{name}/fold"""

    collection: str
    generation: str | None
    """The new generation; null while it is still being built."""


Recipe: TypeAlias = Literal["exact", "hnsw", "ivf-rabitq", "ivf-pq", "gpu-flat"]


class GenerationResponse(TypedDict):
    """One generation of an index."""

    name: str
    current: bool
    """Whether it is the current generation."""
    rolled_back: bool
    """Whether a rollback went back from it."""
    chunks: int | None
    """null, like the next five, if the generation cannot be read."""
    store_version: int | None
    built_at: str | None
    built_with: str | None
    recipe: Recipe | None
    """How its vectors are stored and searched."""
    recall: float | None
    """Share of the 100 nearest chunks that it found, measured when it was built; 1 for exact."""
    bytes: int
    fault: str | None
    """What is wrong with it; null if no fault was found."""


class IndexResponse(TypedDict):
    """The index that was searched."""

    generation: str | None
    """null if every chunk was compared from the store."""
    fresh_chunks: int
    """Chunks that no generation holds yet; all were compared."""
    fallback_from: str | None
    """Why the current generation does not serve; null if it does. The answer is complete either way."""
    device: str
    """Where the generation was searched: cpu, or a GPU such as cuda:0."""
    device_fault: str | None
    """Why the configured device is not used. null if it is used. The answer is complete either way."""


class GenerationsResponse(TypedDict):
    """The generations of a collection, newest first. Only their sizes are checked; `winnow verify` reads every
    byte."""

    collection: str
    rolled_back_from: str | None
    """After a rollback: the newest generation at that time. No fold starts by itself until one is requested."""
    generations: list[GenerationResponse]
    serving: IndexResponse | None
    """What this service searches; null if the collection is not open."""


class GivenResponse(TypedDict):
    """A grant, as its owner sees it."""

    collection: str
    tenant: str
    """Tenant that may search the collection."""
    created_at: str


class GoldenQueryBody(TypedDict):
    """A query of a golden set."""

    query: str
    judgments: NotRequired[Mapping[str, int] | None]
    """Grades by document id, if the query was judged; 0 is not relevant."""


class GoldenSetBody(TypedDict):
    """POST /v1/stability/golden"""

    name: str
    collection: str
    queries: Sequence[GoldenQueryBody]
    """Queries to add. One that the set already has gets the judgments given here."""
    candidates: NotRequired[int | None]
    """Candidates per search; null: the service's default. Only for a new set."""
    recall: NotRequired[RecallMode | None]
    """How candidates are found; null: the service's default. Only for a new set."""
    instruction: NotRequired[str | None]
    """NAME or NAME@VERSION; null: the one that the collection's searches use. Only for a new set."""


class ScheduleResponse(TypedDict):
    """When the service replays a golden set: at an interval, or daily at an hour."""

    every_seconds: int | None
    daily_hour: int | None
    """UTC."""
    since: str
    next_at: str
    """When the next replay is due; past if it is overdue."""


class GoldenSetResponse(TypedDict):
    """A golden set."""

    name: str
    collection: str
    queries: int
    judged: int
    """Queries with judgments."""
    candidates: int | None
    recall: RecallMode | None
    instruction: str | None
    baseline: int | None
    """Number of the run that others are compared with."""
    schedule: ScheduleResponse | None
    """null: replayed on demand, and after changes."""
    created_at: str


class GoldenSetsResponse(TypedDict):
    """The golden sets of a tenant."""

    sets: list[GoldenSetResponse]


class ReceivedResponse(TypedDict):
    """A grant, as its reader sees it."""

    collection: str
    """OWNER/NAME, as in a search."""
    created_at: str


class GrantsResponse(TypedDict):
    """The grants of a tenant."""

    given: list[GivenResponse]
    received: list[ReceivedResponse]


class HealthResponse(TypedDict):
    """The process is alive."""

    status: Literal["alive"]
    version: str


LeftOutReason: TypeAlias = Literal["token_limit", "timeout", "overloaded", "unavailable", "breaker_open"]


class HighlightReport(TypedDict):
    """Whether all passages were judged sentence by sentence."""

    left_out: int
    """Passages that were not judged; the first ones are judged first."""
    reason: LeftOutReason | None
    """token_limit, or why the reranker did not answer. null: none is left out."""
    tokens: int
    """Tokens that the reranker computed for the sentences."""
    ms: float
    """Milliseconds; part of the whole answer's."""


class HighlightResponse(TypedDict):
    """A sentence of the passage: characters (code points) of `text`, half-open."""

    start: int
    end: int
    text: str
    relevance: float
    """The reranker's score of the sentence alone, in [0, 1]."""


class ImportedResponse(TypedDict):
    """POST /v1/instructions/import"""

    added: list[str]
    """NAME@VERSION of each version that was new."""
    unchanged: int
    """Versions that were already stored, word for word."""


class InstructionResponse(TypedDict):
    """One version of an instruction."""

    name: str
    version: int
    state: State
    text: str
    literal: bool
    """Whether the text is used as it is, without variables."""
    embedding_task: str | None
    variables: list[dict[str, Any]]
    """Name and type of each; default, allowed, max_length and description if they are set."""
    purpose: str
    language: str
    collections: list[str]
    author: str
    note: str
    created_at: str
    published_at: str | None
    retired_at: str | None


class InstructionVersionsResponse(TypedDict):
    """GET /v1/instructions/{name}"""

    name: str
    versions: list[InstructionResponse]


class InstructionsResponse(TypedDict):
    """GET /v1/instructions"""

    instructions: list[InstructionResponse]
    """The tenant's own."""
    built_in: list[InstructionResponse]
    """Instructions that ship with winnow: read-only, for every tenant."""
    default: str | None
    """Default instruction of the tenant's searches; null means the model card's."""


JudgmentSource: TypeAlias = Literal["person", "model"]


class JudgmentResponse(TypedDict):
    """One judgment."""

    collection: str
    """NAME, or OWNER/NAME of a granted one."""
    query_sha256: str
    """SHA-256 of the query's text in UTF-8."""
    query: str | None
    """null: the tenant does not keep the texts of queries."""
    document_id: str
    kind: Literal["grade", "click"]
    grade: int | None
    """null for a click."""
    source: JudgmentSource
    """person, or model for a label of a reranker."""
    judge: str
    at: str


class JudgmentSettings(TypedDict):
    """The settings of a tenant's judgments."""

    keep_queries: bool


class JudgmentSettingsBody(TypedDict):
    """PUT /v1/judgments/settings"""

    keep_queries: bool
    """true: keep the texts of queries that are judged from now on. false: delete the texts kept so far."""


class ListedJudgment(TypedDict):
    """One judgment of a listing."""

    collection: str
    """NAME, or OWNER/NAME of a granted one."""
    query_sha256: str
    """SHA-256 of the query's text in UTF-8."""
    query: str | None
    """null: the tenant does not keep the texts of queries."""
    document_id: str
    kind: Literal["grade", "click"]
    grade: int | None
    """null for a click."""
    source: JudgmentSource
    """person, or model for a label of a reranker."""
    judge: str
    at: str
    number: int
    """Ascending in time; `after` of the next page."""


class JudgmentsResponse(TypedDict):
    """A page of judgments, oldest first."""

    keeps_queries: bool
    """Whether the texts of judged queries are kept."""
    judgments: list[ListedJudgment]


class KeyBody(TypedDict):
    """POST /v1/keys"""

    scopes: NotRequired[Sequence[Literal["search", "write", "admin", "operator"]]]
    """What the key may do. Scopes are independent. Only an operator may grant `operator`."""
    note: NotRequired[str]
    """What the key is for."""
    expires_in_days: NotRequired[float | None]
    """Days until the key expires. null or left out: never."""
    instruction: NotRequired[str | None]
    """Applied where a request has none: a text, or NAME or NAME@VERSION of the library."""
    collection: NotRequired[str | None]
    """Searched where a request names none."""


class KeyResponse(TypedDict):
    """An API key, without its secret."""

    id: str
    tenant: str
    scopes: list[KeyScope]
    standing: KeyStanding
    created_at: str
    expires_at: str | None
    """null if the key never expires."""
    revoked_at: str | None
    last_used_at: str | None
    note: str
    instruction: str | None
    """Applied where a request has none."""
    collection: str | None
    """Searched where a request names none."""


class KeysResponse(TypedDict):
    """All keys of a tenant, including expired and revoked ones."""

    keys: list[KeyResponse]


class LastError(TypedDict):
    """Why a file could not be read."""

    code: FileFault
    message: str


class LimitsBody(TypedDict):
    """PUT /v1/tenants/NAME/limits. null or left out: the deployment's default. 0: no limit."""

    requests_per_minute: NotRequired[int | None]
    rerank_tokens_per_minute: NotRequired[int | None]
    concurrent_requests: NotRequired[int | None]
    documents: NotRequired[int | None]
    bytes: NotRequired[int | None]
    weight: NotRequired[float | None]
    """Weight of the tenant's share of the reranker."""


class LimitsOfTenant(TypedDict):
    """Limits by name. 0 means no limit."""

    requests_per_minute: int | None
    rerank_tokens_per_minute: int | None
    concurrent_requests: int | None
    documents: int | None
    bytes: int | None
    weight: float | None
    """Weight of the tenant's share of the reranker; null means 1."""


class LimitsResponse(TypedDict):
    """A tenant's limits."""

    tenant: str
    own: LimitsOfTenant
    """The tenant's own. null: the deployment's default applies."""
    holds: LimitsOfTenant
    """The limits that apply: own ones, completed by the defaults."""
    counted_by: CountedByResponse


class MarkResponse(TypedDict):
    """A change of what a collection's answers are made with."""

    at: str
    collection: str
    factor: str
    """documents, model, instruction, index, or numerics."""
    before: str
    after: str


class MeasuresResponse(TypedDict):
    """How two runs differ: means over the queries that neither answered degraded."""

    queries: int
    moved: int
    """Queries with another order or other scores, beyond rounding."""
    top1_change_rate: float
    overlap_at_10: float
    rbo: float
    """Rank-biased overlap of the first 20 places, p = 0.9."""
    tau_b: float | None
    """Kendall's tau-b of the chunks in both answers."""
    score_shift_mean: float | None
    """Absolute, of relevance, or of recall's score."""
    score_shift_max: float | None
    degraded: float
    """Share of the answers that were degraded."""
    degraded_before: float
    ndcg_at_10: float | None
    """null without judgments."""
    ndcg_at_10_before: float | None


class MetadataCondition(TypedDict):
    """Conditions on metadata."""

    logical_operator: NotRequired[Literal["and", "or"]]
    conditions: NotRequired[Sequence[Condition]]


class MmrResponse(TypedDict):
    """Why MMR placed a passage here."""

    rank_before: int
    """Place among the kept passages before MMR; 1 is best."""
    relevance: float
    """The score, scaled to [0, 1]."""
    similarity: float | None
    """Greatest cosine to a passage placed before. null for the first."""


class ModelCard(TypedDict):
    """A model of the service, by name."""

    id: str
    object: str
    created: int
    """0: the service does not know."""
    owned_by: str
    model_type: Literal["embedding", "rerank"]
    """What it does, in the words of Xinference."""
    model_name: str


Standing: TypeAlias = Literal["unproven", "proven", "left alone"]


class ModelServerResponse(TypedDict):
    """A vLLM server that winnow uses."""

    url: str | None
    """null unless the key has the scope operator."""
    standing: Standing
    problem: str | None
    """null if there is none, or without the scope operator."""
    tokens_in_flight: int


class ModelsResponse(TypedDict):
    """GET /v1/models"""

    object: str
    data: list[ModelCard]
    """The embedder, then the rerankers, the default one first."""


class StablePlaceResponse(TypedDict):
    """A chunk in its place."""

    document_id: str
    ordinal: int
    score: float | None
    relevance: float | None


class MovedResponse(TypedDict):
    """A query whose answer moved. Both answers hold their first 20 places, best first."""

    query: str
    rbo: float
    before: list[StablePlaceResponse]
    after: list[StablePlaceResponse]


class MoverResponse(TypedDict):
    """A question whose answer moved. Both answers hold their first 20 places, best first."""

    at: str
    collection: str
    query: str
    """Empty if texts of searches are not kept."""
    query_digest: str
    run: int | None
    """Run of a golden set; null for a recorded search."""
    rbo: float
    before: list[StablePlaceResponse]
    after: list[StablePlaceResponse]


class NewStoreBody(TypedDict):
    """POST /v1/vector_stores. Other fields are ignored."""

    name: NotRequired[str | None]
    metadata: NotRequired[Mapping[str, str] | None]
    expires_after: NotRequired[Any]
    """Refused: a collection does not expire."""
    file_ids: NotRequired[Sequence[str] | None]
    """Refused unless empty: files are attached one by one."""
    chunking_strategy: NotRequired[_ChunkingChoice | None]


class OneThresholdsResponse(TypedDict):
    """The thresholds of a tenant, or of one of its collections; null: that measure is not watched."""

    collection: str | None
    """null: every collection without thresholds of its own."""
    top1_change_rate_max: float | None
    overlap_at_10_min: float | None
    rbo_min: float | None
    tau_b_min: float | None
    score_shift_max: float | None
    degraded_max: float | None
    queries_min: int


class OtherChunk(TypedDict):
    """Another chunk of a grouped result's document."""

    collapsed: NotRequired[list[CollapsedChunk]]
    """Only with `collapse`: the passages that it stands for."""
    mmr: NotRequired[MmrResponse]
    """Only with `mmr_lambda`; not for demoted passages."""
    above_threshold: NotRequired[bool]
    """Only with `"min_relevance": "calibrated"`: whether its relevance reaches the threshold. false also if it
    was not reranked."""
    highlights: NotRequired[list[HighlightResponse] | None]
    """Only with `highlight`, in the order of the text. null: the passage was not judged."""
    section: list[str]
    """Headings above the passage, outermost first, without the title."""
    header: str
    """Column names of the passage's table; empty if its text begins with them."""
    location: LocationResponse
    chunk: ChunkPlace
    text: str
    score: float | None
    """The quantity that `ranked_by` names."""
    similarity: float | None
    """Stage one: cosine similarity in [-1, 1], also for a chunk that lexical search found. null if it was not
    computed."""
    lexical_score: float | None
    """Stage one: BM25 score of title and text. null if lexical search did not find the chunk."""
    recall_rank: int
    """Place in recall's order; 1 is best."""
    relevance: float | None
    """Stage two: relevance score in [0, 1]. null if the chunk was not reranked."""
    context: NotRequired[ContextResponse]
    """Only with `neighbours`."""


class SpreadResponse(TypedDict):
    """The distribution of a measure over all searches."""

    mean: float
    p10: float
    p50: float
    p90: float


class PairResponse(TypedDict):
    """Comparison of two versions."""

    live: str
    shadow: str
    text_sha256: str
    """SHA-256 of the shadow's text, and of the collection's `rerank_fields` if it has any: a draft or the fields
    may have changed since then."""
    searches: int
    overlap: SpreadResponse | None
    """Share of the first ten places that hold the same chunks."""
    tau: SpreadResponse | None
    """Kendall's tau-b of all candidates; null if no search had an order."""
    rbo: SpreadResponse | None
    """Rank-biased overlap, extrapolated, p = 0.9."""
    top_changed: float
    """Share of the searches with another first candidate."""
    most_changed: list[ExampleResponse]
    """The lowest RBO first."""


class PairScore(TypedDict):
    """The score of one pair."""

    index: int
    object: str
    score: float
    """Relevance in [0, 1]."""


PromptPart: TypeAlias = Literal["prefix", "label", "instruction", "query", "fields", "document", "suffix"]


class PieceResponse(TypedDict):
    """A run of tokens of a prompt that holds whole characters."""

    part: PromptPart
    """label: `<Instruct>: ` and the like. document: title and text."""
    text: str
    tokens: int
    """More than 1 where a character needs several."""


class PreviewBody(TypedDict):
    """POST /v1/instructions/preview: a stored instruction, a text, or the content of a possible version."""

    instruction: NotRequired[str | InstructionChoice | None]
    content: NotRequired[ContentBody | None]
    """Used instead of `instruction`. Nothing is stored."""
    variables: NotRequired[Mapping[str, str | int]]
    """Values of `content`'s variables."""
    query: NotRequired[str]
    document: NotRequired[str]
    fields: NotRequired[Mapping[str, Any]]
    """Attributes of `document`, read as `name: value` lines before it: those that `collection` names, or all, in
    this order."""
    collection: NotRequired[str | None]
    """Show the prompt of this collection's searches: its `rerank_fields` and reranker."""
    document_id: NotRequired[str | None]
    """A document of `collection`, instead of `document` and `fields`."""
    chunk: NotRequired[int]
    """Which chunk of `document_id`."""
    reranker: NotRequired[str | None]
    """Reranker whose prompt is shown. null or left out: that of `collection`, or the default."""
    ids: NotRequired[bool]
    """Add `ids`, the token ids of the prompt, and `pieces`, their texts by part."""


class PromptTokens(TypedDict):
    """Number of tokens in each part of a prompt."""

    prefix: int
    """Fixed part before the question."""
    question: int
    """Instruction and query."""
    document: int
    """Fields, title and text."""
    fields: int
    """Field lines; part of `document`."""
    suffix: int
    """Fixed part after the document."""
    total: int
    max: int
    """Longest prompt that this reranker accepts."""


class PreviewResponse(TypedDict):
    """POST /v1/instructions/preview"""

    instruction: AppliedInstructionResponse
    text: str
    """The instruction, variables filled in."""
    reranker: str
    tokens: PromptTokens
    control_tokens: int
    """Control tokens. All are in prefix and suffix, whatever the texts contain."""
    truncated: bool
    """Whether the prompt holds only the beginning of the document."""
    fields: list[str]
    """Lines before the document's title and text."""
    fields_truncated: bool
    """Whether a line is left out or cut because of the bound."""
    prompt: str
    """The whole prompt, decoded from its tokens."""
    embedding_prompt: str
    """The text that is embedded for the query."""
    ids: NotRequired[list[int]]
    """Token ids of the prompt. Only with `ids`."""
    pieces: NotRequired[list[PieceResponse]]
    """The prompt by parts. Instruction and query are one `label` if the prompt cuts them. Only with `ids`."""


class ProbeResponse(TypedDict):
    """What a model of this process answered to a known pair, at the start."""

    model: str
    language: str
    query: str
    relevant: float
    irrelevant: float
    separated: bool


class PublishBody(TypedDict):
    """POST /v1/instructions"""

    text: str
    """Text for the reranker. Write a variable as {name}, a literal brace as {{ or }}. English is best."""
    literal: NotRequired[bool]
    """Use the texts as they are, without variables; braces are literal."""
    embedding_task: NotRequired[str | None]
    """Task for embedding the query. Default: the embedder's own task."""
    variables: NotRequired[Sequence[VariableBody]]
    purpose: NotRequired[str]
    language: NotRequired[str]
    collections: NotRequired[Sequence[str]]
    """Collections that may use this instruction; empty means all."""
    author: NotRequired[str]
    note: NotRequired[str]
    name: str
    draft: NotRequired[bool]
    """Store the content as a draft; do not publish it."""


RankedBy: TypeAlias = Literal["relevance", "blend", "recall-order"]


class RankingOptions(TypedDict):
    """How results are ranked; `ranker` is ignored."""

    score_threshold: NotRequired[float | None]
    """Least relevance. Where nothing was reranked it is not applied; the answer says so."""


class ReadyCollectionResponse(TypedDict):
    """A collection of the caller's tenant. Fields of its index are null while it is not open, or has none."""

    name: str
    open: bool
    generation: str | None
    rolled_back_from: str | None
    store_version: int | None
    unfolded_chunks: int | None
    fold: FoldResponse | None
    index_device: str | None
    problem: str | None


class ReadyModelsResponse(TypedDict):
    """The models."""

    embedder: str
    reranker: str
    rerankers: list[str]
    device: str
    probes: list[ProbeResponse]
    servers: list[ModelServerResponse]


class SpawnedServerResponse(TypedDict):
    """A vLLM server that winnow started."""

    role: str
    state: str
    seconds: float
    """Time in this state."""
    starts: int
    note: str | None
    url: str | None
    """null unless the key has the scope operator."""


class ReadyResponse(TypedDict):
    """Whether the service can answer. Status 503 has the same body."""

    status: Literal["ready", "not ready"]
    problems: list[str] | None
    """null unless the key has the scope operator."""
    models: ReadyModelsResponse
    spawned: list[SpawnedServerResponse]
    collections: list[ReadyCollectionResponse] | None
    """null without a key."""


class Record(TypedDict):
    """A passage."""

    content: str
    score: float
    """For display: in [0, 1], falling from result to result. No relevance."""
    title: str
    metadata: dict[str, Any]


class RejectedResponse(TypedDict):
    """A document that was not stored."""

    line: int
    """Line of NDJSON, or place in `documents`; 1 is the first."""
    id: str | None
    reason: str


class RelevantSpan(TypedDict):
    """A sentence of the document, as Cohere's clients read it: characters (code points), half-open."""

    start: int
    end: int
    score: float


class RelevantSpans(TypedDict):
    """`relevant_spans` of a request, as Cohere's clients send it."""

    mode: NotRequired[Literal["enabled", "disabled"]]
    threshold: NotRequired[float]
    """Least relevance of a span."""
    max_spans: NotRequired[int | None]
    """Maximum spans of a document, the best ones. null or left out: all."""


class RemovedJudgments(TypedDict):
    """DELETE /v1/judgments"""

    removed: int
    """The number of judgments that were deleted."""


class TemplateArguments(TypedDict):
    """Arguments of vLLM's chat template; those that winnow does not know are ignored."""

    instruction: NotRequired[str | InstructionChoice | None]


class TextDocument(TypedDict):
    """A document, as the clients of Cohere's v1 and of Jina may send it. `rerank_fields` can name its other
    fields."""

    text: NotRequired[str | None]
    """Required unless `rank_fields` names the fields to read."""


class RerankBody(TypedDict):
    """POST /v1/rerank, as the clients of Cohere, Jina, Voyage, Infinity and vLLM send it. Fields that have no
    meaning in winnow (max_tokens_per_doc, truncation, user ...) are ignored. A query that is too long is cut, and
    `meta.warnings` says so."""

    model: NotRequired[str | None]
    """Name of a configured reranker; any other name means the default one, and the answer names the one that ran.
    `MODEL@NAME` or `MODEL@NAME@VERSION` also chooses an instruction of the library, for clients that can send
    nothing else: `winnow-rerank@builtin/legal-statutes`."""
    instruction: NotRequired[str | InstructionChoice | None]
    """What counts as relevant: a text, or a published instruction of the library."""
    instruct: NotRequired[str | None]
    """Same as `instruction`, in SGLang's spelling."""
    chat_template_kwargs: NotRequired[TemplateArguments | None]
    """Its `instruction` wins over the other two, as in vLLM."""
    query: str
    documents: Sequence[str | TextDocument]
    top_n: NotRequired[int | None]
    """Number of results. 0 or null returns all, as in vLLM."""
    top_k: NotRequired[int | None]
    """Same as `top_n`, in Voyage's spelling."""
    rerank_fields: NotRequired[Sequence[str] | None]
    """Fields of documents that are objects, read as `name: value` lines before the text."""
    rank_fields: NotRequired[Sequence[str] | None]
    """Same as `rerank_fields`, in Cohere's spelling. `text` may stand among them."""
    rerank_field_tokens: NotRequired[int | None]
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    return_documents: NotRequired[bool | None]
    """Whether results hold the texts; true by default."""
    collapse: NotRequired[Literal[False] | CollapseLimits | None]
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. Only by
    shingles: these documents have no stored vectors."""
    highlight: NotRequired[bool | None]
    """Add `highlights`: the sentences of each passage that carry its relevance, judged one by one by the
    reranker, within 16,384 tokens. What cannot be judged has none, and `highlight` says why."""
    relevant_spans: NotRequired[RelevantSpans | None]
    """Highlights in Cohere's spelling, with limits of your own."""
    mmr_lambda: NotRequired[float | None]
    """Refused: MMR compares stored vectors, which these documents do not have."""
    raw_scores: NotRequired[bool | None]
    """true: scores are logits, not probabilities. The order is the same."""
    timeout_ms: NotRequired[int | None]


class RerankCounts(TypedDict):
    """What was reranked, and how."""

    judged: int
    """Documents with a relevance score."""
    remembered: int
    """Documents of `judged` whose score came from the cache."""
    tokens_computed: int
    """Tokens that a model computed for this request."""
    instruction_applied: bool
    """Whether the reranker read the instruction. false if it is a model that reads none, or if nothing was
    reranked."""
    instruction: NotRequired[str]
    """Only for an instruction of the library: its name and version."""
    collapsed: NotRequired[int]
    """Only with `collapse`: documents that were left out."""
    highlight: NotRequired[HighlightReport]
    """Only with `highlight` or `relevant_spans`."""


class RerankDatum(TypedDict):
    """One reranked document, as Voyage's client reads it."""

    object: str
    index: int
    relevance_score: float


class RerankTokens(TypedDict):
    """Tokens of the request, as Cohere's client reads them."""

    input_tokens: int
    output_tokens: int


class RerankMeta(TypedDict):
    """What Cohere's client reads besides the results."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: RerankTokens
    warnings: list[str]
    """Documents, or a query, of which only the beginning was read; missing highlights."""
    winnow: RerankCounts


class RerankedText(TypedDict):
    """The document, as the clients of Cohere and Jina read it."""

    text: str


class RerankResult(TypedDict):
    """One reranked document."""

    highlights: NotRequired[list[HighlightResponse] | None]
    """Only with `highlight`, in the order of the text. null: the passage was not judged."""
    index: int
    """Place of the document in the request; 0 is the first."""
    relevance_score: float
    document: NotRequired[RerankedText]
    """Only with `return_documents`."""
    collapsed: NotRequired[list[CollapsedText]]
    """Only with `collapse`: the documents that it stands for."""
    relevant_spans: NotRequired[list[RelevantSpan]]
    """Only with `relevant_spans`; missing where the document was not judged."""


class RerankUsage(TypedDict):
    """Tokens of the request, also where scores came from the cache (`meta.winnow.tokens_computed` leaves those
    out)."""

    prompt_tokens: int
    total_tokens: int


class RerankResponse(TypedDict):
    """POST /v1/rerank: one body for the clients of Cohere, Jina, Voyage, Infinity and vLLM."""

    id: str
    object: str
    model: str
    """Name of the reranker."""
    results: list[RerankResult]
    """Best first."""
    data: list[RerankDatum]
    """The same documents, as Voyage's client reads them."""
    usage: RerankUsage
    meta: RerankMeta


RerankSkipped: TypeAlias = Literal["not_requested", "no_weight", "no_candidates"]


class RetrievalSetting(TypedDict):
    """How many results, and from which relevance on."""

    top_k: NotRequired[int | None]
    score_threshold: NotRequired[float | None]
    """Least relevance. Where nothing was reranked it is not applied. 0 is none."""


class RetrievalBody(TypedDict):
    """POST /retrieval, as Dify and RAGFlow send it."""

    knowledge_id: str
    """NAME of a collection, or OWNER/NAME of a granted one."""
    query: str
    retrieval_setting: NotRequired[RetrievalSetting]
    metadata_condition: NotRequired[MetadataCondition | None]
    instruction: NotRequired[str | InstructionChoice | None]


class RetrievalResponse(TypedDict):
    """POST /retrieval"""

    records: list[Record]
    threshold_applied: bool
    reason: str | None
    """Why a threshold was not applied."""


RewriteReason: TypeAlias = Literal[
    "not_requested",
    "not_configured",
    "single_turn",
    "timeout",
    "overloaded",
    "unavailable",
    "breaker_open",
    "refused",
    "unusable_answer",
]


RewriteStatus: TypeAlias = Literal["applied", "skipped", "degraded"]


class RewriteResponse(TypedDict):
    """What became of a conversation."""

    status: RewriteStatus
    """applied: a chat model wrote the query. skipped: the last message of the user is the query. degraded:
    likewise, because rewriting failed."""
    reason: RewriteReason | None
    """Why the last message is the query; null if applied. refused: the chat model declines. unusable_answer: what
    it wrote is empty, too long, or no question of this conversation. breaker_open: it failed before and is left
    alone until it answers a check."""
    model: str | None
    """Name of the chat model; null if none was asked."""
    tokens: int
    """Tokens that it read and wrote, as its server counts them."""


class RollbackBody(TypedDict):
    """POST /v1/collections/{name}/generations/rollback"""

    to: NotRequired[str | None]
    """Generation to make current. null or left out: the newest intact one before the current one."""


class RotateBody(TypedDict):
    """POST /v1/keys/ID/rotate"""

    overlap_seconds: NotRequired[int]
    """Seconds for which the old key remains valid."""


class RotateWebhookBody(TypedDict):
    """POST /v1/stability/webhook/rotate"""

    overlap_seconds: NotRequired[int]
    """How long the previous secret signs messages as well."""


class RunBody(TypedDict):
    """POST /v1/stability/runs"""

    name: str
    rebase: NotRequired[bool]
    """Make this run the baseline of later ones."""


class StateResponse(TypedDict):
    """What the answers were made with."""

    store_version: int
    documents: str
    """SHA-256 over the ids and contents of all documents; may be empty."""
    generation: str | None
    index: str
    embedder: str
    reranker: str | None
    instruction: str
    instruction_sha256: str
    recall: RecallMode
    candidates: int
    settings: str
    runtime: str


class RunResponse(TypedDict):
    """A run of a golden set."""

    number: int
    name: str
    """Of the golden set."""
    collection: str
    at: str
    trigger: str
    """What started it: request or command; the service itself by schedule, or after a change of model,
    instruction, index (publication) or runtime."""
    is_baseline: bool
    baseline: int | None
    """Number of the run that it was compared with."""
    measures: MeasuresResponse | None
    """null for the first run."""
    changed: list[str]
    """What differs from the baseline's state."""
    causes: list[CauseResponse]
    """Empty if nothing moved."""
    breaches: list[BreachResponse]
    """Of the thresholds that held then."""
    state: StateResponse


class RunReportResponse(TypedDict):
    """A run, with the queries that moved most."""

    run: RunResponse
    moved: list[MovedResponse]
    """The lowest RBO first; at most 50."""


class RunsResponse(TypedDict):
    """Runs, newest first."""

    runs: list[RunResponse]


class SamplingBody(TypedDict):
    """PUT /v1/stability/sampling"""

    share: float
    """Share of the tenant's searches to record, in [0, 1]."""
    keep_queries: NotRequired[bool]
    """Store query texts, not only keyed digests. false deletes texts stored before."""


class SamplingResponse(TypedDict):
    """Which share of a tenant's searches is recorded."""

    share: float
    keep_queries: bool


class ScheduleBody(TypedDict):
    """PUT /v1/stability/golden/{name}/schedule: one of the two."""

    every_seconds: NotRequired[int | None]
    """Interval between replays, counted from now."""
    daily_hour: NotRequired[int | None]
    """Hour of the day in UTC, from 0 to 23."""


class ScoreBody(TypedDict):
    """POST /score, as vLLM's clients send it: one query with each text, or as many queries as texts."""

    model: NotRequired[str | None]
    """Name of a configured reranker; any other name means the default one, and the answer names the one that ran.
    `MODEL@NAME` or `MODEL@NAME@VERSION` also chooses an instruction of the library, for clients that can send
    nothing else: `winnow-rerank@builtin/legal-statutes`."""
    instruction: NotRequired[str | InstructionChoice | None]
    """What counts as relevant: a text, or a published instruction of the library."""
    instruct: NotRequired[str | None]
    """Same as `instruction`, in SGLang's spelling."""
    chat_template_kwargs: NotRequired[TemplateArguments | None]
    """Its `instruction` wins over the other two, as in vLLM."""
    queries: str | Sequence[str]
    """Also `text_1` and `data_1`."""
    documents: str | Sequence[str]
    """Also `items`, `text_2` and `data_2`."""


class ScoreResponse(TypedDict):
    """POST /score: the scores in the order of the texts."""

    id: str
    object: str
    created: int
    """Seconds since 1970."""
    model: str
    """Name of the reranker."""
    data: list[PairScore]
    usage: RerankUsage


class SearchBody(TypedDict):
    """POST /v1/search"""

    query: NotRequired[str | None]
    """The question. Needed unless `messages` or `queries` is given."""
    messages: NotRequired[Sequence[ChatMessage] | None]
    """A conversation, in place of `query`. The query is a question that a chat model of the operator makes of it,
    if there is one, or else the last message of the user; `query_used` and `rewrite` say which."""
    queries: NotRequired[Sequence[str] | None]
    """Further queries, whose candidates are fused with those of the main query: `query`, that of `messages`, or
    else the first of these. The reranker judges by the main query. Each query beyond the first counts as a
    search, and as a request towards the tenant's limit."""
    rewrite: NotRequired[bool]
    """false: the conversation is not sent to a chat model. Only with `messages`."""
    top_k: NotRequired[int]
    candidates: NotRequired[int | None]
    """Number of candidates from recall. null or left out: the service's default."""
    recall: NotRequired[RecallMode | None]
    """How recall finds candidates: dense by meaning, lexical by words (BM25), hybrid by both. null or left out:
    the service's default."""
    depth: NotRequired[Depth | None]
    """full reranks all candidates. adaptive stops when the rest can hardly change the first `top_k`. null or left
    out: the service's default. Grouped answers, `min_relevance`, `collapse` and `mmr_lambda` always need all."""
    filter: NotRequired[Mapping[str, Any] | None]
    """Documents to search, by their metadata, in the grammar of OpenAI's filters."""
    rerank: NotRequired[bool | Literal["always"]]
    """false: results are in recall's order. true: the reranker runs unless relevance has no weight under the
    instruction; then `rerank_skipped` says so. always: it runs in any case, for the relevance of each result.
    `min_relevance` implies always."""
    instruction: NotRequired[str | InstructionChoice | None]
    """What counts as relevant: a text, or a published instruction."""
    min_relevance: NotRequired[float | Literal["calibrated"] | None]
    """Leave out results with a lower relevance. calibrated: below the threshold that `winnow calibrate` measured
    for this collection, reranker and instruction. Not applied if nothing was reranked."""
    group_by_document: NotRequired[bool]
    """Return one result per document, with its other chunks in `other_chunks`. Recall looks beyond `candidates`
    chunks until it has `top_k` documents, but no more are reranked."""
    chunks_per_document: NotRequired[int | None]
    """Only with `group_by_document`: maximum chunks per document, the best ones. null or left out: all
    candidates."""
    neighbours: NotRequired[int]
    """Add `context`: the text of this many chunks before and after each result; no text twice."""
    highlight: NotRequired[bool]
    """Add `highlights`: the sentences of each passage that carry its relevance, judged one by one by the
    reranker, within 16,384 tokens. What cannot be judged has none, and `highlight` says why. Needs `rerank`."""
    demote_query_echo: NotRequired[bool | None]
    """Rank passages that hold little more than the query behind all others and mark them as demoted. For
    collections that untrusted authors write to. null or left out: as the collection is set."""
    collapse: NotRequired[Literal[False] | CollapseLimits | None]
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. Deeper
    candidates fill `top_k`. false: off. null or left out: as the collection is set."""
    mmr_lambda: NotRequired[float | None]
    """Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage
    placed before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the
    order. Applied after `collapse`. null or left out: as the collection is set."""
    on_rerank_failure: NotRequired[OnRerankFailure]
    timeout_ms: NotRequired[int | None]
    explain: NotRequired[bool]
    """Add `explain`: every candidate's place in both orders; `filtered`: how the filter was applied; `index`:
    what was searched."""
    collection: NotRequired[str | None]
    """NAME of a collection of the tenant, or OWNER/NAME of a granted one. null or left out: that of the key."""


class SearchNotes(TypedDict):
    """What OpenAI's shape does not say."""

    threshold_applied: bool
    reason: str | None
    """Why a threshold was not applied."""
    ranked_by: str | None
    """What orders the results; null: nothing was searched."""
    judged_by: str | None
    relevance: list[float | None]
    """Of each result; null: it was not reranked."""


class SearchResult(TypedDict):
    """One result: a chunk and its scores."""

    collapsed: NotRequired[list[CollapsedChunk]]
    """Only with `collapse`: the passages that it stands for."""
    mmr: NotRequired[MmrResponse]
    """Only with `mmr_lambda`; not for demoted passages."""
    above_threshold: NotRequired[bool]
    """Only with `"min_relevance": "calibrated"`: whether its relevance reaches the threshold. false also if it
    was not reranked."""
    highlights: NotRequired[list[HighlightResponse] | None]
    """Only with `highlight`, in the order of the text. null: the passage was not judged."""
    section: list[str]
    """Headings above the passage, outermost first, without the title."""
    header: str
    """Column names of the passage's table; empty if its text begins with them."""
    location: LocationResponse
    rank: int
    """1 is best."""
    score: float | None
    """The quantity that `ranked_by` names."""
    document_id: str
    chunk: ChunkPlace
    title: str
    url: str | None
    text: str
    metadata: dict[str, Any]
    similarity: float | None
    """Stage one: cosine similarity in [-1, 1], also for a chunk that lexical search found. null if it was not
    computed."""
    lexical_score: float | None
    """Stage one: BM25 score of title and text. null if lexical search did not find the chunk."""
    recall_rank: int
    """Place in recall's order; 1 is best."""
    relevance: float | None
    """Stage two: relevance score in [0, 1]. null if the chunk was not reranked."""
    truncated: bool
    """Whether the reranker read only the beginning."""
    demoted: bool
    """Whether `demote_query_echo` placed it behind the others, whatever its score."""
    context: NotRequired[ContextResponse]
    """Only with `neighbours`."""
    other_chunks: NotRequired[list[OtherChunk]]
    """Only with `group_by_document`."""


class Timings(TypedDict):
    """Milliseconds by stage. null if a stage did not run."""

    embed: float
    recall: float
    lexical: float | None
    """Lexical search; part of `recall`."""
    fetch: float
    rerank: float | None
    rewrite: NotRequired[float]
    """Only if a chat model was asked."""
    diversify: NotRequired[float]
    """Near-identical passages and MMR. Only with `collapse` or `mmr_lambda`."""
    total: float


class Usage(TypedDict):
    """What was computed for this answer, and what came from a cache."""

    embed_tokens: int
    rerank_tokens: int
    total_tokens: int
    candidates: int
    judged: int
    """Candidates with a relevance score; fewer than all if `depth` is adaptive."""
    remembered: int
    """Candidates of `judged` whose score came from the cache."""
    query_remembered: bool
    """Whether the query's vector came from the cache."""


class SearchResponse(TypedDict):
    """POST /v1/search"""

    query_used: NotRequired[str]
    """Only with `messages` or `queries`: the main query, by which is reranked."""
    queries_used: NotRequired[list[str]]
    """Only with `explain` and several queries: each once, the main query first."""
    rewrite: NotRequired[RewriteResponse]
    """Only with `messages`."""
    answerable: NotRequired[bool]
    """Only with `"min_relevance": "calibrated"`: whether a result reaches the threshold. false also if nothing
    was reranked."""
    calibration: NotRequired[AppliedCalibration | None]
    """Likewise. null if the collection's reranker is not configured."""
    id: str
    collection: str
    generation: str | None
    """null if every chunk was compared from the store."""
    store_version: int
    recall: RecallMode
    """How candidates were found: dense, lexical or hybrid."""
    instruction: AppliedInstructionResponse
    instruction_applied: bool
    """Whether the reranker read the instruction. false if it is a model that reads none, or if nothing was
    reranked."""
    judged_by: str
    """Name of the reranker; recall-order if nothing was reranked."""
    ranked_by: RankedBy
    degraded: DegradedResponse | None
    """null if nothing failed."""
    rerank_skipped: RerankSkipped | None
    """Why the reranker did not run although nothing failed. null if it ran or failed. not_requested: `rerank` is
    false. no_weight: relevance has no weight in this reranker's order under this instruction. no_candidates:
    recall found nothing."""
    diversity: NotRequired[DiversityResponse]
    """Only with `collapse` or `mmr_lambda`."""
    highlight: NotRequired[HighlightReport]
    """Only with `highlight`."""
    results: list[SearchResult]
    timings_ms: Timings
    usage: Usage
    explain: NotRequired[list[ExplainedCandidate]]
    """Only with `explain`."""
    filtered: NotRequired[FilteredResponse | None]
    """Only with `explain`; null if no filter was set."""
    index: NotRequired[IndexResponse]
    """Only with `explain`."""


class ShadowBody(TypedDict):
    """PUT /v1/instructions/{name}/shadow"""

    version: int
    """Version of this instruction to try, usually a draft."""
    share: NotRequired[float]
    """Share of the searches under `live`, in [0, 1]; 0 pauses the shadow."""
    live: NotRequired[str | None]
    """Instruction of the searches that the shadow covers: NAME, NAME@VERSION, or `default` for the model card's.
    null or left out: this instruction."""
    collection: NotRequired[str | None]
    """Cover only its searches. null or left out: all of the tenant's own."""
    keep_queries: NotRequired[bool]
    """Store query texts, not only their SHA-256."""


class ShadowResponse(TypedDict):
    """A shadow: which searches are reranked a second time, and with which version."""

    name: str
    """Instruction in the shadow."""
    version: int
    live: str
    """Instruction of the searches that it covers."""
    share: float
    """Share of those searches, in [0, 1]."""
    collection: str | None
    """null means all collections of the tenant."""
    keep_queries: bool
    """Whether query texts are stored, not only their SHA-256."""
    started_at: str


class ShadowReportResponse(TypedDict):
    """The report of a shadow."""

    name: str
    shadow: ShadowResponse | None
    """null if the shadow has ended; its report remains."""
    pairs: list[PairResponse]
    """The last compared pair first."""


class ShadowsResponse(TypedDict):
    """The shadows of a tenant."""

    shadows: list[ShadowResponse]


class StabilityReportResponse(TypedDict):
    """Ranking stability of the last days."""

    since: str
    days: list[DayResponse]
    marks: list[MarkResponse]
    """What changed when, in order."""
    movers: list[MoverResponse]
    """The lowest RBO first."""
    runs: list[RunResponse]
    """Runs of golden sets, newest first."""


class StoreBody(TypedDict):
    """POST /v1/vector_stores/{name}: what is left out stays as it is."""

    name: NotRequired[str | None]
    metadata: NotRequired[Mapping[str, str] | None]
    expires_after: NotRequired[Any]
    """Refused: a collection does not expire."""


class StoreFileResponse(TypedDict):
    """A file in a vector store."""

    id: str
    object: str
    created_at: int
    vector_store_id: str
    status: FileStatus
    last_error: LastError | None
    usage_bytes: int
    attributes: dict[str, str | float | bool]
    chunking_strategy: ChunkingStrategy
    winnow: FileNotes


class StoreFilesResponse(TypedDict):
    """GET /v1/vector_stores/{name}/files"""

    object: str
    data: list[StoreFileResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


class TenantBody(TypedDict):
    """POST /v1/tenants"""

    name: str


class TenantChange(TypedDict):
    """PATCH /v1/tenants/NAME"""

    disabled: bool


class TenantResponse(TypedDict):
    """A tenant."""

    name: str
    created_at: str
    disabled_at: str | None
    """null if the tenant is enabled."""


class TenantsResponse(TypedDict):
    """All tenants of the deployment."""

    tenants: list[TenantResponse]


class TextContent(TypedDict):
    """The text of a passage."""

    type: str
    text: str


class TextScore(TypedDict):
    """The score of one text."""

    index: int
    """Place of the text in the request; 0 is the first."""
    score: float
    text: NotRequired[str]
    """Only with `return_text`."""


class TextsBody(TypedDict):
    """POST /rerank, as TEI's clients send it. `truncate` and `truncation_direction` are ignored: a text that is
    too long is cut at its end."""

    model: NotRequired[str | None]
    """Name of a configured reranker; any other name means the default one, and the answer names the one that ran.
    `MODEL@NAME` or `MODEL@NAME@VERSION` also chooses an instruction of the library, for clients that can send
    nothing else: `winnow-rerank@builtin/legal-statutes`."""
    instruction: NotRequired[str | InstructionChoice | None]
    """What counts as relevant: a text, or a published instruction of the library."""
    instruct: NotRequired[str | None]
    """Same as `instruction`, in SGLang's spelling."""
    chat_template_kwargs: NotRequired[TemplateArguments | None]
    """Its `instruction` wins over the other two, as in vLLM."""
    query: str
    texts: Sequence[str]
    raw_scores: NotRequired[bool | None]
    """true: scores are logits, not probabilities. The order is the same."""
    return_text: NotRequired[bool | None]
    """Whether results hold the texts; false by default."""


class ThresholdsBody(TypedDict):
    """PUT /v1/stability/thresholds"""

    collection: NotRequired[str | None]
    """Collection that these thresholds are for; null: every collection without thresholds of its own."""
    top1_change_rate_max: NotRequired[float | None]
    """Most queries with another first passage, as a share."""
    overlap_at_10_min: NotRequired[float | None]
    """Least mean overlap of the first ten places."""
    rbo_min: NotRequired[float | None]
    """Least mean rank-biased overlap."""
    tau_b_min: NotRequired[float | None]
    """Least mean Kendall's tau-b."""
    score_shift_max: NotRequired[float | None]
    """Largest shift of a single score."""
    degraded_max: NotRequired[float | None]
    """Most degraded answers of the run, as a share."""
    queries_min: NotRequired[int]
    """A run that compared fewer queries is only checked for degraded answers."""


class ThresholdsResponse(TypedDict):
    """All thresholds of a tenant."""

    thresholds: list[OneThresholdsResponse]


class TrialBody(TypedDict):
    """POST /v1/instructions/try"""

    query: str
    collection: str
    versions: Sequence[str | InstructionChoice]
    """NAME, NAME@VERSION (drafts too), {name, version, variables}, or `default` for the instruction in use. The
    others are compared with the first."""
    top_k: NotRequired[int]
    candidates: NotRequired[int | None]
    recall: NotRequired[RecallMode | None]
    filter: NotRequired[Mapping[str, Any] | None]
    timeout_ms: NotRequired[int | None]


class TrialResult(TypedDict):
    """A place of one ranking."""

    rank: int
    """1 is best."""
    moved: int
    """Places up, compared with the first ranking; negative is down."""
    document_id: str
    chunk: ChunkPlace
    title: str
    score: float | None
    relevance: float | None


class TrialColumnResponse(TypedDict):
    """The ranking under one instruction."""

    instruction: AppliedInstructionResponse
    text: str | None
    """null if a granted collection's owner chose it; only the owner may read it."""
    instruction_applied: bool
    """Whether the reranker read the instruction. false if it is a model that reads none, or if nothing was
    reranked."""
    judged_by: str
    """Name of the reranker."""
    ranked_by: RankedBy
    rerank_skipped: RerankSkipped | None
    """As in the answer of a search."""
    results: list[TrialResult]


class TrialResponse(TypedDict):
    """POST /v1/instructions/try"""

    collection: str
    query: str
    store_version: int
    recall: RecallMode
    candidates: int
    """Number of candidates that were ranked."""
    judged_by: str
    """Of the first column."""
    ranked_by: RankedBy
    """Of the first column."""
    rerank_tokens: int
    columns: list[TrialColumnResponse]
    """In the requested order; the others are compared with the first."""


class UpsertResponse(TypedDict):
    """POST /v1/collections/{name}/documents. Accepted documents are on the disk and searchable."""

    collection: str
    accepted: int
    unchanged: int
    """Accepted documents that were already stored, word for word."""
    chunks: int
    rejected: list[RejectedResponse]
    store_version: int | None
    """null if nothing was written."""
    tokens: int
    """Tokens computed by the embedder."""
    cosine_loss: float | None
    """By how much rounding to float16 can change the cosine of a written chunk with any query. null if vectors
    are float32, or nothing was written."""


UsageFormat: TypeAlias = Literal["json", "csv"]


class UsageOfDay(TypedDict):
    """What one tenant used on one day."""

    tenant: str
    day: str
    """In UTC."""
    requests: int
    """Admitted requests."""
    searches: int
    """Answered searches."""
    rerank_documents: int
    """Documents scored by a reranker."""
    rerank_remembered: int
    """Documents with a cached score, at no cost."""
    rerank_tokens: int
    """Tokens computed by a reranker."""
    embedded_tokens: int
    """Tokens computed by an embedder, of queries and documents."""
    documents_written: int
    bytes_written: int
    """Titles and texts in UTF-8."""


class UsageResponse(TypedDict):
    """Usage by day and tenant."""

    usage: list[UsageOfDay]


class VectorStoreHit(TypedDict):
    """A passage."""

    file_id: str
    """Id of the file that was attached, or of the document."""
    filename: str
    """Name of that file, or the title of the document, or its id."""
    score: float
    """For display: in [0, 1], falling from result to result. No relevance."""
    attributes: dict[str, str | float | bool]
    """The first 16 texts, numbers and booleans of the metadata."""
    content: list[TextContent]


class VectorStorePage(TypedDict):
    """POST /v1/vector_stores/{id}/search"""

    object: str
    search_query: list[str]
    data: list[VectorStoreHit]
    has_more: bool
    next_page: None
    winnow: SearchNotes


class VectorStoreResponse(TypedDict):
    """A collection."""

    id: str
    object: str
    name: str
    created_at: int
    """Seconds since 1970."""
    last_active_at: None
    status: str
    """completed, or expired if it was built with another embedder."""
    file_counts: FileCounts
    usage_bytes: int
    expires_after: None
    expires_at: None
    metadata: dict[str, str]


class VectorStoreSearchBody(TypedDict):
    """POST /v1/vector_stores/{id}/search, as OpenAI's clients send it. Other fields (rewrite_query) are ignored."""

    query: str | Sequence[str]
    """A query, or several, whose candidates are fused; the reranker judges by the first."""
    filters: NotRequired[Mapping[str, Any] | None]
    """An attribute that the collection lacks matches nothing."""
    max_num_results: NotRequired[int | None]
    ranking_options: NotRequired[RankingOptions | None]
    instruction: NotRequired[str | InstructionChoice | None]
    """What counts as relevant: a text, or a published instruction of the library."""


class VectorStoresResponse(TypedDict):
    """GET /v1/vector_stores"""

    object: str
    data: list[VectorStoreResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebResult(TypedDict):
    """A passage."""

    link: str
    title: str
    snippet: str


class WebSearchBody(TypedDict):
    """POST /v1/collections/{name}/web_search, as Open WebUI sends it."""

    query: str
    count: NotRequired[int | None]
    """Number of results; null or left out: 5."""


class WebhookBody(TypedDict):
    """PUT /v1/stability/webhook"""

    url: str
    """Where messages are sent: http or https, to a host that the operator allowed."""


class WebhookResponse(TypedDict):
    """The URL that receives the breaches of a tenant."""

    url: str | None
    """null: there is no webhook."""
    created_at: str | None
    secret: str | None
    """Only in the answer that created it; null in all others."""
    previous_secret_until: str | None
    """Until then a rotated secret signs as well."""


class SearchOptions(TypedDict, total=False):
    """Keyword arguments; what is left out is left to the service."""

    messages: Sequence[ChatMessage] | None
    """A conversation, in place of `query`. The query is a question that a chat model of the operator makes of it,
    if there is one, or else the last message of the user; `query_used` and `rewrite` say which."""
    queries: Sequence[str] | None
    """Further queries, whose candidates are fused with those of the main query: `query`, that of `messages`, or
    else the first of these. The reranker judges by the main query. Each query beyond the first counts as a
    search, and as a request towards the tenant's limit."""
    rewrite: bool
    """false: the conversation is not sent to a chat model. Only with `messages`."""
    top_k: int
    candidates: int | None
    """Number of candidates from recall. null or left out: the service's default."""
    recall: RecallMode | None
    """How recall finds candidates: dense by meaning, lexical by words (BM25), hybrid by both. null or left out:
    the service's default."""
    depth: Depth | None
    """full reranks all candidates. adaptive stops when the rest can hardly change the first `top_k`. null or left
    out: the service's default. Grouped answers, `min_relevance`, `collapse` and `mmr_lambda` always need all."""
    filter: Mapping[str, Any] | None
    """Documents to search, by their metadata, in the grammar of OpenAI's filters."""
    rerank: bool | Literal["always"]
    """false: results are in recall's order. true: the reranker runs unless relevance has no weight under the
    instruction; then `rerank_skipped` says so. always: it runs in any case, for the relevance of each result.
    `min_relevance` implies always."""
    instruction: str | InstructionChoice | None
    """What counts as relevant: a text, or a published instruction."""
    min_relevance: float | Literal["calibrated"] | None
    """Leave out results with a lower relevance. calibrated: below the threshold that `winnow calibrate` measured
    for this collection, reranker and instruction. Not applied if nothing was reranked."""
    group_by_document: bool
    """Return one result per document, with its other chunks in `other_chunks`. Recall looks beyond `candidates`
    chunks until it has `top_k` documents, but no more are reranked."""
    chunks_per_document: int | None
    """Only with `group_by_document`: maximum chunks per document, the best ones. null or left out: all
    candidates."""
    neighbours: int
    """Add `context`: the text of this many chunks before and after each result; no text twice."""
    highlight: bool
    """Add `highlights`: the sentences of each passage that carry its relevance, judged one by one by the
    reranker, within 16,384 tokens. What cannot be judged has none, and `highlight` says why. Needs `rerank`."""
    demote_query_echo: bool | None
    """Rank passages that hold little more than the query behind all others and mark them as demoted. For
    collections that untrusted authors write to. null or left out: as the collection is set."""
    collapse: Literal[False] | CollapseLimits | None
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. Deeper
    candidates fill `top_k`. false: off. null or left out: as the collection is set."""
    mmr_lambda: float | None
    """Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage
    placed before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the
    order. Applied after `collapse`. null or left out: as the collection is set."""
    on_rerank_failure: OnRerankFailure
    timeout_ms: int | None
    explain: bool
    """Add `explain`: every candidate's place in both orders; `filtered`: how the filter was applied; `index`:
    what was searched."""


class RerankOptions(TypedDict, total=False):
    """Keyword arguments; what is left out is left to the service."""

    instruction: str | InstructionChoice | None
    """What counts as relevant: a text, or a published instruction of the library."""
    top_n: int | None
    """Number of results. 0 or null returns all, as in vLLM."""
    rerank_fields: Sequence[str] | None
    """Fields of documents that are objects, read as `name: value` lines before the text."""
    rerank_field_tokens: int | None
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    return_documents: bool | None
    """Whether results hold the texts; true by default."""
    collapse: Literal[False] | CollapseLimits | None
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. Only by
    shingles: these documents have no stored vectors."""
    highlight: bool | None
    """Add `highlights`: the sentences of each passage that carry its relevance, judged one by one by the
    reranker, within 16,384 tokens. What cannot be judged has none, and `highlight` says why."""
    relevant_spans: RelevantSpans | None
    """Highlights in Cohere's spelling, with limits of your own."""
    mmr_lambda: float | None
    """Refused: MMR compares stored vectors, which these documents do not have."""
    timeout_ms: int | None


class CollectionOptions(TypedDict, total=False):
    """Keyword arguments; what is left out is left to the service."""

    chunk_tokens: int | None
    """Maximum tokens per chunk. null or left out: the service's default."""
    instruction: str | None
    """Published instruction, NAME or NAME@VERSION, of searches that name none."""
    reranker: str | None
    """Name of a configured reranker. null or left out: the service's default."""
    vectors: VectorFormat
    """How vectors are stored: float32, or float16 in half the room. Searches then compute with rounded vectors,
    which moves a cosine by less than 0.0005. Cannot be changed."""
    demote_query_echo: bool
    """Rank passages that hold little more than the query behind all others and mark them as demoted. For
    collections that untrusted authors write to."""
    require_instruction: bool
    """Whether searches are refused while the collection's reranker reads no instruction. Searches with `rerank:
    false` are answered."""
    rerank_fields: Sequence[str] | None
    """Attributes that the reranker reads as `name: value` lines before title and text, in this order: title, url,
    id, or any field of the metadata. Attributes that a document lacks are left out."""
    rerank_field_tokens: int | None
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    embed_fields: Sequence[str] | None
    """The same for the embedder. Cannot be changed while the collection has documents."""
    embed_field_tokens: int | None
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    collapse: Literal[False] | CollapseLimits | None
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. false or
    null: off."""
    mmr_lambda: float | None
    """Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage
    placed before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the
    order. null: off."""


class CollectionChanges(TypedDict, total=False):
    """Keyword arguments; what is left out is left to the service."""

    instruction: str | None
    """Published instruction, NAME or NAME@VERSION, of searches that name none."""
    reranker: str | None
    """Name of a configured reranker."""
    demote_query_echo: bool | None
    """Rank passages that hold little more than the query behind all others and mark them as demoted. For
    collections that untrusted authors write to."""
    require_instruction: bool | None
    """Whether searches are refused while the collection's reranker reads no instruction. Searches with `rerank:
    false` are answered."""
    rerank_fields: Sequence[str] | None
    """Attributes that the reranker reads as `name: value` lines before title and text, in this order: title, url,
    id, or any field of the metadata. Attributes that a document lacks are left out."""
    rerank_field_tokens: int | None
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    embed_fields: Sequence[str] | None
    """The same for the embedder. Cannot be changed while the collection has documents."""
    embed_field_tokens: int | None
    """Maximum tokens of these lines, by default 128. Lines that do not fit are left out; a value is cut only if
    its line alone is longer."""
    collapse: Literal[False] | CollapseLimits | None
    """Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`. false or
    null: off."""
    mmr_lambda: float | None
    """Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage
    placed before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the
    order. null: off."""


class InstructionOptions(TypedDict, total=False):
    """Keyword arguments; what is left out is left to the service."""

    literal: bool
    """Use the texts as they are, without variables; braces are literal."""
    embedding_task: str | None
    """Task for embedding the query. Default: the embedder's own task."""
    variables: Sequence[VariableBody]
    purpose: str
    language: str
    collections: Sequence[str]
    """Collections that may use this instruction; empty means all."""
    author: str
    note: str
    draft: bool
    """Store the content as a draft; do not publish it."""


class TrialOptions(TypedDict, total=False):
    """Keyword arguments; what is left out is left to the service."""

    top_k: int
    candidates: int | None
    recall: RecallMode | None
    filter: Mapping[str, Any] | None
    timeout_ms: int | None
