"""Every bound of the service: the comment has its unit, then a semicolon, then its reason.

docs/reference/limits.md is made from these lines: `python -m docs.generate`.
"""

from __future__ import annotations

from typing import Final

QUERY_CHARACTERS_MAX: Final = 8_192  # characters; a longer "query" is a document, and would crowd out what is judged
INSTRUCTION_CHARACTERS_MAX: Final = 4_096  # characters; it is repeated in every prompt
EMBEDDING_TASK_CHARACTERS_MAX: Final = 1_024  # characters; it stands before every query that is embedded
INSTRUCTION_VARIABLES_MAX: Final = 16  # variables of one instruction; more is a form, not a sentence
VARIABLE_CHARACTERS_MAX: Final = 256  # characters of one value; longer belongs into the text, or into the query
VARIABLE_VALUES_MAX: Final = 64  # values that a variable may list as allowed
INSTRUCTION_NOTE_CHARACTERS_MAX: Final = 2_048  # characters of purpose, author, note and the like, each
INSTRUCTION_COLLECTIONS_MAX: Final = 64  # collections that one instruction may be meant for by name
LIBRARY_BYTES_MAX: Final = 1_000_000  # bytes of a YAML file of instructions; some hundreds of the longest
TRIAL_VERSIONS_MAX: Final = 8  # instructions tried side by side; each judges all candidates
TOP_K_MAX: Final = 200  # results; more is an export, not an answer
NEIGHBOURS_MAX: Final = 10  # chunks on either side of a hit; at 256 tokens each, a chapter around it
CANDIDATES_MAX: Final = 1_000  # candidates; the most that one request may send to stage two
RERANK_DOCUMENTS_MAX: Final = 1_000  # documents of one POST /v1/rerank; Cohere's clients are advised the same
RERANK_TOKENS_WAITING_MAX: Final = 250_000  # tokens not yet judged in this process; a minute of two cores
RERANK_TOKENS_WAITING_PER_SERVER_MAX: Final = 1_500_000  # the same for each vLLM server; 20 s of a 4B on an H200
DOCUMENT_CHARACTERS_MAX: Final = 4_000_000  # characters; a long book; beyond it the record is rejected, not cut
DOCUMENT_ID_CHARACTERS_MAX: Final = 512  # characters; ids travel in URLs and in index entries
TITLE_CHARACTERS_MAX: Final = 2_048  # characters; it is repeated in every chunk
URL_CHARACTERS_MAX: Final = 4_096  # characters; it is repeated in every chunk
DOCUMENTS_PER_REQUEST_MAX: Final = 1_000  # documents of one JSON body, held in memory; NDJSON has no such bound
RECORD_BYTES_MAX: Final = 16_000_000  # bytes of one line or file of a corpus; a longer one is rejected unread
REQUESTS_IN_FLIGHT_MAX: Final = 256  # requests answered at once; beyond it waiting would end in timeouts anyway
REQUEST_BYTES_MAX: Final = 64_000_000  # bytes of the body of a request that stores documents
RERANK_BYTES_MAX: Final = 16_000_000  # bytes of the body of a rerank or a preview, which hold texts
SEARCH_BYTES_MAX: Final = 262_144  # bytes of the body of a search: query, instruction and filter, all of them escaped
BODY_BYTES_MAX: Final = 65_536  # bytes of the body of any other route
BODY_VALUES_MAX: Final = 4_000  # values of a JSON body; four times the longest list that a filter may hold
BODY_KEYS_MAX: Final = 1_000  # keys of a JSON body, those of nested objects included
RERANK_VALUES_MAX: Final = 10_000  # values of a JSON body that brings documents to rerank; ten for each
DOCUMENTS_VALUES_MAX: Final = 250_000  # values of a JSON body that stores documents; 250 for each
RECORD_VALUES_MAX: Final = 65_536  # values of one line of JSON lines; more metadata could not be stored
JSON_DEPTH_MAX: Final = 64  # lists and objects within each other; a filter of the deepest kind has 20
LIBRARY_VALUES_MAX: Final = 10_000  # values of a YAML file; some hundreds of instructions with all their fields
DOCUMENTS_LISTED_MAX: Final = 100  # documents on one page of a collection's list; each is read to be shown
NDJSON_LINES_MAX: Final = 100_000  # lines of one NDJSON body; a minute's embedding at the least
BODY_GRACE_SECONDS: Final = 10  # seconds before a body has to come at a rate
BODY_BYTES_PER_SECOND_MIN: Final = 8_000  # bytes a second of a body, on average, after that
BODY_SECONDS_MAX: Final = 300  # seconds until a body has arrived; the longest at 2 Mbit/s
BODIES_READ_MAX: Final = 512  # requests whose bodies are read at once
BODIES_BYTES_MAX: Final = 96_000_000  # bytes of all long bodies in memory; further ones wait for room, unread
CONNECTIONS_MAX: Final = 2_048  # connections open at once, or three quarters of the file descriptors if that is fewer
HEADER_SECONDS: Final = 10  # seconds from a request's first byte, or the connection, to the end of its header
HEADER_BYTES_MAX: Final = 16_384  # bytes of a request's line and headers
UNREAD_SECONDS: Final = 20  # seconds in which a caller has to take 160 kB of an answer, or what is left of it
UNREAD_BYTES_MAX: Final = 64_000_000  # bytes of all answers that wait for their callers to read them
COLLECTION_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"  # it becomes a folder name and a URL segment
TENANT_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"  # likewise; and `owner/name` is a granted collection
# a search names a collection of the tenant's own, or `owner/name` of a granted one
SEARCHED_NAME_PATTERN: Final = f"^({TENANT_NAME_PATTERN.strip('^$')}/)?{COLLECTION_NAME_PATTERN.strip('^$')}$"
KEYS_PER_TENANT_MAX: Final = 1_000  # keys of one tenant that are accepted at once; a person keeps track of fewer
KEY_DAYS_MAX: Final = 3_650  # days of a key's lifetime, and of the overlap of a rotation; longer is forever
KEY_NOTE_CHARACTERS_MAX: Final = 200  # characters; it says what a key is for, in a line of a table
AUDIT_ENTRIES_MAX: Final = 1_000  # entries of the audit log in one answer; the next page begins below the last of them
METADATA_BYTES_MAX: Final = 65_536  # bytes of one document's metadata as JSON; it is repeated in every chunk
TIMEOUT_MS_MAX: Final = 120_000  # milliseconds; nobody waits longer, and a stuck request must end
FILTER_DEPTH_MAX: Final = 8  # levels of and/or; a person writes two, and each costs a level of our own stack
FILTER_CONDITIONS_MAX: Final = 64  # comparisons of one filter; each reads a column of the whole collection
FILTER_VALUES_MAX: Final = 1_000  # values in all lists of one filter; a longer list is a join, not a filter
ATTRIBUTE_KEY_CHARACTERS_MAX: Final = 64  # characters; metadata under a longer key is carried, not filterable
ATTRIBUTE_TEXT_CHARACTERS_MAX: Final = 512  # characters; a longer text is carried, not filterable
ATTRIBUTE_COLUMNS_MAX: Final = 256  # columns; each costs every write a little; a key with two types has two
GENERATIONS_KEPT_MIN: Final = 2  # generations; the one that serves, and the one to fall back to
