"""What a person reads when something cannot be done, and what to do next."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import HashEmbedder, PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.cli.main import _hint
from winnow.api.cli.serve import _bind
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.open_collections import _flag_for
from winnow.api.settings import Settings
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import AddressInUse, CollectionNotFound, InvalidRequest
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT


def test_an_unknown_collection_names_the_nearest_and_where_was_looked(
    tmp_path: Path, tokenizer: PlainTokenizer
) -> None:
    """The folder only on the command line: it is no caller's affair over HTTP."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    parts.ingest.make(DEFAULT_TENANT, "handbook")
    with pytest.raises(CollectionNotFound) as refused:
        parts.disk.catalog.collections.get(DEFAULT_TENANT, "hanbook")
    assert refused.value.message == "Collection not found: hanbook (did you mean 'handbook'?)"
    assert _hint(refused.value) == f". Run 'winnow collections list --data {tmp_path}' to see all"
    with pytest.raises(CollectionNotFound, match=r"^Collection not found: other$"):
        parts.disk.catalog.collections.get(DEFAULT_TENANT, "other")


def test_a_name_that_cannot_be_one_needs_no_model_to_be_refused(tmp_path: Path) -> None:
    """`winnow index` asks before it loads any."""
    with pytest.raises(InvalidRequest, match="is not a valid name"):
        DataFolder.open(tmp_path).layout.collection(DEFAULT_TENANT, "My Docs")


def test_a_port_in_use_is_said_first() -> None:
    """And what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse) as refused:
            _bind(Settings(port=port))
    assert refused.value.message.startswith(f"The port is in use by another program: 127.0.0.1:{port}. Stop")


def test_another_dimension_names_the_flag_that_caused_it() -> None:
    """Another model names its own."""
    built: EmbedderIdentity = HashEmbedder().identity
    assert _flag_for(built, replace(built, dimension=4)).startswith(f"--embed-dimension {built.dimension} ")
    assert _flag_for(built, replace(built, name="other")) == f"--embed-model {built.name}"
