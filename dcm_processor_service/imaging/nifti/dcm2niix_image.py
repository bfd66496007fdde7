"""A record of one image that dcm2niix wrote."""

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
    """Suffix that dcm2niix gave the image, such as ``e1`` or ``ph``; empty if there is only one image."""

    path: Path
    shape: tuple[int, ...]
    affine_ras: tuple[tuple[float, ...], ...]
    metadata: dict[str, Any]
    """BIDS metadata without patient attributes."""

    gradients: tuple[Path, ...]
    """The files ``.bval`` and ``.bvec``, as far as dcm2niix wrote them."""
