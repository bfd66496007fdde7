"""Converts volumes to images of nibabel, SimpleITK and MONAI, and such images back to volumes.

SimpleITK and MONAI are extras, imported on first use. SimpleITK's coordinates are LPS mm, like DICOM's; those of
nibabel and MONAI are RAS mm. If an image is converted back, its affine decides where the new volume lies. If it lies on
the grid of the original volume, the new volume keeps the original's sources; otherwise it has none.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.capabilities import load_extra
from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.volumes.voxel_grid import Rescale, VoxelGrid

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import DTypeLike, NDArray

    from dcm_processor_service.imaging.geometry import FloatArray, Frame

__all__ = ["RGB24", "to_monai", "to_nifti_image", "to_sitk", "volume_like"]

V = TypeVar("V", bound=VoxelGrid)

RGB24 = np.dtype([("R", np.uint8), ("G", np.uint8), ("B", np.uint8)])
"""The type of a colour voxel in NIfTI-1 (datatype 128)."""

_SAME_GRID_PART = 1e-3
_SPATIAL_AXES = 3
_LARGEST_NIFTI_INTEGER_BYTES = 4


@dataclass(frozen=True)
class _Placed:
    """An array (i, j, k[, t]) from another library, with the affine that the library states for it."""

    array: NDArray[Any]
    affine: FloatArray | None = None
    """Maps (i, j, k, 1) to mm; None for a plain array, which states no affine."""

    frame: Frame = "RAS"
    remedy: str = ""
    """A lost affine can be restored from this; error messages name it."""

    @property
    def affine_lps(self) -> FloatArray | None:
        """The affine in LPS, the frame of volumes; None if there is none."""
        return None if self.affine is None else convert_frame(self.affine, self.frame, "LPS")


def to_nifti_image(volume: VoxelGrid) -> nib.nifti1.Nifti1Image:
    """Converts a volume to nibabel's image; see :meth:`Volume.to_nifti`."""
    affine = volume.affine("RAS")
    from nibabel.nifti1 import Nifti1Image  # slow to import, as it loads scipy if that is installed

    image = Nifti1Image(_nifti_array(volume.array), affine)
    image.set_sform(affine, code=1)
    # a qform cannot hold sheared axes; code 0 tells programs not to use it (NIfTI-1, method 3)
    image.set_qform(affine, code=0 if volume.is_sheared else 1)
    # writes an unknown time between volumes as 0 without a unit; programs would take nibabel's default of 1 as 1 s
    step_s = volume.volume_step_s
    image.header.set_xyzt_units("mm", "sec" if step_s or volume.array.ndim == _SPATIAL_AXES else "unknown")
    if volume.array.ndim > _SPATIAL_AXES:
        image.header.set_zooms((*image.header.get_zooms()[:3], step_s or 0.0))
    return image


def _nifti_array(array: NDArray[Any]) -> NDArray[Any]:
    """Returns the array in a type that NIfTI programs can read; it is copied only if its type must change."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.view(np.uint8)
    if kind == "f":
        return array.astype(np.float32) if size < np.dtype(np.float32).itemsize else array
    if array.dtype == RGB24:
        return array
    if kind not in "iu":
        raise UnsupportedValueError(f"NIfTI holds numbers, not {array.dtype}: convert the array first")
    if size <= _LARGEST_NIFTI_INTEGER_BYTES:
        return array
    narrow = array.astype(np.int32)
    if not np.array_equal(narrow, array):
        raise UnsupportedValueError("the array's integers exceed 32 bits, which few NIfTI programs read: use float32")
    return narrow


def to_sitk(volume: VoxelGrid) -> Any:
    """Converts a volume to SimpleITK's image; see :meth:`Volume.to_sitk`."""
    if volume.is_sheared:
        raise UnsupportedValueError(
            "the volume's slices are stacked at an angle to their normal, but a SimpleITK image has axes at right "
            "angles: read the series with policy resample"
        )
    sitk = load_extra("SimpleITK", "simpleitk")
    image = sitk.GetImageFromArray(_sitk_array(volume.array), isVector=False)
    axes = volume.array.ndim
    spacing, origin, direction = np.ones(axes), np.zeros(axes), np.eye(axes)
    spacing[:3], origin[:3] = volume.spacing_mm, volume.affine_lps[:3, 3]
    direction[:3, :3] = volume.affine_lps[:3, :3] / spacing[:3]
    if axes > _SPATIAL_AXES and volume.volume_step_s:
        spacing[3] = volume.volume_step_s
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def _sitk_array(array: NDArray[Any]) -> NDArray[Any]:
    """Returns an array ([t,] k, j, i) of a type that SimpleITK has; it is copied only if necessary."""
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype.kind not in "iuf" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise UnsupportedValueError(f"SimpleITK holds numbers of up to 64 bits, not {array.dtype}: convert the array")
    return np.ascontiguousarray(array.T, dtype=array.dtype.newbyteorder("="))


def to_monai(volume: VoxelGrid, dtype: DTypeLike | None) -> Any:
    """Converts a volume to MONAI's tensor; see :meth:`Volume.to_monai`."""
    data = load_extra("monai.data", "monai")
    torch = load_extra("torch", "monai")
    array = volume.array if volume.array.ndim > 3 else volume.array[..., np.newaxis]  # noqa: PLR2004 the volumes' axis
    wanted = np.dtype(volume.array.dtype if dtype is None else dtype).newbyteorder("=")
    # always a copy: a transform that works in place must not change the volume
    channels_first = np.array(np.moveaxis(array, -1, 0), dtype=wanted, order="C")
    meta = {
        "original_affine": volume.affine("RAS"),
        "spatial_shape": np.array(volume.shape[:3]),
        "space": "RAS",
        "original_channel_dim": 0,  # tells EnsureChannelFirst that there is a channel axis, so that it adds none
    }
    return data.MetaTensor(torch.from_numpy(channels_first), affine=torch.from_numpy(volume.affine("RAS")), meta=meta)


def volume_like(volume: V, what: Any) -> V:
    """Converts an image of another library to a volume; see :meth:`Volume.like`."""
    placed = _placed(what)
    array, affine_lps = placed.array, placed.affine_lps
    if array.dtype.kind not in "biuf":
        raise UnsupportedValueError(f"the voxels of a volume are numbers, not {array.dtype}: convert the array first")
    if array.ndim not in {3, 4}:
        raise UnsupportedValueError(
            f"the image has {array.ndim} axes: a volume has three, or four with the volumes of a series or the "
            "channels of a tensor (no batch)"
        )
    if affine_lps is None or _is_same_grid(volume, array.shape, affine_lps):
        return _in_place(volume, array)
    nowhere = convert_frame(np.eye(4), placed.frame, "LPS")
    if np.array_equal(affine_lps, nowhere) and not np.array_equal(volume.affine_lps, nowhere):
        raise UnsupportedValueError(
            "the image does not say where it lies: it lost origin, spacing and direction on the way. Restore them: "
            f"{placed.remedy}"
        )
    result = replace(volume, array=array, affine_lps=affine_lps, sources=(), slice_axis=2)
    return replace(result, rescale=Rescale(), display_window=None, is_monochrome1=False, invented=())


def _in_place(volume: V, array: NDArray[Any]) -> V:
    if array.shape[:3] != volume.shape[:3]:
        raise UnsupportedValueError(f"the array has shape {array.shape}, the volume {volume.shape}: resample it first")
    volumes = array.shape[3] if array.ndim > 3 else 1  # noqa: PLR2004 the volumes' axis
    sources = volume.sources[:volumes] if len(volume.sources) >= volumes else ()
    return replace(volume, array=array, sources=sources, rescale=Rescale(), display_window=None, is_monochrome1=False)


def _is_same_grid(volume: VoxelGrid, shape: tuple[int, ...], affine_lps: FloatArray) -> bool:
    """Returns whether every corner lies within a thousandth of a voxel of the volume's corner."""
    if shape[:3] != volume.shape[:3]:
        return False
    ends = np.array(shape[:3]) - 1
    corners = np.array([[*(ends * at), 1] for at in np.ndindex(2, 2, 2)])
    shift = np.linalg.norm((corners @ (affine_lps - volume.affine_lps).T)[:, :3], axis=1)
    return bool(shift.max() <= _SAME_GRID_PART * min(volume.spacing_mm))


def _placed(what: Any) -> _Placed:
    library = type(what).__module__.partition(".")[0]
    if library == "SimpleITK":
        return _of_sitk(what)
    if library in {"torch", "monai"}:
        return _of_tensor(what)
    spatial_images = sys.modules.get("nibabel.spatialimages")  # nobody has an image of nibabel before it is imported
    if spatial_images is not None and isinstance(what, spatial_images.SpatialImage):
        return _Placed(np.asanyarray(what.dataobj), what.affine, "RAS", "the affine of volume.to_nifti()")
    return _Placed(np.asanyarray(what))


def _of_sitk(image: Any) -> _Placed:
    axes = image.GetDimension()
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise UnsupportedValueError(
            "the image has several numbers a voxel, a volume has one: select one with VectorIndexSelectionCast"
        )
    sitk = load_extra("SimpleITK", "simpleitk")
    array = sitk.GetArrayFromImage(image).T
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(axes, axes)
    affine[:axes, :axes][:3, :3] = (direction * np.array(image.GetSpacing()))[:3, :3]
    affine[:axes, 3][:3] = image.GetOrigin()[:3]
    return _Placed(array, affine, "LPS", "image.CopyInformation(volume.to_sitk())")


def _of_tensor(tensor: Any) -> _Placed:
    array = _as_array(tensor)
    if array.ndim == _SPATIAL_AXES + 1:  # a single channel is dropped; several become the fourth axis of the volume
        array = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    if not hasattr(tensor, "meta") or array.ndim < _SPATIAL_AXES or tensor.affine.shape != (4, 4):
        return _Placed(array)
    frame: Frame = "LPS" if str(tensor.meta.get("space", "RAS")).upper() == "LPS" else "RAS"
    affine = _as_array(tensor.affine).astype(np.float64)
    return _Placed(array, affine, frame, "the affine of volume.to_monai()")


def _as_array(tensor: Any) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    if str(plain.dtype) == "torch.bfloat16":  # numpy has no such type
        plain = plain.float()
    array: NDArray[Any] = np.asarray(plain.numpy())
    return array
