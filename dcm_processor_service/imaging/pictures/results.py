"""Draws the results of a job: labels as outlines over the scan from which they were made, other images alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from isal import isal_zlib
from PIL import Image

from dcm_processor_service.imaging.geometry import convert_frame
from dcm_processor_service.imaging.pictures.contact_sheet import spread
from dcm_processor_service.imaging.pictures.key_slices import Scan, tiles_of
from dcm_processor_service.imaging.pictures.mosaic import MOST_SLICES, draw_mosaic, label_colour
from dcm_processor_service.imaging.pictures.png import encode_png
from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window
from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.pictures import LabelEntry, ResultPicture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray

__all__ = ["pictures_of_results"]

_LIMITS = Limits()
_GREATEST_LABEL = 255
_MOST_LABELS = 32
_FEW_LABELS = 12
_LARGEST_FILE_BYTES = 1 << 29
_LARGEST = (960, 1280)
_SAMPLED = 3
_NOISE = 1e-6
_FINEST = 256
"""Labels are sampled at about this many pixels along a side, since a tile has fewer."""
_NIFTI_2 = (540).to_bytes(4, "little")
_NAMED_LABEL = re.compile(r'<Label\b[^>]*\bKey="(\d+)"[^>]*>(?:\s*<!\[CDATA\[)?([^<\]]{1,200})')
"""Matches a label's name in the header extension that TotalSegmentator writes, in the format of Caret."""


def pictures_of_results(
    files: Mapping[str, tuple[Path, Mapping[int, str]]], series: Sequence[Path], limits: Limits = _LIMITS
) -> Iterator[ResultPicture | None]:
    """Draws a contact sheet of each NIfTI, PNG or JPEG file; yields None for a file that cannot be drawn.

    Args:
        files: For each file name, the path of the file and the known names of its labels.
        series: The files of the series from which the results were made; labels are drawn over it. Empty if there is no
            such series.
        limits: Limits of memory and time for reading.
    """
    scan = _Lazy(series, limits)
    for name, (path, names) in files.items():
        try:
            yield _plain(name, path) if _is_plain(name) else _picture(name, *_load(path), names, scan)
        except Exception:  # noqa: BLE001 a damaged image may raise any error, and the picture is optional
            yield None


def _is_plain(name: str) -> bool:
    return not name.lower().endswith((".nii", ".nii.gz"))


def _plain(name: str, path: Path) -> ResultPicture:
    """Draws a picture that the job made: copies only its pixels, since the file may hold other data."""
    with Image.open(path) as picture:
        size = f"{picture.width} × {picture.height} pixels"
        picture.thumbnail(_LARGEST)
        pixels = np.asarray(picture.convert("RGB"))
    return ResultPicture(name=name, png=encode_png(pixels), caption=size)


@dataclass
class _Lazy:
    """The scan over which labels are drawn; its series is examined only when the first labels are drawn."""

    paths: Sequence[Path]
    limits: Limits
    _scan: Scan | None = None
    _is_read: bool = False

    def get(self) -> Scan | None:
        if not self._is_read:
            self._scan, self._is_read = Scan.of(self.paths, self.limits), True
        return self._scan


def _load(path: Path) -> tuple[Any, bytes]:
    """Returns an image, and the uncompressed bytes of its file."""
    if path.stat().st_size > _LARGEST_FILE_BYTES:
        raise MemoryError(f"a file of {path.stat().st_size} bytes is too large to be drawn")
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = isal_zlib.decompress(content, wbits=31)  # unpacks gzip several times as fast as nibabel
    kind = nib.nifti2.Nifti2Image if content[:4] == _NIFTI_2 else nib.nifti1.Nifti1Image
    return kind.from_bytes(content), content


def _voxels(image: Any, content: bytes) -> NDArray[Any]:
    """Returns the values of an image, as a view of the file's bytes if the image has no scaling factor."""
    proxy = image.dataobj
    if (proxy.slope, proxy.inter) != (1, 0):
        return np.asanyarray(proxy)
    size = int(np.prod(proxy.shape))
    values: NDArray[Any] = np.frombuffer(content, proxy.dtype, size, proxy.offset).reshape(proxy.shape, order="F")
    return values


def _picture(name: str, image: Any, content: bytes, names: Mapping[int, str], lazy: _Lazy) -> ResultPicture:
    affine = convert_frame(image.affine, "RAS", "LPS")
    if not _may_be_labels(image):
        return _by_itself(name, image, affine)
    array = _voxels(image, content)
    counts = _label_counts(array)
    if counts is not None and counts.any() and (names or np.count_nonzero(counts) <= _MOST_LABELS):
        scan = lazy.get()
        labels = _Labels(array, affine, counts, {**_names_inside(image), **names})
        over = None if scan is None else _over(name, scan, labels)
        return over or _alone(name, labels)
    return _by_itself(name, image, affine)


def _may_be_labels(image: Any) -> bool:
    """Returns whether the middle slice holds only values that can be labels.

    If it does not, the image is not a mask, and need not be read as a whole.
    """
    if len(image.shape) != 3 or 0 in image.shape:  # noqa: PLR2004 the axes of a mask
        return False
    middle = np.asanyarray(image.dataobj[:, :, image.shape[2] // 2])
    return middle.dtype.kind in "biu" and bool(middle.min() >= 0 and middle.max() <= _GREATEST_LABEL)


def _label_counts(array: NDArray[Any]) -> NDArray[np.int64] | None:
    """Returns how many voxels each label has, ignoring background (0); None if the values are not labels."""
    counts = np.zeros(_GREATEST_LABEL + 1, np.int64)
    for k in range(array.shape[2]):  # one slice at a time, because a slice stays in the processor's cache
        values = array[:, :, k].ravel(order="K")
        if array.dtype.itemsize > 1 or array.dtype.kind == "i":
            least, greatest = values.min(), values.max()
            if least < 0 or greatest > _GREATEST_LABEL:
                return None
        greatest = int(values.max())
        if greatest > _FEW_LABELS:
            counts += np.bincount(values, minlength=_GREATEST_LABEL + 1)
        else:  # for a few labels, comparing with each of them takes a twentieth of the time
            for label in range(1, greatest + 1):
                counts[label] += np.count_nonzero(values == label)
    counts[0] = 0
    return counts


@dataclass(frozen=True)
class _Labels:
    array: NDArray[Any]
    affine_lps: FloatArray
    counts: NDArray[np.int64]
    names: Mapping[int, str]

    @property
    def places(self) -> NDArray[np.uint8]:
        """A table from value to colour number: the labels that occur are numbered from 1, other values get 0."""
        table = np.zeros(_GREATEST_LABEL + 1, np.uint8)
        present = np.flatnonzero(self.counts)
        table[present] = np.arange(1, len(present) + 1)
        return table

    def legend(self) -> tuple[LabelEntry, ...]:
        voxel_ml = abs(float(np.linalg.det(self.affine_lps[:3, :3]))) / 1000
        return tuple(
            LabelEntry(
                number=int(value),
                name=self.names.get(int(value)) or f"label {value}",
                colour=label_colour(place),
                volume_ml=round(int(self.counts[value]) * voxel_ml, 3),
            )
            for place, value in enumerate(np.flatnonzero(self.counts))
        )

    def corners(self) -> FloatArray:
        """Returns the corners of the box that holds all labels, in LPS mm, shape (8, 3)."""
        seen = self.array.max(axis=2)  # max and not any, because it makes no second array of the image's size
        filled = [seen.any(axis=1), seen.any(axis=0), [self.array[:, :, k].any() for k in range(self.array.shape[2])]]
        ends = [(found[0] - 0.5, found[-1] + 0.5) for found in map(np.flatnonzero, filled)]
        corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
        placed: FloatArray = (self.affine_lps[:3, :3] @ corners).T + self.affine_lps[:3, 3]
        return placed

    def on(self, affine_lps: FloatArray, shape: tuple[int, int], k: int) -> NDArray[np.uint8]:
        """Returns the colour numbers of the labels on slice k of another grid.

        Each pixel has the value of the nearest voxel. The result may be coarser than the slice: it has at least a few
        hundred pixels along a side, or as many as the slice.
        """
        steps = [max(1, size // _FINEST) for size in shape]
        across, down = (
            np.arange(size // step, dtype=np.float64) * step + (step - 1) / 2
            for size, step in zip(shape, steps, strict=True)
        )
        change = np.linalg.inv(self.affine_lps) @ affine_lps
        change[np.abs(change) < _NOISE] = 0
        indices, valid = [], np.ones((1, 1), bool)
        for axis in range(3):
            start = change[axis, 2] * k + change[axis, 3]
            # an axis along which the index does not change keeps length 1, which saves time if grids are parallel
            along = [values * change[axis, one] for one, values in enumerate((across, down))]
            columns, rows = (values[:1] if not values.any() else values for values in along)
            at = np.rint(np.add.outer(columns, rows + start) - _NOISE).astype(np.intp)
            valid = valid & (at >= 0) & (at < self.array.shape[axis])
            indices.append(np.clip(at, 0, self.array.shape[axis] - 1))
        found = self.places[self.array[tuple(indices)].astype(np.uint8)] * valid
        return np.ascontiguousarray(np.broadcast_to(found, (len(across), len(down))), np.uint8)


def _over(name: str, scan: Scan, labels: _Labels) -> ResultPicture | None:
    """Draws labels over those slices of a scan on which labels lie; None if there is no such slice."""
    affine, total = scan.affine_lps, scan.shape[2]
    along = (np.linalg.inv(affine) @ np.c_[labels.corners(), np.ones(8)].T)[2]
    first, last = max(0, int(np.ceil(along.min()))), min(total - 1, int(np.floor(along.max())))
    if first > last:
        return None
    slices = [first + place for place in spread(last - first + 1, MOST_SLICES)]
    drawn = np.stack([labels.on(affine, scan.shape[:2], k) for k in slices], axis=2)
    if not drawn.any():
        return None
    values = scan.read(slices)
    window = scan.window(values)
    grid = VoxelGrid(apply_window(values, window, is_monochrome1=scan.is_monochrome1), affine)
    png = draw_mosaic(tiles_of(grid, [str(k + 1) for k in slices], drawn))
    return ResultPicture(
        name=name, png=png, caption=f"over {scan.said(len(slices), total, window)}", legend=labels.legend()
    )


def _alone(name: str, labels: _Labels) -> ResultPicture:
    """Draws labels on an empty background, without a scan."""
    slices = spread(labels.array.shape[2], MOST_SLICES)
    places = np.stack([labels.places[labels.array[:, :, k].astype(np.uint8)] for k in slices], axis=2)
    grid = VoxelGrid(np.where(places > 0, 90, 0).astype(np.uint8), labels.affine_lps)
    png = draw_mosaic(tiles_of(grid, [str(k + 1) for k in slices], places))
    caption = f"labels, {len(slices)} of {labels.array.shape[2]} slices; no scan lies below them"
    return ResultPicture(name=name, png=png, caption=caption, legend=labels.legend())


def _by_itself(name: str, image: Any, affine: FloatArray) -> ResultPicture:
    """Draws an image that does not hold labels."""
    total, volume = image.shape[2], tuple(size // 2 for size in image.shape[3:])
    slices = spread(total, MOST_SLICES)
    places = [(slice(None), slice(None), k, *volume) for k in slices]
    shown = np.stack([np.asanyarray(image.dataobj[place]) for place in places], axis=2)
    window = percentile_window(shown[::_SAMPLED, ::_SAMPLED])
    grid = VoxelGrid(apply_window(shown, window), affine)
    size = " × ".join(map(str, image.shape))
    spacing = " × ".join(f"{mm:.3g}" for mm in grid.spacing_mm)
    caption = (
        f"{len(slices)} of {total} slices · {size}, {spacing} mm · window {window.center:.4g} / {window.width:.4g}"
    )
    return ResultPicture(name=name, png=draw_mosaic(tiles_of(grid, [str(k + 1) for k in slices])), caption=caption)


def _names_inside(image: Any) -> dict[int, str]:
    """Returns the names of labels in the header extension that TotalSegmentator writes; empty if there is none."""
    names = {}
    for extension in getattr(image.header, "extensions", ()):
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        names.update({int(key): name.strip() for key, name in _NAMED_LABEL.findall(text)})
    return names
