"""A volume: voxels, where they lie, and from which DICOM slices they come.

Axes are (i, j, k[, t]) = (column, row, slice[, volume]), as in NIfTI: ``array[i, j, k]`` is what DICOM calls column i
and row j of slice k. ``affine_lps`` maps (i, j, k, 1) to mm in LPS, DICOM's patient frame; RAS, NIfTI's frame, appears
at the edge alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from dcm_processor_service.errors import InvalidSeriesError, UnsupportedValueError
from dcm_processor_service.imaging.geometry import axis_codes, convert_frame

if TYPE_CHECKING:
    import os

    import nibabel as nib
    import SimpleITK
    import torch
    from monai.data.meta_tensor import MetaTensor
    from nibabel.spatialimages import SpatialImage
    from numpy.typing import DTypeLike, NDArray
    from pydicom import Dataset

    from dcm_processor_service.imaging.geometry import FloatArray, Frame
    from dcm_processor_service.imaging.pictures.contact_sheet import SheetLayout
    from dcm_processor_service.imaging.volumes.resampling import Interpolation
    from dcm_processor_service.models import SeriesReport
    from dcm_processor_service.models.nifti import NiftiFiles, Sidecar

__all__ = ["DisplayWindow", "Rescale", "SliceSource", "Volume"]

_SPATIAL_AXES = 3
_SHEAR_TOLERANCE = 1e-4


@dataclass(frozen=True)
class SliceSource:
    """The DICOM frame that a slice of a volume comes from."""

    sop_instance_uid: str
    frame_number: int = 1
    """From 1, as DICOM counts (PS3.3, section 10.3)."""


@dataclass(frozen=True)
class DisplayWindow:
    """The window that the header proposes, in rescaled units (PS3.3, section C.11.2)."""

    center: float
    width: float


@dataclass(frozen=True)
class Rescale:
    """How stored values became the array's: value = stored * slope + intercept, already applied."""

    slope: float = 1.0
    intercept: float = 0.0
    unit: str = ""
    """RescaleType (0028,1054), Units (0054,1001) or ModalityLUTType (0028,3004), such as HU or BQML; empty for US."""

    varies: bool = False
    """Whether slices have their own slope or intercept; ``slope`` and ``intercept`` are then those of the first."""

    by_table: bool = False
    """Whether a table made the values instead, a Modality LUT Sequence (PS3.3, section C.11.1); slope is then 1."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with their place in the patient.

    Example:
        >>> volume = Volume(np.zeros((4, 3, 2), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]), modality="CT")
        >>> volume.spacing_mm, volume.axis_codes
        ((0.5, 0.5, 2.0), 'LPS')
        >>> volume.affine("RAS").diagonal().tolist()
        [-0.5, -0.5, 2.0, 1.0]
    """

    array: NDArray[Any] = field(repr=False)
    """Shape (i, j, k) or (i, j, k, t); rescaled values, as integers wherever they are whole."""

    affine_lps: FloatArray
    """Shape (4, 4), mm."""

    sources: tuple[tuple[SliceSource, ...], ...] = field(default=(), repr=False)
    """For every volume t and every index along ``slice_axis`` the DICOM frame; empty when voxels mix slices."""

    slice_axis: int = 2
    """The array axis along which ``sources`` counts; not 2 only after :meth:`reorient`."""

    name: str = ""
    """What tells it apart from the series' other volumes, such as ``echo-2``; empty for the only one."""

    series_instance_uid: str = ""
    study_instance_uid: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    display_window: DisplayWindow | None = None
    rescale: Rescale = Rescale()
    volume_step_s: float | None = None
    """Seconds between the volumes of a 4D series, where the header knows."""

    header: Dataset | None = field(default=None, repr=False)
    """Header of the first slice, without pixels; patient data, so never shown."""

    report: SeriesReport | None = field(default=None, repr=False)
    """What the inspection of the series found."""

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
        """(i, j, k) or (i, j, k, t)."""
        return self.array.shape

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along i, j and k, from the slices' positions."""
        i, j, k = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def axis_codes(self) -> str:
        """Where each of i, j, k grows to, such as ``LPS``."""
        return axis_codes(self.affine_lps)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not at right angles, as when the gantry was tilted."""
        directions = self.affine_lps[:3, :3] / np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_TOLERANCE)

    def affine(self, frame: Frame) -> FloatArray:
        """Gives the affine in mm: (i, j, k, 1) to ``LPS`` or to ``RAS``."""
        if frame not in {"LPS", "RAS"}:
            raise UnsupportedValueError(f"a frame is LPS or RAS, not {frame!r}")
        return convert_frame(self.affine_lps, "LPS", frame)

    def reorient(self, axes: str = "RAS") -> Volume:
        """Gives the same voxels with axes in another order and direction; a view, nothing is resampled.

        Args:
            axes: For i, j and k the patient direction in which the index grows: ``RAS`` is right, front, head. The
                letters mean the same in every frame.

        Raises:
            UnsupportedValueError: ``axes`` does not name each patient axis once.
        """
        from dcm_processor_service.imaging.volumes.resampling import reorient

        return reorient(self, axes)

    def resample(
        self, spacing_mm: float | tuple[float, float, float], interpolation: Interpolation = "linear"
    ) -> Volume:
        """Gives the volume on a grid of another spacing that covers the same space.

        Integers stay integers, rounded. The result has no ``sources``: its voxels mix slices.

        Args:
            spacing_mm: Along i, j and k, or one for all.
            interpolation: ``nearest`` (right for masks), ``linear`` or ``cubic``.
        """
        from dcm_processor_service.imaging.volumes.resampling import resample

        spacing = (spacing_mm,) * 3 if isinstance(spacing_mm, int | float) else spacing_mm
        return resample(self, spacing, interpolation)

    def like(self, image: NDArray[Any] | SpatialImage | SimpleITK.Image | torch.Tensor) -> Volume:
        """Gives what was computed from this volume, such as a mask, as a volume of the same series.

        An array (i, j, k[, t]) and a plain tensor (channel, i, j, k) take this volume's place. An image of nibabel or
        SimpleITK and a MetaTensor of MONAI say where they lie: on this volume's grid, to a thousandth of a voxel, the
        result keeps the sources of the slices; on another grid, as after resampling or cropping, it lies there and has
        none. A 3D result of a 4D volume keeps the sources of the first volume.

        Raises:
            UnsupportedValueError: An array has another shape; an image has lost its place, or has a batch or several
                numbers a voxel.

        Example:
            >>> volume = Volume(np.zeros((4, 3, 2), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]))
            >>> volume.like(volume.array > 0).array.dtype
            dtype('bool')
        """
        from dcm_processor_service.imaging.volumes.interop import volume_like

        return volume_like(self, image)

    def to_sitk(self) -> SimpleITK.Image:
        """Gives the volume as a SimpleITK image, a copy, for ``sitk.Resample(volume.to_sitk(), …)`` and its filters.

        Origin, spacing and direction are LPS mm, as SimpleITK counts them. A 4D volume becomes a 4D image, whose fourth
        spacing is the time step in seconds (1 where that is not known); filters of three axes take
        ``image[:, :, :, t]``. :meth:`like` takes the result back. Needs the extra ``simpleitk``.

        Raises:
            ConfigurationError: SimpleITK is not installed.
            UnsupportedValueError: The axes are not at right angles, or the array holds no numbers.

        Example:
            >>> volume = Volume(np.zeros((4, 3, 2), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]))
            >>> volume.to_sitk().GetSpacing()
            (0.5, 0.5, 2.0)
        """
        from dcm_processor_service.imaging.volumes.interop import to_sitk

        image: SimpleITK.Image = to_sitk(self)
        return image

    def to_monai(self, dtype: DTypeLike | None = "float32") -> MetaTensor:
        """Gives the volume as a MetaTensor of MONAI, a copy, as ``LoadImage(ensure_channel_first=True)`` gives a file.

        Its shape is (channel, i, j, k) with one channel, or with one for each volume of a 4D series. Its affine is RAS
        mm. :meth:`like` takes the result back. Needs the extra ``monai``.

        Args:
            dtype: Of the tensor; None for the array's own.

        Raises:
            ConfigurationError: MONAI is not installed.
        """
        from dcm_processor_service.imaging.volumes.interop import to_monai

        tensor: MetaTensor = to_monai(self, dtype)
        return tensor

    def window(self, center: float | None = None, width: float | None = None) -> NDArray[np.uint8]:
        """Gives display values 0 to 255 through a linear window (PS3.3, section C.11.2.1.2.1).

        Without numbers it takes the header's window, else the 1st to 99th percentile.
        """
        from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window

        if center is None or width is None:
            chosen = self.display_window or percentile_window(self.array)
            center, width = chosen.center, chosen.width
        return apply_window(self.array, DisplayWindow(center, width))

    @overload
    def to_nifti(self, path: None = None) -> nib.nifti1.Nifti1Image: ...
    @overload
    def to_nifti(self, path: str | os.PathLike[str], sidecar: Sidecar = "bids") -> NiftiFiles: ...
    def to_nifti(
        self, path: str | os.PathLike[str] | None = None, sidecar: Sidecar = "bids"
    ) -> nib.nifti1.Nifti1Image | NiftiFiles:
        """Gives the volume as a NIfTI image in memory, or writes it to a file.

        In memory nothing is copied, compressed or written. On disk the file appears whole or not at all, gzipped when
        its name ends in ``.nii.gz``, with a JSON sidecar beside it.

        Args:
            path: Ends in ``.nii`` or ``.nii.gz``.
            sidecar: ``bids`` (no patient attributes), ``simplified`` (the whole header, as the platform's former SDK
                wrote it; holds patient data) or ``none``.

        Raises:
            UnsupportedValueError: The array's type does not exist in NIfTI.
            InvalidNameError: The file name ends in neither.
            NiftiConversionError: The file cannot be written.
        """
        from dcm_processor_service.imaging.volumes.interop import to_nifti_image

        image = to_nifti_image(self)
        if path is None:
            return image
        from dcm_processor_service.imaging.nifti.sidecar import write_with_sidecar

        return write_with_sidecar(self, image, Path(path), sidecar)

    def preview(self, mask: Volume | NDArray[Any] | None = None, layout: SheetLayout = "both") -> bytes:
        """Draws a contact sheet as a PNG file; see ``imaging.pictures.contact_sheet``."""
        from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume

        return preview_volume(self, mask, layout=layout)

    def source(self, index: int, volume: int = 0) -> SliceSource:
        """Gives the DICOM frame of one slice: ``index`` counts along ``slice_axis``.

        Raises:
            InvalidSeriesError: The volume was resampled or made from an array, so its slices have no source.
        """
        if not self.sources:
            raise InvalidSeriesError("this volume's slices have no single source: it was resampled or made anew")
        return self.sources[volume][index]
