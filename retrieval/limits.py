"""Every limit of the service. Each comment has the unit, a semicolon, then the reason.

`python -m docs.generate` makes docs/reference/limits.md from these lines.
"""

from __future__ import annotations

from typing import Final

QUERY_CHARACTERS_MAX: Final = 8_192  # characters; a longer "query" is a document, and would crowd out the passages
INSTRUCTION_CHARACTERS_MAX: Final = 4_096  # characters; it is repeated in every prompt
EMBEDDING_TASK_CHARACTERS_MAX: Final = 1_024  # characters; it precedes every embedded query
INSTRUCTION_VARIABLES_MAX: Final = 16  # variables of one instruction; more would be a form
VARIABLE_CHARACTERS_MAX: Final = 256  # characters of one value; anything longer belongs in the text or the query
VARIABLE_VALUES_MAX: Final = 64  # allowed values of one variable
INSTRUCTION_NOTE_CHARACTERS_MAX: Final = 2_048  # characters of each note field: purpose, author, note and so on
INSTRUCTION_COLLECTIONS_MAX: Final = 64  # collections that one instruction can be restricted to
LIBRARY_BYTES_MAX: Final = 1_000_000  # bytes of a YAML file of instructions; holds some hundreds of the longest
FIELDS_MAX: Final = 16  # fields written before a text; more would be a record, not a passage
FIELD_NAME_CHARACTERS_MAX: Final = 64  # characters; as long as an attribute that filters can name
FIELD_CHARACTERS_MAX: Final = 4_096  # characters of one field's line; longer ones are cut before tokens are counted
FIELD_TOKENS_DEFAULT: Final = 128  # tokens of all field lines; about ten short fields, half of a usual chunk
FIELD_TOKENS_MIN: Final = 8  # tokens of all field lines; a date fits
FIELD_TOKENS_MAX: Final = 1_024  # tokens of all field lines; four times a usual chunk, and read for each candidate
TRIAL_VERSIONS_MAX: Final = 8  # instructions compared in one trial; each reranks all candidates
TOP_K_MAX: Final = 200  # results; more would be an export
GOLDEN_QUERIES_MAX: Final = 500  # queries of a golden set; a run answers all of them, up to five times
GOLDEN_SETS_MAX: Final = 50  # golden sets of a tenant; with their runs, some hundred megabytes in the catalog
WEBHOOK_URL_CHARACTERS_MAX: Final = 2_048  # characters of a webhook's address; browsers take no longer one
WEBHOOK_SECONDS_MAX: Final = 10  # seconds of one attempt to deliver; a receiver stores the message and answers
WEBHOOK_ATTEMPTS_MAX: Final = 12  # attempts of a delivery; with their pauses, about two and a half hours
WEBHOOK_AGE_SECONDS_MAX: Final = 86_400  # seconds that a delivery may wait; later it is no news
WEBHOOK_OVERLAP_SECONDS_MAX: Final = 604_800  # seconds that a rotated secret still signs; a week to change a receiver
WEBHOOKS_WAITING_MAX: Final = 100  # deliveries of one tenant that wait; with more, the oldest are given up
WEBHOOKS_KEPT_MAX: Final = 1_000  # deliveries of one tenant in the catalog; each has its message of about a kilobyte
WEBHOOKS_KEPT_DAYS: Final = 30  # days that an ended delivery is listed
NEIGHBOURS_MAX: Final = 10  # chunks on each side of a hit; at 256 tokens each, about a chapter
SHINGLED_CHARACTERS_MAX: Final = 8_000  # characters of a passage compared by shingles; 1,000 such take 5 s at most
JUDGMENTS_MAX: Final = 100_000  # graded judgments of one tenant; a thousand queries of a hundred documents each
CLICKS_MAX: Final = 100_000  # clicks of one tenant; the newest are kept, a flood must not crowd out graded judgments
JUDGMENTS_LISTED_MAX: Final = 1_000  # judgments on one page of a listing; each has an id and perhaps a query
GRADE_MAX: Final = 10  # highest grade of a judgment; public collections use at most 4
JUDGE_CHARACTERS_MAX: Final = 128  # characters of the name of a judge; an address or a model's name fits
SEARCHES_REMEMBERED_BYTES_MAX: Final = 33_554_432  # bytes of answered searches held for feedback; about 50,000
SEARCHES_REMEMBERED_SECONDS: Final = 86_400  # seconds after a search in which feedback is accepted; a working day
CANDIDATES_MAX: Final = 1_000  # candidates; the most that one request may send to the reranker
HIGHLIGHT_TOKENS_MAX: Final = 16_384  # tokens of sentences that one request has judged; 4 s on two cores
RERANK_DOCUMENTS_MAX: Final = 1_000  # documents of one POST /v1/rerank; Cohere gives the same advice
EMBEDDED_TEXTS_MAX: Final = 2_048  # texts of one POST /v1/embeddings; OpenAI's limit
RERANK_TOKENS_WAITING_MAX: Final = 250_000  # tokens queued for this process's reranker; a minute on two cores
RERANK_TOKENS_WAITING_PER_SERVER_MAX: Final = 1_500_000  # the same per vLLM server; 20 s of a 4B model on an H200
DOCUMENT_CHARACTERS_MAX: Final = 4_000_000  # characters; a long book; longer records are rejected, not truncated
DOCUMENT_ID_CHARACTERS_MAX: Final = 512  # characters; ids travel in URLs and in index entries
TITLE_CHARACTERS_MAX: Final = 2_048  # characters; repeated in every chunk
PARTS_MAX: Final = 50_000  # structural parts of one document; each is at least one chunk, and embedded
HEADINGS_MAX: Final = 16  # headings above a part; HTML and Word have 6 to 9 levels
HEADING_CHARACTERS_MAX: Final = 512  # characters of one heading; a longer one is a paragraph
PART_HEADER_CHARACTERS_MAX: Final = 8_192  # characters of a table's header; some hundred column names
LOCATION_CHARACTERS_MAX: Final = 1_024  # characters of a sheet's name, a symbol or an anchor; a long URL fragment
LOCATION_NUMBER_MAX: Final = 2_147_483_647  # page, row or line; no file has so many
URL_CHARACTERS_MAX: Final = 4_096  # characters; repeated in every chunk
DOCUMENTS_PER_REQUEST_MAX: Final = 1_000  # documents of one JSON body, held in memory; NDJSON has no such limit
RECORD_BYTES_MAX: Final = 16_000_000  # bytes of one line or file of a corpus; longer ones are rejected unread
REQUESTS_IN_FLIGHT_MAX: Final = 256  # concurrent requests; with more, waiting would end in timeouts
REQUEST_BYTES_MAX: Final = 64_000_000  # bytes of a body that stores documents
RERANK_BYTES_MAX: Final = 16_000_000  # bytes of a rerank or preview body, which hold texts
SEARCH_BYTES_MAX: Final = 262_144  # bytes of a search body: query, instruction and filter, all escaped
BODY_BYTES_MAX: Final = 65_536  # bytes of a body of any other route
BODY_VALUES_MAX: Final = 4_000  # values of a JSON body; four times the longest list in a filter
BODY_KEYS_MAX: Final = 1_000  # keys of a JSON body, including nested objects
RERANK_VALUES_MAX: Final = 10_000  # values of a JSON body with documents to rerank; ten per document
EMBEDDING_VALUES_MAX: Final = 250_000  # values of a JSON body to embed: token ids are counted before they are refused
DOCUMENTS_VALUES_MAX: Final = 250_000  # values of a JSON body that stores documents; 250 per document
RECORD_VALUES_MAX: Final = 65_536  # values of one line of JSON Lines; more metadata would exceed its own limit
JSON_DEPTH_MAX: Final = 64  # nested lists and objects; the deepest filter has 20
LIBRARY_VALUES_MAX: Final = 10_000  # values of a YAML file; some hundreds of instructions with all fields
DOCUMENTS_LISTED_MAX: Final = 100  # documents on one page of a listing; each one is read
NDJSON_LINES_MAX: Final = 100_000  # lines of one NDJSON body; at least a minute of embedding
BODY_GRACE_SECONDS: Final = 10  # seconds before a body must arrive at a minimum rate
BODY_BYTES_PER_SECOND_MIN: Final = 8_000  # minimum average rate of a body after that, in bytes per second
BODY_SECONDS_MAX: Final = 300  # seconds for a whole body; the largest at 2 Mbit/s
BODIES_READ_MAX: Final = 512  # request bodies read at the same time
BODIES_BYTES_MAX: Final = 96_000_000  # bytes of all long bodies in memory; more of them wait unread
CONNECTIONS_MAX: Final = 2_048  # open connections; at most three quarters of the file descriptors
HEADER_SECONDS: Final = 10  # seconds from the connection or first byte to the end of the headers
HEADER_BYTES_MAX: Final = 16_384  # bytes of the request line and headers
UNREAD_SECONDS: Final = 20  # seconds in which a client must read 160 kB of a response, or its rest
UNREAD_BYTES_MAX: Final = 64_000_000  # bytes of all responses that wait for their clients to read them
COLLECTION_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"  # used as a folder name and a URL segment
TENANT_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"  # likewise; `owner/name` is a granted collection
# a search names a collection of its own tenant, or `owner/name` of a granted one
SEARCHED_NAME_PATTERN: Final = f"^({TENANT_NAME_PATTERN.strip('^$')}/)?{COLLECTION_NAME_PATTERN.strip('^$')}$"
KEYS_PER_TENANT_MAX: Final = 1_000  # valid keys of one tenant; people keep track of fewer
KEY_DAYS_MAX: Final = 3_650  # days of a key's lifetime and of a rotation's overlap; longer means forever
KEY_NOTE_CHARACTERS_MAX: Final = 200  # characters; the purpose of a key, shown in a table row
AUDIT_ENTRIES_MAX: Final = 1_000  # audit log entries per page; the next page starts below the last one
METADATA_BYTES_MAX: Final = 65_536  # bytes of one document's metadata as JSON; repeated in every chunk
TIMEOUT_MS_MAX: Final = 120_000  # milliseconds; clients do not wait longer, and a stuck request must end
FILTER_DEPTH_MAX: Final = 8  # levels of and/or; people write two, and each costs a level of the stack
FILTER_CONDITIONS_MAX: Final = 64  # comparisons in one filter; each reads a column of the whole collection
FILTER_VALUES_MAX: Final = 1_000  # values in all lists of one filter; a longer list would be a join
ATTRIBUTE_KEY_CHARACTERS_MAX: Final = 64  # characters; metadata under a longer key is stored, but not filterable
ATTRIBUTE_TEXT_CHARACTERS_MAX: Final = 512  # characters; longer values are stored, but not filterable
ATTRIBUTE_COLUMNS_MAX: Final = 256  # columns; each adds a little to every write; a key with two types has two
GENERATIONS_KEPT_MIN: Final = 2  # generations; the current one and the one to fall back to
