"""The data of a volume: voxels, their affine, the DICOM frames that they come from, and the unit of the values.

Modules that compute with volumes (resampling, other libraries, sidecars, contact sheets) need only this class;
:class:`~dcm_processor_service.imaging.volumes.volume.Volume` adds the methods that call them.

Axes are (i, j, k[, t]) = (column, row, slice[, volume]), as in NIfTI: ``array[i, j, k]`` is what DICOM calls column i
and row j of slice k. ``affine_lps`` maps (i, j, k, 1) to mm in LPS, DICOM's frame. RAS, NIfTI's frame, is used only for
NIfTI images, for MONAI, and by :meth:`VoxelGrid.affine`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.geometry import axis_codes, convert_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.imaging.geometry import FloatArray, Frame
    from dcm_processor_service.models import MrAcquisition, OrderCertificate, SeriesReport

__all__ = ["DisplayWindow", "Rescale", "SliceSource", "VoxelGrid"]

_SPATIAL_AXES = 3
_SHEAR_TOLERANCE = 1e-4


@dataclass(frozen=True)
class SliceSource:
    """The DICOM frame that a slice of a volume comes from.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> volume = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().volume()
        >>> volume.source(2).frame_number
        1
    """

    sop_instance_uid: str
    frame_number: int = 1
    """Number of the frame in its instance, counted from 1 as in DICOM (PS3.3, section 10.3)."""


@dataclass(frozen=True)
class DisplayWindow:
    """The centre and the width of the range of rescaled values that a picture shows (PS3.3, section C.11.2).

    Example:
        >>> soft_tissue = DisplayWindow(center=40, width=400)
        >>> soft_tissue.center - soft_tissue.width / 2
        -160.0
    """

    center: float
    width: float


@dataclass(frozen=True)
class Rescale:
    """The rescale that was applied to stored values to get those of the array: value = stored * slope + intercept.

    Example:
        >>> from dcm_processor_service.testing import fake_context, synthetic_series
        >>> rescale = fake_context(series=synthetic_series(slices=3)).session.dicom.get_series().volume().rescale
        >>> rescale.slope, rescale.intercept, rescale.unit
        (1.0, -1024.0, 'HU')
    """

    slope: float = 1.0
    intercept: float = 0.0
    unit: str = ""
    """RescaleType (0028,1054), Units (0054,1001) or ModalityLUTType (0028,3004), such as HU or BQML; empty for US."""

    varies: bool = False
    """Whether slope or intercept differ between slices; the fields have then those of the first slice."""

    by_table: bool = False
    """Whether the values come from ModalityLUTSequence (PS3.3, section C.11.1) instead; the slope is then 1."""


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """Voxels with their place in the patient; see :class:`~dcm_processor_service.imaging.volumes.volume.Volume`."""

    array: NDArray[Any] = field(repr=False)
    """Rescaled values, shape (i, j, k) or (i, j, k, t); of an integer type if all values are whole numbers."""

    affine_lps: FloatArray
    """Shape (4, 4): maps (i, j, k, 1) to mm in LPS."""

    sources: tuple[tuple[SliceSource, ...], ...] = field(default=(), repr=False)
    """The DICOM frame of each slice, by volume t and by index along ``slice_axis``; empty if voxels mix slices."""

    slice_axis: int = 2
    """The array axis along which slices follow each other; 2 unless :meth:`reorient` has moved it."""

    name: str = ""
    """The name that tells it apart from other volumes of the series, such as ``echo-2``; empty if there are none."""

    series_instance_uid: str = ""
    study_instance_uid: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    display_window: DisplayWindow | None = None
    is_monochrome1: bool = False
    """Whether the least value is shown white, as in radiography (MONOCHROME1, PS3.3, section C.7.6.3.1.2)."""

    rescale: Rescale = Rescale()
    volume_step_s: float | None = None
    """Seconds between the starts of two volumes of a 4D series; None if that time differs or is unknown."""

    frame_times_s: tuple[float, ...] = ()
    """Start of each volume of a 4D series, in seconds after the first; empty if the headers do not state it."""

    frame_durations_s: tuple[float, ...] = ()
    """Duration of each volume of a 4D series in seconds (ActualFrameDuration); empty if the headers do not state it."""

    invented: tuple[bool, ...] = ()
    """For every index along ``slice_axis``: True if no slice was measured there, so that its values were interpolated
    from other slices. Empty if all slices were measured, or if the volume was resampled again later."""

    order: OrderCertificate | None = field(default=None, repr=False)
    """The attributes that order slices and volumes; None for a volume that was made from an array."""

    acquisition: MrAcquisition | None = field(default=None, repr=False)
    """Phase encoding, readout and slice times of an MR volume, as far as its headers state them; None for other
    modalities."""

    header: Dataset | None = field(default=None, repr=False)
    """Header of the first slice, without pixels; it is never shown, because it holds patient data."""

    report: SeriesReport | None = field(default=None, repr=False)
    """The report on the series, with findings that were added when its pixels were read; None for a volume that was
    made from an array."""

    def __post_init__(self) -> None:
        if self.array.ndim not in {_SPATIAL_AXES, _SPATIAL_AXES + 1}:
            raise UnsupportedValueError(f"a volume has axes (i, j, k) or (i, j, k, t), not shape {self.array.shape}")
        if 0 in self.array.shape:
            raise UnsupportedValueError(
                f"a volume has at least one voxel along each axis, not shape {self.array.shape}"
            )
        affine = np.asarray(self.affine_lps, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
            raise UnsupportedValueError("the affine of a volume has shape (4, 4), finite numbers and three directions")
        object.__setattr__(self, "affine_lps", affine)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array: (i, j, k) or (i, j, k, t)."""
        return self.array.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along i, j and k; that along k follows from the slices' positions."""
        i, j, k = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def axis_codes(self) -> str:
        """The patient directions in which i, j and k grow, such as ``LPS``."""
        return axis_codes(self.affine_lps)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not at right angles, for example because the gantry was tilted."""
        directions = self.affine_lps[:3, :3] / np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_TOLERANCE)

    def affine(self, frame: Frame) -> FloatArray:
        """Returns the affine, shape (4, 4), from (i, j, k, 1) to mm in ``LPS`` or ``RAS``."""
        if frame not in {"LPS", "RAS"}:
            raise UnsupportedValueError(f"a frame is LPS or RAS, not {frame!r}")
        return convert_frame(self.affine_lps, "LPS", frame)

    def source(self, index: int, volume: int = 0) -> SliceSource:
        """Returns the DICOM frame of one slice; ``index`` is its number along ``slice_axis``, from 0.

        Raises:
            InvalidSeriesError: The volume was resampled or made from an array, so its slices have no source.
        """
        if not self.sources:
            raise InvalidSeriesError(
                "this volume's slices have no single source: it was resampled, or made from an array"
            )
        return self.sources[volume][index]
