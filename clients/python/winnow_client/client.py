"""The synchronous client. Written by `python -m docs.generate` from async_client.py."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Self, Unpack

from winnow_client.calls import Repeat, asking, call, given, json_of, library_path, path_of
from winnow_client.errors import WinnowError
from winnow_client.retrying import Policy
from winnow_client.schemas import (
    CollectionChanges,
    CollectionOptions,
    CollectionResponse,
    CollectionsResponse,
    DefaultResponse,
    DeletedResponse,
    DocumentResponse,
    DocumentsResponse,
    EmbeddingsResponse,
    EmptiedResponse,
    InstructionChoice,
    InstructionOptions,
    InstructionResponse,
    InstructionsResponse,
    InstructionVersionsResponse,
    JudgmentResponse,
    ListedResponse,
    ModelsResponse,
    ReadyResponse,
    RerankOptions,
    RerankResponse,
    ScoreResponse,
    SearchOptions,
    SearchResponse,
    TrialOptions,
    TrialResponse,
)
from winnow_client.transport import Transport
from winnow_client.uploading import (
    BATCH_BYTES,
    BATCH_DOCUMENTS,
    WRITE_SECONDS,
    Batch,
    OnProgress,
    SentDocument,
    Upload,
    Written,
)

PAGE: Final = 100  # documents of one request of `documents`


class Client:
    """A winnow service at `url`, such as https://search.example.com.

    `timeout` is in seconds and holds for a whole call: connection, retries and the pauses between them; None means no
    limit. Where a method takes a timeout, None means this one. Failures raise `WinnowError`. A call is repeated up to
    `retries` times: after 429 and 503, as long as Retry-After asks for at most `retry_after_max` seconds, and after a
    lost connection where repeating changes nothing. Close it, or use it in `with`; it keeps its connections.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float | None = 30.0,
        retries: int = 2,
        retry_after_max: float = 10.0,
        tls: ssl.SSLContext | None = None,
        use_proxies: bool = True,
    ) -> None:
        """`tls` holds certificates of your own; `use_proxies` obeys HTTPS_PROXY and the like. Raises `ValueError`."""
        self._transport = Transport(
            url,
            key=key,
            timeout=timeout,
            policy=Policy(retries=retries, retry_after_max=retry_after_max),
            tls=tls,
            use_proxies=use_proxies,
        )

    @property
    def url(self) -> str:
        """The address, without a slash or /v1 at its end."""
        return self._transport.url

    def search(
        self,
        query: str | None = None,
        *,
        collection: str,
        timeout: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchResponse:
        """Search a collection, or `owner/name` of one that was granted. `messages` may stand in place of `query`."""
        body = {"query": query, "collection": collection, **options}
        answer: SearchResponse = self._transport.send(asking("/v1/search", body), timeout=timeout)
        return answer

    def rerank(
        self,
        query: str,
        documents: Sequence[str | Mapping[str, Any]],
        *,
        timeout: float | None = None,
        **options: Unpack[RerankOptions],
    ) -> RerankResponse:
        """Rerank texts of your own: strings, or objects with `text`."""
        body = {"query": query, "documents": documents, **options}
        answer: RerankResponse = self._transport.send(asking("/v1/rerank", body), timeout=timeout)
        return answer

    def score(
        self,
        queries: str | Sequence[str],
        documents: str | Sequence[str],
        *,
        instruction: str | InstructionChoice | None = None,
        timeout: float | None = None,
    ) -> ScoreResponse:
        """Score one query with each text, or as many queries as texts, pair by pair."""
        body = given(queries=queries, documents=documents, instruction=instruction)
        answer: ScoreResponse = self._transport.send(asking("/v1/score", body), timeout=timeout)
        return answer

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        input_type: Literal["query", "document"] = "document",
        dimensions: int | None = None,
        timeout: float | None = None,
    ) -> EmbeddingsResponse:
        """Embed texts as documents or as queries."""
        body = given(input=texts, input_type=input_type, dimensions=dimensions)
        answer: EmbeddingsResponse = self._transport.send(asking("/v1/embeddings", body), timeout=timeout)
        return answer

    def collections(self) -> list[CollectionResponse]:
        """List the collections by name."""
        listed: CollectionsResponse = self._transport.send(call("GET", "/v1/collections"))
        return listed["collections"]

    def collection(self, name: str) -> CollectionResponse:
        """Describe a collection."""
        answer: CollectionResponse = self._transport.send(call("GET", path_of("collections", name)))
        return answer

    def create_collection(self, name: str, **options: Unpack[CollectionOptions]) -> CollectionResponse:
        """Create a collection."""
        made: CollectionResponse = self._transport.send(call("POST", "/v1/collections", body={"name": name, **options}))
        return made

    def change_collection(self, name: str, **changes: Unpack[CollectionChanges]) -> CollectionResponse:
        """Change a collection's choices. What is left out stays; None returns to the default."""
        patch = call("PATCH", path_of("collections", name), body=changes, repeat=Repeat.SAFE)
        answer: CollectionResponse = self._transport.send(patch)
        return answer

    def delete_collection(self, name: str) -> DeletedResponse:
        """Remove a collection with all its documents, for good."""
        answer: DeletedResponse = self._transport.send(call("DELETE", path_of("collections", name)))
        return answer

    def write(
        self,
        collection: str,
        documents: Iterable[SentDocument],
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = WRITE_SECONDS,
        batch_documents: int = BATCH_DOCUMENTS,
        batch_bytes: int = BATCH_BYTES,
    ) -> Written:
        """Insert or replace documents: objects with `id` and `text`, or lines of JSON such as those of a file.

        They are read as they are sent, one batch in memory. `on_progress` is called after each batch, whose documents
        are then stored and searchable; `timeout` is that of a batch. Rejected documents do not affect the others; if
        all are rejected, `InvalidRequest` is raised. A failure says how many documents were stored before.
        """
        upload = Upload(collection, batch_documents=batch_documents, batch_bytes=batch_bytes)
        try:
            for document in documents:
                batch = upload.add(document)
                if batch is not None:
                    self._write(upload, batch, timeout, on_progress)
            batch = upload.rest()
            if batch is not None:
                self._write(upload, batch, timeout, on_progress)
        except WinnowError as error:
            error.add_note(f"{upload.written.accepted} documents were stored before; the rest may be sent again.")
            raise
        return upload.end()

    def documents(
        self, collection: str, *, where: Mapping[str, Any] | None = None, page: int = PAGE
    ) -> Iterator[ListedResponse]:
        """Iterate over the documents by id, without their texts; `page` documents per request."""
        after = ""
        while True:
            listed = self.documents_page(collection, where=where, limit=page, after=after)
            for document in listed["documents"]:
                yield document
            if listed["next"] is None:
                return
            after = listed["next"]

    def documents_page(
        self, collection: str, *, where: Mapping[str, Any] | None = None, limit: int = PAGE, after: str = ""
    ) -> DocumentsResponse:
        """List documents with a greater id than `after`; `next` of the answer begins the next page."""
        condition = None if where is None else json_of(where).decode()
        listed: DocumentsResponse = self._transport.send(
            call(
                "GET",
                path_of("collections", collection, "documents"),
                params={"limit": limit, "after": after, "filter": condition},
            )
        )
        return listed

    def fetch(self, collection: str, document_id: str, *, start: int = 0, end: int | None = None) -> DocumentResponse:
        """Return a document, or its characters from `start` to `end`."""
        path = path_of("collections", collection, "documents", document_id)
        read: DocumentResponse = self._transport.send(call("GET", path, params={"start": start or None, "end": end}))
        return read

    def delete_document(self, collection: str, document_id: str) -> DeletedResponse:
        """Remove a document."""
        path = path_of("collections", collection, "documents", document_id)
        answer: DeletedResponse = self._transport.send(call("DELETE", path))
        return answer

    def delete_documents(self, collection: str, where: Mapping[str, Any], *, dry_run: bool = False) -> EmptiedResponse:
        """Remove all documents that match, for good; `dry_run` only counts them."""
        body = {"filter": where, "dry_run": dry_run}
        emptied: EmptiedResponse = self._transport.send(
            call("POST", path_of("collections", collection, "delete"), body=body)
        )
        return emptied

    def instructions(self) -> InstructionsResponse:
        """List the library: the tenant's instructions, the built-in ones, and the default."""
        answer: InstructionsResponse = self._transport.send(call("GET", "/v1/instructions"))
        return answer

    def instruction(self, name: str) -> InstructionVersionsResponse:
        """Read an instruction with its versions."""
        answer: InstructionVersionsResponse = self._transport.send(call("GET", library_path(name)))
        return answer

    def publish_instruction(self, name: str, text: str, **options: Unpack[InstructionOptions]) -> InstructionResponse:
        """Publish the next version of an instruction; `draft=True` only stores it."""
        body = {"name": name, "text": text, **options}
        answer: InstructionResponse = self._transport.send(call("POST", "/v1/instructions", body=body))
        return answer

    def default_instruction(self) -> DefaultResponse:
        """Read which instruction searches use that name none."""
        answer: DefaultResponse = self._transport.send(call("GET", "/v1/instructions/default"))
        return answer

    def set_default_instruction(self, name: str | None) -> DefaultResponse:
        """Choose the instruction of searches that name none; None for none."""
        answer: DefaultResponse = self._transport.send(
            call("PUT", "/v1/instructions/default", body={"instruction": name})
        )
        return answer

    def try_instructions(
        self,
        query: str,
        versions: Sequence[str | InstructionChoice],
        *,
        collection: str,
        timeout: float | None = None,
        **options: Unpack[TrialOptions],
    ) -> TrialResponse:
        """Compare instructions on one query, side by side, over the same candidates."""
        body = {"query": query, "versions": versions, "collection": collection, **options}
        answer: TrialResponse = self._transport.send(asking("/v1/instructions/try", body), timeout=timeout)
        return answer

    def feedback(
        self,
        search_id: str,
        document_id: str,
        *,
        grade: int | None = None,
        click: bool = False,
        judge: str | None = None,
    ) -> JudgmentResponse:
        """Store what a person says about a result, or that it was opened."""
        body = given(search_id=search_id, document_id=document_id, grade=grade, click=click, judge=judge)
        answer: JudgmentResponse = self._transport.send(call("POST", "/v1/feedback", body=body))
        return answer

    def models(self) -> ModelsResponse:
        """List the models that the service answers with."""
        answer: ModelsResponse = self._transport.send(call("GET", "/v1/models"))
        return answer

    def ready(self) -> ReadyResponse:
        """Return what the service has open. Raises `Unavailable` while it is not ready."""
        answer: ReadyResponse = self._transport.send(call("GET", "/readyz", repeat=Repeat.REFUSED))
        return answer

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int | None] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Call any other route; the path begins with a slash. Returns the answer's JSON value."""
        return self._transport.send(call(method, path, body=body, params=params), timeout=timeout)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, upload: Upload, batch: Batch, timeout: float | None, on_progress: OnProgress | None) -> None:
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                answer = self._transport.send(part.call(upload.written.collection), timeout=timeout)
            except WinnowError as error:
                waiting.extend(reversed(upload.refused(part, error)))
            else:
                upload.take(part, answer)
        if on_progress is not None:
            on_progress(upload.written)
