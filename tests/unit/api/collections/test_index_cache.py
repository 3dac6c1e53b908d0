"""The indexes of collections in a bucket are bounded in bytes on each host, and those in use stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from winnow.api.collections.bucket.index_cache import InUse, make_room
from winnow.retrieval.files.durable import make_folder
from winnow.retrieval.files.layout import CollectionFolder, Layout
from winnow.retrieval.files.locks import folding
from winnow.retrieval.tenancy import DEFAULT_TENANT


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three collections of 1,000 bytes each, used one after the other."""
    layout = Layout(tmp_path)
    for used_at, name in enumerate(("first", "second", "third"), start=1):
        folder = layout.collection(DEFAULT_TENANT, name)
        make_folder(folder.generations / "g000001")
        (folder.generations / "g000001" / "vectors.faiss").write_bytes(bytes(1_000))
        folder.current.write_text("g000001\n")
        InUse(folder).close()
        os.utime(folder.in_use, (used_at, used_at))
    return layout


def collection(layout: Layout, name: str) -> CollectionFolder:
    return layout.collection(DEFAULT_TENANT, name)


def left(layout: Layout) -> list[str]:
    """The collections with indexes; the others have no pointer either."""
    found = sorted(path.parent.name for path in layout.tenants.glob("*/*/generations"))
    assert found == sorted(path.parent.name for path in layout.tenants.glob("*/*/current"))
    assert list(layout.tenants.glob("*/*/*.tmp")) == []
    return found


def test_the_least_recently_used_go_first(layout: Layout) -> None:
    assert make_room(layout, 0, bytes_max=3_000) == 0
    assert make_room(layout, 1, bytes_max=3_000) == 1_000
    assert left(layout) == ["second", "third"]
    InUse(collection(layout, "second")).close()
    assert make_room(layout, 1_500, bytes_max=3_000) == 1_000
    assert left(layout) == ["second"]


def test_what_is_in_use_or_being_built_stays(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    """Even if that is too much, which is said."""
    opened = InUse(collection(layout, "first"))
    with folding(collection(layout, "second")):
        assert make_room(layout, 1, bytes_max=0) == 1_000
    assert left(layout) == ["first", "second"]
    assert "WINNOW_INDEX_CACHE_MB" in caplog.text
    opened.close()
    assert make_room(layout, 0, bytes_max=0, but=collection(layout, "second")) == 1_000
    assert left(layout) == ["second"]
