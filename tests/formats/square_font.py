"""Made the font in indexer/readers/documents/pdf_fonts.py; needs fontTools.

    python -m tests.formats.square_font

Prints the file in base64. All characters are one glyph, a square of the size of an ideograph.
"""

from __future__ import annotations

import base64
import io

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable

EM = 1000
CODES = range(0x20, 0xFFFE)
GLYPHS = (".notdef", "square")
MANY_TO_ONE = 13  # the format of a character map in which a whole range is one glyph


def square() -> object:
    pen = TTGlyphPen(None)
    pen.moveTo((50, -70))
    for corner in ((50, 830), (950, 830), (950, -70)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def font() -> bytes:
    builder = FontBuilder(EM, isTTF=True)
    builder.setupGlyphOrder(list(GLYPHS))
    builder.setupGlyf({name: square() for name in GLYPHS})
    builder.setupHorizontalMetrics(dict.fromkeys(GLYPHS, (EM, 50)))
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupCharacterMap({})
    table = CmapSubtable.newSubtable(MANY_TO_ONE)
    table.platformID, table.platEncID, table.language, table.reserved = 3, 10, 0, 0
    table.length, table.nGroups = 0, 0
    table.cmap = dict.fromkeys(CODES, "square")
    builder.font["cmap"].tables = [table]
    builder.setupNameTable({"familyName": "Square", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost(keepGlyphNames=False)
    builder.updateHead(created=0, modified=0)
    builder.font.recalcTimestamp = False
    file = io.BytesIO()
    builder.save(file)
    return file.getvalue()


if __name__ == "__main__":
    encoded = base64.b64encode(font()).decode("ascii")
    print("\n".join(encoded[start : start + 100] for start in range(0, len(encoded), 100)))
