"""retrieval/files/layout.py: no name leaves the data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.files.layout import Layout


def test_every_file_of_a_collection_lies_in_its_folder() -> None:
    """One folder per tenant and collection, so that removing a collection is removing a folder."""
    folder = Layout(Path("data")).collection("default", "laws-2026")
    assert folder.path == Path("data/collections/default/laws-2026")
    for path in (folder.corpus, folder.generations, folder.current, folder.lock, folder.rejects):
        assert path.parent == folder.path
    assert Layout(Path("data")).catalog == Path("data/catalog.sqlite")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../laws", "a/b", "/etc", "a\\b", "Laws", "法律", "a b", "-a", "a\n", "a\x00", "a" * 64]
)
def test_a_name_that_is_no_single_folder_is_refused(name: str) -> None:
    """As a collection and as a tenant."""
    with pytest.raises(InvalidRequest):
        Layout(Path("data")).collection("default", name)
    with pytest.raises(InvalidRequest):
        Layout(Path("data")).collection(name, "laws")
