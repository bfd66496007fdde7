"""One image that dcm2niix made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Dcm2niixImage"]


@dataclass(frozen=True)
class Dcm2niixImage:
    """One image that dcm2niix wrote into its temporary folder."""

    name: str
    """Suffix that dcm2niix gave it, such as ``e1`` or ``ph``; empty for the only image."""

    path: Path
    shape: tuple[int, ...]
    affine_ras: tuple[tuple[float, ...], ...]
    metadata: dict[str, Any]
    """BIDS metadata without patient attributes."""

    gradients: tuple[Path, ...]
    """The files ``.bval`` and ``.bvec``, as far as dcm2niix wrote them."""
