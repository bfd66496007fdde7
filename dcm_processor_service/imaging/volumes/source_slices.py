"""Voxels on the slices of a series; each slice has its own affine, so they need not be evenly spaced or upright."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import UnsupportedValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.volumes.voxel_grid import SliceSource

__all__ = ["SourceSlices"]


@dataclass(frozen=True, eq=False)
class SourceSlices:
    """Voxels on the scanner's own slices; :meth:`DicomSeries.to_source` returns them, and ``derive`` accepts them.

    A :class:`~dcm_processor_service.Volume` has only one affine, which cannot describe unevenly spaced slices. Here,
    each slice has its own affine.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> series = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series()
        >>> fine = series.volume().resample(0.5)
        >>> mask = series.to_source(fine.like(fine.array > 0))
        >>> mask.shape, mask.array.dtype, mask.place_lps(0, 0, 2)[2] - mask.place_lps(0, 0, 0)[2]
        ((16, 16, 3), dtype('bool'), 4.0)
    """

    array: NDArray[Any] = field(repr=False)
    """Shape (i, j, k): column, row, slice; slices ascend along their normal (PS3.3, section C.7.6.2.1.1)."""

    sources: tuple[SliceSource, ...] = field(repr=False)
    """The DICOM frame of each slice."""

    affines_lps: FloatArray = field(repr=False)
    """Shape (k, 4, 4): the affine of each slice from (i, j, 0, 1) to mm in LPS. Its third column is the slice's normal,
    1 mm long."""

    frame_of_reference_uid: str = ""

    def __post_init__(self) -> None:
        count = len(self.sources)
        if self.array.ndim != 3 or self.array.shape[2] != count or self.affines_lps.shape != (count, 4, 4):  # noqa: PLR2004
            raise UnsupportedValueError(
                "source slices have an array (i, j, k), and a source and an affine for each k, not an array "
                f"{self.array.shape}, {count} sources and affines {self.affines_lps.shape}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array: (i, j, k)."""
        return self.array.shape

    def like(self, array: NDArray[Any]) -> SourceSlices:
        """Puts another array on the same slices, such as one label: ``slices.like(slices.array == 1)``.

        Raises:
            UnsupportedValueError: The array has another shape.
        """
        if array.shape != self.shape:
            raise UnsupportedValueError(f"the array has shape {array.shape}, the slices {self.shape}")
        return replace(self, array=array)

    def place_lps(self, column: float, row: float, index: int) -> tuple[float, float, float]:
        """Returns where the centre of a voxel in slice ``index`` lies, in LPS mm."""
        x, y, z, _one = self.affines_lps[index] @ np.array([column, row, 0.0, 1.0])
        return float(x), float(y), float(z)
