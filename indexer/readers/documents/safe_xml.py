"""How every parser of XML treats a document that it cannot trust: no entity, no DTD, no network, no huge tree."""

from __future__ import annotations

from typing import Final, TypedDict


class XmlSafety(TypedDict):
    """Arguments of lxml's parsers."""

    resolve_entities: bool
    load_dtd: bool
    no_network: bool
    huge_tree: bool
    remove_comments: bool
    remove_pis: bool


XML_SAFETY: Final = XmlSafety(
    resolve_entities=False,
    load_dtd=False,
    no_network=True,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
)
