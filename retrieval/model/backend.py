"""What computes a cross-encoder: torch, or an exported copy of the model in ONNX or OpenVINO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

BackendKind = Literal["torch", "onnx", "openvino"]
BACKENDS: Final[tuple[BackendKind, ...]] = get_args(BackendKind)


@dataclass(frozen=True, slots=True)
class Backend:
    """A library, and the file of the folder that it loads.

    Without a file it loads its default one, or exports the model at each start.
    """

    kind: BackendKind
    file: str | None = None  # such as onnx/model_qint8_avx512.onnx

    @property
    def is_torch(self) -> bool:
        return self.kind == "torch"

    @property
    def files(self) -> tuple[str, ...]:
        """Patterns of the files that it needs in addition to the usual ones."""
        return () if self.is_torch else (self.file or f"{self.kind}/*",)

    def __str__(self) -> str:
        return self.kind if self.file is None else f"{self.kind}:{self.file}"


TORCH: Final = Backend("torch")
