"""Lists files and folders among the collections that the catalog does not know.

Most are leftovers of a killed removal or restore, which the catalog has noted; `winnow verify --repair` removes them.
Anything that this catalog did not write is unknown, and never removed automatically: the catalog may be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.pairing import folders_of
from winnow.retrieval.files.folder_contents import contents_of, is_begun
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import is_written
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN
from winnow.retrieval.tenancy import DEFAULT_TENANT

_NAME: Final = re.compile(COLLECTION_NAME_PATTERN)
_REMOVED: Final = ".removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A file or folder among a tenant's collections that is not a collection in the catalog."""

    tenant: str
    path: Path
    is_unknown: bool  # it may contain documents

    @property
    def shown(self) -> str:
        """The name shown to operators, like `Collection.shown`."""
        return self.path.name if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.path.name}"


def strangers(disk: DataFolder) -> list[Stranger]:
    """Return the strangers, by tenant and name, without collections being restored just now."""
    return list(_strangers(disk))


def is_removed(path: Path) -> bool:
    """Whether this is the name of a collection's folder while its files are removed."""
    name = path.name.removeprefix(".").partition(".")[0]
    return path.name.startswith(f".{name}.") and path.name.endswith(_REMOVED) and _NAME.fullmatch(name) is not None


def _strangers(disk: DataFolder) -> Iterator[Stranger]:
    if disk.bucket is not None:
        return  # the folder is a cache
    known = {(each.tenant, each.name) for each in disk.collections()}
    for tenant, folder in folders_of(disk.layout):
        path = folder.path
        if (tenant, path.name) not in known and not any(is_written(each) for each in folder.restorings()):
            yield Stranger(tenant=tenant, path=path, is_unknown=_is_unknown(disk, tenant, folder))


def _is_unknown(disk: DataFolder, tenant: str, folder: CollectionFolder) -> bool:
    path = folder.path  # a dangling link may lead to a disk that is not mounted
    if not _NAME.fullmatch(path.name) or not (path.is_dir() or path.is_symlink()) or not contents_of(folder):
        return False
    return not is_begun(folder, lambda: disk.catalog.collections.begun(tenant, folder.path.name))
