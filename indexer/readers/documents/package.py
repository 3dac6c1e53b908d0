"""Reads ZIP packages of XML (Office Open XML, EPUB) member by member.

Rule 1: a member's size and ratio in the ZIP directory are checked before anything is decompressed, and `zipfile` never
returns more than the directory says. Rule 2: no entity is resolved, no DTD loaded, nothing fetched. Rule 3: elements
and attributes are found by their local names, because Office Open XML has two sets of namespaces (transitional and
strict).
"""

from __future__ import annotations

import html
import mmap
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote

from lxml import etree

from winnow.indexer.readers.documents.safe_xml import XML_SAFETY
from winnow.indexer.readers.parser import Unparsable
from winnow.retrieval.records import JsonValue

TREE_BYTES_MAX: Final = 40_000_000  # bytes of a member that is parsed as a tree, which takes several times as much
STREAM_BYTES_MAX: Final = 2_000_000_000  # bytes of a member that is read piece by piece
MEMBERS_MAX: Final = 50_000  # members of a package
RATIO_MAX: Final = 200  # decompressed bytes per compressed byte; XML of Office reaches about 50
RATIO_FROM_BYTES: Final = 5_000_000  # bytes; a smaller member cannot do harm

_YEAR_MONTH: Final = re.compile(r"\d{4}(-(0[1-9]|1[0-2]))?")
_FORGET_EVERY: Final = 500  # elements

FIELD_CHARACTERS_MAX: Final = 1_000  # characters of one field of a file's properties

_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PLACEHOLDER_TITLES: Final = frozenset(
    {"powerpoint presentation", "powerpoint 演示文稿", "word document", "excel workbook", "untitled", "slide 1"}
)
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError)
_ENCRYPTED: Final = "the file is encrypted with a password. Save a copy without a password"


def local_name(element: etree._Element) -> str:
    """Return the name without its namespace; comments, instructions and entities have none."""
    tag: object = element.tag  # a function for a comment
    return _without_namespace(tag) if isinstance(tag, str) else ""


@lru_cache(maxsize=1024)
def _without_namespace(tag: str) -> str:
    return tag.rpartition("}")[2]


def attribute(element: etree._Element, name: str) -> str | None:
    """Return the attribute with this local name."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return None


def relation(element: etree._Element, name: str = "id") -> str:
    """Return the id of the relationship that an attribute with a prefix names, such as `r:id`."""
    return next((str(value) for key, value in element.attrib.items() if str(key).endswith("}" + name)), "")


def child(element: etree._Element | None, *names: str) -> etree._Element | None:
    """Return the first child with this local name, or its first child with the next name, and so on."""
    for name in names:
        if element is None:
            return None
        element = next((each for each in element if local_name(each) == name), None)
    return element


def descendants(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield all elements below with this local name, in document order."""
    yield from element.iterdescendants(f"{{*}}{name}")


def all_text(element: etree._Element) -> str:
    """Return the text of an element and its descendants; unresolved entities of HTML become their characters."""
    pieces = [element.text or ""] if isinstance(element.tag, str) else []
    for each in element:
        name: object = each.tag
        pieces.append(html.unescape(each.text or "") if name is etree.Entity else all_text(each))
        pieces.append(each.tail or "")
    return "".join(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    kind: str  # last word of its type, such as "slide"
    target: str  # member of the package; empty if it lies outside


@dataclass(frozen=True, slots=True)
class Package:
    """An open package."""

    archive: zipfile.ZipFile
    _members: dict[str, zipfile.ZipInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        infos = self.archive.infolist()
        if len(infos) > MEMBERS_MAX:
            raise Unparsable(f"the file has {len(infos)} members; at most {MEMBERS_MAX} are read")
        for info in infos:
            self._members[_key(info.filename)] = info

    def __contains__(self, member: str) -> bool:
        return _key(member) in self._members

    def open(self, member: str, *, bytes_max: int = STREAM_BYTES_MAX) -> IO[bytes]:
        """Open a member; raise `Unparsable` if it is missing, encrypted or too large."""
        info = self._members.get(_key(member))
        if info is None:
            raise Unparsable(f"the file is damaged: {member} is missing")
        if info.flag_bits & 1:
            raise Unparsable(_ENCRYPTED)
        if info.file_size > bytes_max:
            raise Unparsable(f"{member} has {info.file_size} bytes; at most {bytes_max} are read. Split the file")
        if info.file_size > max(RATIO_FROM_BYTES, RATIO_MAX * info.compress_size):
            raise Unparsable(
                f"{member} decompresses to {info.file_size} bytes from {info.compress_size}; "
                f"more than {RATIO_MAX} to 1 is refused"
            )
        with _as_unparsable(member):
            return self.archive.open(info)

    def read(self, member: str, *, bytes_max: int = TREE_BYTES_MAX) -> bytes:
        with self.open(member, bytes_max=bytes_max) as stream, _as_unparsable(member):
            return stream.read()

    def tree(self, member: str, *, may_name_dtd: bool = False) -> etree._Element:
        """Parse a member. Office Open XML has no DTD; EPUB may name one, which is not loaded, but declare no entity."""
        parser = etree.XMLParser(**XML_SAFETY)
        try:
            root = etree.fromstring(self.read(member), parser)
        except etree.XMLSyntaxError as error:
            raise Unparsable(f"the file is damaged: {member} is not well-formed XML ({error.msg})") from error
        dtd: Any = root.getroottree().docinfo.internalDTD  # lxml-stubs does not know its entities
        if not may_name_dtd or (dtd is not None and next(dtd.iterentities(), None) is not None):
            _refuse_dtd(root, member)
        return root

    def elements(self, member: str, names: tuple[str, ...]) -> Iterator[etree._Element]:
        """Yield each element with one of these local names at its end, while the member is being read.

        What came before an element is forgotten from time to time, what it contains when the next one is asked for.
        """
        tags = [f"{{*}}{name}" for name in names]
        count = 0
        with self.open(member) as stream, _as_unparsable(member):
            try:
                for _, element in etree.iterparse(
                    stream,
                    tag=tags,
                    **XML_SAFETY,
                ):
                    if not count:
                        _refuse_dtd(element, member)
                    count += 1
                    yield element
                    element.clear()
                    if count % _FORGET_EVERY == 0:
                        _forget_before(element)
            except etree.XMLSyntaxError as error:
                raise Unparsable(f"the file is damaged: {member} is not well-formed XML ({error.msg})") from error

    def relationships(self, member: str) -> dict[str, Relationship]:
        """Return the relationships of a member ("" for the package's own) by their ids."""
        folder, name = posixpath.split(member)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        if rels not in self:
            return {}
        found = {}
        for each in self.tree(rels):
            is_inside = attribute(each, "TargetMode") != "External"
            target = unquote(attribute(each, "Target") or "")
            found[attribute(each, "Id") or ""] = Relationship(
                kind=(attribute(each, "Type") or "").rpartition("/")[2],
                target=resolve(folder, target) if is_inside else "",
            )
        return found

    def related(self, member: str, kind: str) -> list[str]:
        """Return the members to which this one has a relationship of this kind."""
        return [
            each.target for each in self.relationships(member).values() if each.kind == kind and each.target in self
        ]

    def main(self, root_name: str, what: str) -> tuple[str, etree._Element]:
        """Return name and tree of an Office file's main part; raise `Unparsable` if it is not of this kind."""
        member = next(iter(self.related("", "officeDocument")), None)
        if member is None:
            raise Unparsable(f"the file is not {what}: it has no main document")
        if member.lower().endswith(".bin"):
            raise Unparsable(f"{member} is in a binary format. Save the file as {what}")
        root = self.tree(member)
        if local_name(root) != root_name:
            raise Unparsable(f"the file is not {what}: its main document is a {local_name(root)!r}")
        return member, root


@contextmanager
def open_package(path: Path, what: str) -> Iterator[Package]:
    """Open a file as a package; `what` says in an error message what it should be, such as "a Word document"."""
    _refuse_old_format(path, what)
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise Unparsable(f"the file is not {what}, or it is damaged: {_sentence(error)}") from error
    with archive:
        yield Package(archive)


def _refuse_old_format(path: Path, what: str) -> None:
    """Raise `Unparsable` for a compound file: an encrypted package, or a format that came before packages."""
    with path.open("rb") as stream:
        if stream.read(len(_OLE)) != _OLE:
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find("EncryptedPackage".encode("utf-16-le")) >= 0:
                raise Unparsable(_ENCRYPTED)
    raise Unparsable(f"the file has the binary format of Office 97 to 2003. Save it as {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    title: str = ""
    metadata: dict[str, JsonValue] = field(default_factory=dict)


def core_properties(package: Package) -> Properties:
    """Return title, author, date of the last change and language of an Office file."""
    member = next(iter(package.related("", "core-properties")), None)
    if member is None:
        return Properties()
    try:
        values = {local_name(each): " ".join(all_text(each).split()) for each in package.tree(member)}
    except Unparsable:  # the document does not depend on it
        return Properties()
    title = values.get("title", "")
    if title.lower() in _PLACEHOLDER_TITLES or title.startswith("Microsoft Word - "):
        title = ""
    date = iso_date(values.get("modified", "")) or iso_date(values.get("created", ""))
    fields = short_fields(author=values.get("creator", ""), date=date, language=values.get("language", ""))
    return Properties(title=title, metadata=fields)


def short_fields(**fields: str) -> dict[str, JsonValue]:
    """Return the fields that have a value, each within a length that metadata can hold."""
    return {name: value[:FIELD_CHARACTERS_MAX] for name, value in fields.items() if value}


def iso_date(text: str) -> str:
    """Return a date or time in ISO 8601 as it stands; an empty text if it is none."""
    if _YEAR_MONTH.fullmatch(text):
        return text
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


def resolve(folder: str, target: str) -> str:
    """Return the member that a reference within this folder names; it never leaves the package."""
    joined = posixpath.normpath(posixpath.join("/", folder, target))
    return joined.lstrip("/")


def _key(member: str) -> str:
    """Return the form in which names of members are compared: OPC ignores case, and some writers write backslashes."""
    return member.replace("\\", "/").lstrip("/").lower()


def _forget_before(element: etree._Element) -> None:
    """Remove what stands before an element and before the elements around it."""
    for each in (element, *element.iterancestors()):
        parent = each.getparent()
        if parent is not None:
            del parent[: parent.index(each)]


def _refuse_dtd(element: etree._Element, member: str) -> None:
    if element.getroottree().docinfo.internalDTD is not None:
        raise Unparsable(f"{member} declares a document type or entities, which are not read")


@contextmanager
def _as_unparsable(member: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise Unparsable(f"the file is damaged: {member} cannot be decompressed ({_sentence(error)})") from error


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
