"""Draws a segmentation that a job derived, as outlines over the scan that it refers to."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from dcm_processor_service.imaging.pictures.contact_sheet import spread
from dcm_processor_service.imaging.pictures.key_slices import Scan, tiles_of
from dcm_processor_service.imaging.pictures.mosaic import MOST_SLICES, draw_mosaic, label_colour
from dcm_processor_service.imaging.volumes.resampling import apply_window
from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.pictures import LabelEntry, ResultPicture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = ["picture_of_segmentation"]

_LIMITS = Limits()
_ON_GRID = 0.1
"""How far, in voxels, a frame of the SEG may lie from the slice of the scan on which it is drawn."""


def picture_of_segmentation(dataset: Dataset, paths: Sequence[Path], limits: Limits = _LIMITS) -> ResultPicture | None:
    """Draws the segments of a SEG over a series; None if they do not lie on its slices, or cannot be drawn.

    Args:
        dataset: A SEG with uncompressed frames.
        paths: The files of the series to which it refers.
        limits: Limits of memory and time for reading.
    """
    scan = Scan.of(paths, limits)
    if scan is None:
        return None
    try:
        return _over(dataset, scan)
    except Exception:  # noqa: BLE001 a damaged object or file may raise any error, and the picture is optional
        return None


def _over(dataset: Dataset, scan: Scan) -> ResultPicture | None:
    masks = _Masks(dataset)
    on_slices = _frames_on_slices(dataset, scan)
    counts: dict[int, int] = defaultdict(int)
    filled = set()
    for k, frames in on_slices.items():
        for frame, number in frames:
            count = int(np.count_nonzero(masks.frame(frame)))
            counts[number] += count
            filled |= {k} if count else set()
    if not filled:
        return None
    held = sorted(filled)
    slices = [held[place] for place in spread(len(held), MOST_SLICES)]
    places = {number: place for place, number in enumerate(sorted(counts), 1)}
    labels = np.stack([_labels(masks, on_slices[k], places) for k in slices], axis=2)
    values = scan.read(slices)
    window = scan.window(values)
    grid = VoxelGrid(apply_window(values, window, is_monochrome1=scan.is_monochrome1), scan.affine_lps)
    return ResultPicture(
        name=" ".join(filter(None, ("SEG", str(dataset.get("SeriesDescription") or "")))),
        png=draw_mosaic(tiles_of(grid, [str(k + 1) for k in slices], labels)),
        caption=f"over {scan.said(len(slices), scan.shape[2], window)}",
        legend=_legend(dataset, counts, places, abs(float(np.linalg.det(scan.affine_lps[:3, :3]))) / 1000),
    )


class _Masks:
    """The frames of a SEG as masks of shape (rows, columns)."""

    def __init__(self, dataset: Dataset) -> None:
        self._content = dataset.PixelData
        self._shape = (int(dataset.Rows), int(dataset.Columns))
        self._is_packed = int(dataset.BitsAllocated) == 1
        self._least = 1 if self._is_packed else int(dataset.get("MaximumFractionalValue") or 1) / 2

    def frame(self, index: int) -> NDArray[np.bool_]:
        """Returns one frame as a mask.

        A frame of single bits may begin inside a byte, because frames follow each other without a gap (PS3.5, section
        8.1.1).
        """
        size = self._shape[0] * self._shape[1]
        first = index * size
        if not self._is_packed:
            values = np.frombuffer(self._content, np.uint8, size, first)
            return (values >= self._least).reshape(self._shape)
        packed = np.frombuffer(self._content, np.uint8, (first + size + 7) // 8 - first // 8, first // 8)
        bits = np.unpackbits(packed, bitorder="little")[first % 8 :][:size]
        return bits.reshape(self._shape).view(np.bool_)


def _frames_on_slices(dataset: Dataset, scan: Scan) -> dict[int, list[tuple[int, int]]]:
    """Returns for each slice of the scan the indices of the frames that lie on it, with their segment numbers."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    columns, rows, total = scan.shape
    if (int(dataset.Rows), int(dataset.Columns)) != (rows, columns):
        return found
    inverse = np.linalg.inv(scan.affine_lps)
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        position = [float(one) for one in groups.PlanePositionSequence[0].ImagePositionPatient]
        at = inverse @ [*position, 1.0]
        k = round(float(at[2]))
        if max(abs(at[0]), abs(at[1]), abs(at[2] - k)) < _ON_GRID and 0 <= k < total:
            number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            found[k].append((index, number))
    return found


def _labels(masks: _Masks, frames: Sequence[tuple[int, int]], places: Mapping[int, int]) -> NDArray[np.uint8]:
    """Returns the colour numbers of the segments on one slice, shape (columns, rows).

    If segments overlap, the last one is shown.
    """
    drawn = np.zeros(masks.frame(0).shape, np.uint8)
    for index, number in frames:
        drawn[masks.frame(index)] = places[number]
    turned: NDArray[np.uint8] = drawn.T
    return turned


def _legend(
    dataset: Dataset, counts: Mapping[int, int], places: Mapping[int, int], voxel_ml: float
) -> tuple[LabelEntry, ...]:
    names = {int(one.SegmentNumber): str(one.get("SegmentLabel") or "") for one in dataset.SegmentSequence}
    return tuple(
        LabelEntry(
            number=number,
            name=names.get(number) or f"segment {number}",
            colour=label_colour(place - 1),
            volume_ml=round(counts[number] * voxel_ml, 3),
        )
        for number, place in places.items()
    )
