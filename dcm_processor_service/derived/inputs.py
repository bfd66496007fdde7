"""Converts the arguments of callers to the types that the makers take: voxels with their affine, and a source."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import SpatialImage

from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.headers.folder import DicomFolders, files_below
from dcm_processor_service.imaging.headers.instance_file import read_header
from dcm_processor_service.imaging.headers.repeats import is_same_instance
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.models import LeftOutFile
from dcm_processor_service.models.files import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    import SimpleITK
    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.imaging.volumes.volume import SliceSource

__all__ = ["PlacedArray", "Voxels", "source_of", "voxels_of"]

Voxels: TypeAlias = "NDArray[Any] | Volume | SourceSlices | SpatialImage | SimpleITK.Image | Path | str"
"""An array in the source's own axes, a Volume, slices of the source, a NIfTI image or the path of one, or an image of
SimpleITK."""


@dataclass(frozen=True)
class PlacedArray:
    """An array, with its place, sources and unit as far as these are known."""

    array: NDArray[Any] = field(repr=False)
    """Axes (column, row, slice[, volume])."""

    affine_lps: NDArray[np.float64] | None = None
    """Shape (4, 4): (i, j, k, 1) to LPS mm; None for a bare array, and for slices placed by their ``sources`` alone."""

    sources: tuple[tuple[SliceSource, ...], ...] = ()
    """The DICOM frame of each slice, as in a volume; empty if slices have no sources."""

    frame_of_reference_uid: str = ""
    """The frame of reference in which the voxels lie; empty if it is not known."""

    unit: str = ""
    """The unit of the values, such as HU; empty if it is not known."""

    is_color: bool = False
    """Whether the last axis is red, green and blue."""


def voxels_of(what: Voxels, affine_lps: NDArray[np.float64] | None = None) -> PlacedArray:
    """Returns voxels with their place; the scaling of a NIfTI file is applied.

    Args:
        what: Any form of voxels.
        affine_lps: Affine of the voxels, which replaces their own, as after a registration; None for their own.

    Raises:
        DerivedObjectError: The file is not NIfTI, or holds colours in another form than RGB24.

    Example:
        >>> found = voxels_of(nib.nifti1.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4)))
        >>> found.array.shape, found.affine_lps.diagonal().tolist()
        ((2, 3, 4), [-1.0, -1.0, 1.0, 1.0])
    """
    found = _placed_array(what)
    if affine_lps is None:
        return found
    return PlacedArray(found.array, np.asarray(affine_lps, dtype=np.float64), unit=found.unit, is_color=found.is_color)


def _placed_array(what: Voxels) -> PlacedArray:
    if isinstance(what, Volume):
        unit = what.rescale.unit
        return PlacedArray(what.array, what.affine_lps, what.sources, what.frame_of_reference_uid, unit)
    if isinstance(what, SourceSlices):
        return PlacedArray(what.array, None, (what.sources,), what.frame_of_reference_uid)
    if isinstance(what, (str, Path)):
        try:
            return _placed_array(nib.load(what))  # type: ignore[arg-type]  # a NIfTI file gives a spatial image
        except (ImageFileError, OSError) as error:
            raise DerivedObjectError(f"{Path(what).name} cannot be read as NIfTI: check the file") from error
    if isinstance(what, SpatialImage):
        try:
            array = np.asanyarray(what.dataobj)
        except (OSError, EOFError, ValueError) as error:
            raise DerivedObjectError(
                "the NIfTI file was cut off, voxels at its end are missing: get it again"
            ) from error
        affine = what.affine
        if affine is None:
            raise DerivedObjectError("the image has no affine, so its place is not known: set one")
        affine_lps = convert_frame(np.asarray(affine, dtype=np.float64), "RAS", "LPS")
        if array.dtype.names is None:
            return PlacedArray(array, affine_lps)
        return PlacedArray(_colors(array), affine_lps, is_color=True)
    if type(what).__module__.partition(".")[0] == "SimpleITK":
        return _of_simpleitk(what)
    return PlacedArray(np.asarray(what))


def _of_simpleitk(image: Any) -> PlacedArray:
    """Returns the voxels of a SimpleITK image, whose origin, spacing and direction are LPS mm."""
    simpleitk = importlib.import_module("SimpleITK")
    axes, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if axes not in {3, 4} or components not in {1, 3}:
        raise DerivedObjectError(
            f"the image has {axes} axes and {components} numbers for each voxel: give three or four axes, and one "
            "number for each voxel, or three for colours"
        )
    array = simpleitk.GetArrayFromImage(image)
    order = (*range(axes - 1, -1, -1), *((axes,) if components > 1 else ()))
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(axes, axes)[:3, :3]
    affine[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    return PlacedArray(array.transpose(order), affine, is_color=components > 1)


def _colors(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns RGB24 voxels of NIfTI as an array with the colours on a last axis."""
    if array.dtype.names != ("R", "G", "B") or array.ndim != 3:  # noqa: PLR2004 columns, rows, slices
        raise DerivedObjectError(
            f"the NIfTI image has {array.ndim} axes, and its voxels have the fields {array.dtype.names}: give colours "
            "as RGB24 with three axes"
        )
    return np.stack([array[name] for name in ("R", "G", "B")], axis=-1)


def source_of(paths: Iterable[Path], series_instance_uid: str = "", further: Iterable[Path] = ()) -> SourceSeries:
    """Reads the headers of a series from files or folders; an image that folders hold several times counts once.

    Args:
        paths: Files, or folders that are searched with all their subfolders.
        series_instance_uid: UID of the series to read, if there are several.
        further: Files of other instances that the result was made from.

    Raises:
        InvalidSeriesError: A file that was named is not a DICOM file.
        DerivedObjectError: There is no series, or there are several and none was named; or two of its files have the
            same SOPInstanceUID and different content.
    """
    headers: dict[str, list[tuple[Path, Dataset]]] = {}
    folders = DicomFolders()
    for path in paths:
        if path.is_dir():
            found = (one for one in folders.read(files_below(path)) if not isinstance(one, LeftOutFile))
            files = [one.path for one in found if "Rows" in one.header]
        else:
            files = [path]
        for file in files:
            header = read_header(file)
            headers.setdefault(text(header, "SeriesInstanceUID"), []).append((file, header))
    chosen = headers.get(series_instance_uid) if series_instance_uid else None
    if chosen is None and not series_instance_uid and len(headers) == 1:
        chosen = next(iter(headers.values()))
    if chosen is None:
        known = ", ".join(sorted(headers)) or "none"
        raise DerivedObjectError(f"it is not clear which series is the source; found: {known}; name one of them")
    _refuse_twins(chosen)
    return SourceSeries.from_headers([header for _, header in chosen], [read_header(file) for file in further])


def _refuse_twins(files: Iterable[tuple[Path, Dataset]]) -> None:
    """Refuses two different instances with one SOPInstanceUID, because the result was made from only one of them."""
    known: dict[str, Path] = {}
    for file, header in files:
        uid = text(header, "SOPInstanceUID")
        if uid and known.setdefault(uid, file) != file and not is_same_instance(known[uid], file):
            raise DerivedObjectError(
                f"two files of the source have the SOPInstanceUID {printable(uid)} and different content: leave the "
                "wrong one out"
            )
