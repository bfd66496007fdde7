"""The public class :class:`Volume`: voxels with methods to compute with them, show them and write them."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.hypertext import element, facts, notebook, picture
from dcm_processor_service.imaging.headers.instance_file import foreign_errors_as
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow, Rescale, SliceSource, VoxelGrid

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import nibabel as nib
    import numpy as np
    import SimpleITK
    import torch
    from monai.data.meta_tensor import MetaTensor
    from nibabel.spatialimages import SpatialImage
    from numpy.typing import DTypeLike, NDArray

    from dcm_processor_service.imaging.pictures.contact_sheet import SheetLayout
    from dcm_processor_service.imaging.volumes.resampling import Interpolation
    from dcm_processor_service.models.images.nifti import NiftiFiles, Sidecar

__all__ = ["DisplayWindow", "Rescale", "SliceSource", "Volume"]


M = TypeVar("M", bound="Callable[..., Any]")


def _guarded(method: M) -> M:
    """Wraps a public method, so that exceptions of libraries become this package's errors."""
    message = f"the volume, or an argument of {method.__name__}, cannot be processed"

    @wraps(method)
    def guarded(*args: Any, **keywords: Any) -> Any:
        with foreign_errors_as(lambda: UnsupportedValueError(f"{message}, or needs more memory than there is")):
            return method(*args, **keywords)

    return cast("M", guarded)


class Volume(VoxelGrid):
    """Voxels with their place in the patient.

    Example:
        >>> import numpy as np
        >>> volume = Volume(np.zeros((4, 3, 2), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]), modality="CT")
        >>> volume.spacing_mm, volume.axis_codes
        ((0.5, 0.5, 2.0), 'LPS')
        >>> volume.affine("RAS").diagonal().tolist()
        [-0.5, -0.5, 2.0, 1.0]
    """

    @_guarded
    def reorient(self, axes: str = "RAS") -> Volume:
        """Returns a view of the same voxels with the axes in another order and direction; does not resample.

        Args:
            axes: The patient directions in which i, j and k grow: ``RAS`` means right, anterior, superior. The frame of
                the affine does not matter.

        Raises:
            UnsupportedValueError: ``axes`` does not name each patient axis once.
        """
        from dcm_processor_service.imaging.volumes.resampling import reorient

        return reorient(self, axes)

    @_guarded
    def resample(
        self, spacing_mm: float | tuple[float, float, float], interpolation: Interpolation = "linear"
    ) -> Volume:
        """Returns the volume on a grid of another spacing that covers the same space.

        If the array has integers, results are rounded to integers. The result has no ``sources``, because its voxels
        mix slices.

        Args:
            spacing_mm: Distances between voxels along i, j and k, or one distance for all axes.
            interpolation: ``nearest`` (right for masks), ``linear`` or ``cubic``.
        """
        from dcm_processor_service.imaging.volumes.resampling import resample

        spacing = (spacing_mm,) * 3 if isinstance(spacing_mm, int | float) else spacing_mm
        return resample(self, spacing, interpolation)

    @_guarded
    def like(self, image: NDArray[Any] | SpatialImage | SimpleITK.Image | torch.Tensor) -> Volume:
        """Makes a volume of the same series from voxels that were computed from this volume, such as a mask.

        An array (i, j, k[, t]) and a plain tensor (channel, i, j, k) lie where this volume lies. An image of nibabel or
        SimpleITK and a MetaTensor of MONAI lie where their own affine says. If that is this volume's grid, to a
        thousandth of a voxel, the result keeps the sources of the slices. If it is another grid, for example after
        resampling or cropping, the result has that grid and no sources. A 3D result of a 4D volume keeps the sources of
        the first volume.

        Raises:
            UnsupportedValueError: An array has another shape than this volume; or an image has lost its origin, spacing
                and direction, or has a batch axis or several numbers a voxel.

        Example:
            >>> import numpy as np
            >>> volume = Volume(np.zeros((4, 3, 2), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]))
            >>> volume.like(volume.array > 0).array.dtype
            dtype('bool')
        """
        from dcm_processor_service.imaging.volumes.interop import volume_like

        return volume_like(self, image)

    @_guarded
    def to_sitk(self) -> SimpleITK.Image:
        """Returns a copy as a SimpleITK image, for filters such as ``sitk.Resample(volume.to_sitk(), …)``.

        Origin, spacing and direction are in LPS mm, as SimpleITK expects them. A 4D volume becomes a 4D image, whose
        fourth spacing is the time step in seconds (1 if it is unknown). Filters for three axes need ``image[:, :, :,
        t]``. :meth:`like` converts the result of a filter to a volume. Needs the extra ``simpleitk``.

        Raises:
            ConfigurationError: SimpleITK is not installed.
            UnsupportedValueError: The axes are not at right angles, or the array holds no numbers.

        Example:
            >>> import numpy as np
            >>> volume = Volume(np.zeros((4, 3, 2), np.int16), np.diag([0.5, 0.5, 2.0, 1.0]))
            >>> volume.to_sitk().GetSpacing()
            (0.5, 0.5, 2.0)
        """
        from dcm_processor_service.imaging.volumes.interop import to_sitk

        image: SimpleITK.Image = to_sitk(self)
        return image

    @_guarded
    def to_monai(self, dtype: DTypeLike | None = "float32") -> MetaTensor:
        """Returns a copy as a MetaTensor of MONAI, like that of ``LoadImage(ensure_channel_first=True)`` for a file.

        Its shape is (channel, i, j, k), with one channel for each volume of a 4D series, or only one. Its affine is in
        RAS mm. :meth:`like` converts a tensor to a volume. Needs the extra ``monai``.

        Args:
            dtype: Type of the tensor's elements; None for the type of the array.

        Raises:
            ConfigurationError: MONAI is not installed.
        """
        from dcm_processor_service.imaging.volumes.interop import to_monai

        tensor: MetaTensor = to_monai(self, dtype)
        return tensor

    @_guarded
    def window(self, center: float | None = None, width: float | None = None) -> NDArray[np.uint8]:
        """Maps the values in a window linearly to 0..255, for display (PS3.3, section C.11.2.1.2.1).

        Unless both center and width are given, the window is that of the header; if the header has none, it goes from
        the 1st to the 99th percentile. A MONOCHROME1 image, in which low values mean white, is inverted.
        """
        from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window

        if center is None or width is None:
            chosen = self.display_window or percentile_window(self.array)
            center, width = chosen.center, chosen.width
        return apply_window(self.array, DisplayWindow(center, width), is_monochrome1=self.is_monochrome1)

    @overload
    def to_nifti(self, path: None = None) -> nib.nifti1.Nifti1Image: ...
    @overload
    def to_nifti(self, path: str | os.PathLike[str], sidecar: Sidecar = "bids") -> NiftiFiles: ...
    @_guarded
    def to_nifti(
        self, path: str | os.PathLike[str] | None = None, sidecar: Sidecar = "bids"
    ) -> nib.nifti1.Nifti1Image | NiftiFiles:
        """Returns the volume as a NIfTI image in memory, or writes it to a file.

        An image in memory shares the volume's array if NIfTI has its type. A file appears whole or not at all, gzipped
        if its name ends in ``.nii.gz``, with a JSON sidecar beside it.

        Args:
            path: File name, which ends in ``.nii`` or ``.nii.gz``; None for an image in memory.
            sidecar: ``bids`` (without patient attributes), ``simplified`` (the whole header in the form of the 0.0.1
                API, with patient data) or ``none``.

        Raises:
            UnsupportedValueError: NIfTI has no type for the array.
            InvalidNameError: The file name ends neither in ``.nii`` nor in ``.nii.gz``.
            NiftiConversionError: The file cannot be written.
        """
        from dcm_processor_service.imaging.volumes.interop import to_nifti_image

        image = to_nifti_image(self)
        if path is None:
            return image
        from dcm_processor_service.imaging.nifti.sidecar import write_with_sidecar

        return write_with_sidecar(self, image, Path(path), sidecar)

    @_guarded
    def preview(self, mask: Volume | NDArray[Any] | None = None, layout: SheetLayout = "both") -> bytes:
        """Draws a contact sheet and returns it as a PNG file; labels of ``mask`` are painted over the slices."""
        from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume

        return preview_volume(self, mask, layout=layout)

    def _repr_png_(self) -> bytes:
        middle = self.shape[3] // 2 if self.array.ndim > 3 else 0  # noqa: PLR2004 the volumes' axis
        from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume

        return preview_volume(self, index=middle)

    def _repr_html_(self) -> str:
        spacing = " × ".join(f"{mm:.4g}" for mm in self.spacing_mm)
        table = facts(
            [
                ("voxels", f"{' × '.join(map(str, self.shape))} of {spacing} mm, {self.axis_codes}"),
                ("values", f"{self.array.dtype} {self.rescale.unit}".strip()),
                ("series", self.series_instance_uid),
                ("part", self.name),
            ]
        )
        head = element("h2", f"Volume {self.modality}".strip())
        return notebook(head, table, element("figure", picture(self._repr_png_(), "contact sheet")))
