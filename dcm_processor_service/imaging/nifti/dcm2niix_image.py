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
    """What dcm2niix calls it, such as ``e1`` or ``ph``; empty for the only one."""

    path: Path
    shape: tuple[int, ...]
    affine_ras: tuple[tuple[float, ...], ...]
    metadata: dict[str, Any]
    """BIDS, without patient attributes."""

    gradients: tuple[Path, ...]
    """``.bval`` and ``.bvec``."""
