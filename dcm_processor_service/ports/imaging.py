"""The converter, which turns a series into NIfTI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dcm_processor_service.models.images.nifti import Engine, NiftiFiles, Policy, Sidecar

__all__ = ["NiftiConverter"]


class NiftiConverter(Protocol):
    """Turns the files of one series into NIfTI; an ordinary function, which the facade offloads."""

    def convert(
        self,
        paths: Sequence[Path],
        destination: Path,
        *,
        engine: Engine = "auto",
        policy: Policy = "strict",
        sidecar: Sidecar = "bids",
        max_gap_mm: float | None = None,
        verify: bool = False,
    ) -> NiftiFiles:
        """Writes ``destination`` (``.nii`` or ``.nii.gz``).

        Raises:
            InvalidSeriesError: The series is not one volume; the error's ``report`` says why.
            NiftiConversionError: The converter made no usable result.
        """
