"""Draws a few slices of a scan, and reads the pixels of only these slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.errors import DicomError, InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import frames_of
from dcm_processor_service.imaging.frames.units import unit_of
from dcm_processor_service.imaging.headers.instance_file import foreign_errors_as
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.pictures.contact_sheet import spread
from dcm_processor_service.imaging.pictures.mosaic import MOST_SLICES, Tile, draw_mosaic
from dcm_processor_service.imaging.pictures.panel import Letters
from dcm_processor_service.imaging.pictures.presets import preset_window
from dcm_processor_service.imaging.pictures.series_sheet import display_bytes, display_pixels
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.series.policies import chosen_stacks
from dcm_processor_service.imaging.volumes.read import display_window, read_frames
from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window, reorient
from dcm_processor_service.imaging.volumes.voxel_grid import VoxelGrid
from dcm_processor_service.models.counts import counted
from dcm_processor_service.models.images.limits import Limits
from dcm_processor_service.models.images.pictures import ResultPicture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.inspection import Inspection
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow

__all__ = ["Scan", "picture_of_scan", "tiles_of"]

_LIMITS = Limits()
_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


def picture_of_scan(paths: Sequence[Path], count: int, limits: Limits = _LIMITS) -> ResultPicture:
    """Draws a contact sheet of a few slices of a series.

    Args:
        paths: Files of one series in any order: all files, or a selection.
        count: Number of all files of the series.
        limits: Limits of memory and time for reading.

    Raises:
        InvalidSeriesError: There is no image that can be shown.
    """
    inspection = examine(paths, limits)
    uid = inspection.report.series_instance_uid
    with foreign_errors_as(lambda: InvalidSeriesError(f"series {uid} cannot be drawn: a file is damaged")):
        stack = max(inspection.stacks, key=lambda one: len(one.grid[0]), default=None)
        if stack is None or any(finding.code == "MOSAIC" for finding in inspection.report.findings):
            return _draw_images_singly(inspection, limits)
        try:
            return _of_stack(Scan(inspection, stack, limits), count)
        except DicomError:
            return _draw_images_singly(inspection, limits)


@dataclass(frozen=True)
class Scan:
    """The largest stack of a series; its slices are read only on request."""

    inspection: Inspection
    stack: Stack
    limits: Limits = _LIMITS

    @classmethod
    def of(cls, paths: Sequence[Path], limits: Limits = _LIMITS) -> Scan | None:
        """Returns the largest stack of a series; None if no volume can be made of the series."""
        if not paths:
            return None
        try:
            inspection = examine(paths, limits)
            [stack] = chosen_stacks(inspection, "largest")
        except DicomError:
            return None
        return cls(inspection, stack, limits)

    @cached_property
    def affine_lps(self) -> FloatArray:
        """The affine from (i, j, k, 1) to LPS mm."""
        return self.stack.affine_lps()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of columns, rows and slices."""
        return self.stack.shape

    def read(self, slices: Sequence[int]) -> NDArray[Any]:
        """Reads the rescaled values of some slices, shape (i, j, slices); of a 4D series, from its middle volume."""
        line = self.stack.grid[len(self.stack.grid) // 2]
        return read_frames([line[k] for k in slices], self.inspection.report, self.limits)

    def window(self, values: NDArray[Any]) -> DisplayWindow:
        """Returns the window in which to show slices.

        It is the window of the header, or else the preset for modality and body part, or else the range from the 1st to
        the 99th percentile of the values.
        """
        report = self.inspection.report
        preset = preset_window(report.modality, report.body_part, unit_of(self.stack.first))
        return display_window(self.stack.first) or preset or percentile_window(values)

    @property
    def is_monochrome1(self) -> bool:
        """Whether the least value is shown white."""
        return text(self.stack.first.instance.header, "PhotometricInterpretation").upper() == "MONOCHROME1"

    def said(self, slices: int, of: int, window: DisplayWindow) -> str:
        """Returns the caption: modality, number of slices, size, spacing and window."""
        sides = VoxelGrid(np.zeros((1, 1, 1)), self.affine_lps).spacing_mm
        spacing = " × ".join(f"{mm:.3g}" for mm in (sides if of == self.shape[2] else sides[:2]))
        size = f"{self.shape[0]} × {self.shape[1]}, {spacing} mm"
        shown = f"window {window.center:g} / {window.width:g} {unit_of(self.stack.first)}".rstrip()
        return " · ".join((self.inspection.report.modality, f"{slices} of {of} slices", size, shown)).lstrip(" ·")


def _of_stack(scan: Scan, count: int) -> ResultPicture:
    total = scan.shape[2]
    slices = spread(total, MOST_SLICES)
    values = scan.read(slices)
    window = scan.window(values)
    grid = VoxelGrid(apply_window(values, window, is_monochrome1=scan.is_monochrome1), scan.affine_lps)
    whole = total == count
    captions = [str(k + 1) if whole else "" for k in slices]
    said = scan.said(len(slices), max(total, count), window)
    uid = scan.inspection.report.series_instance_uid
    return ResultPicture(name=uid, shows="series", png=draw_mosaic(tiles_of(grid, captions)), caption=said)


def tiles_of(grid: VoxelGrid, captions: Sequence[str], labels: NDArray[np.uint8] | None = None) -> list[Tile]:
    """Makes a tile of each slice, in the view of radiologists: the patient's right on the left, the head on top.

    Args:
        grid: Display values of the slices, shape (i, j, slices), with the affine of their volume.
        captions: Caption of each slice.
        labels: Colour numbers from 1 of the labels on the same slices, 0 for background; the resolution in i and j may
            differ from that of ``grid``.
    """
    turned = reorient(grid, "LPS")
    axis = turned.slice_axis
    flipped = _reversed(grid, turned)
    over = None if labels is None else reorient(replace(grid, array=labels), "LPS").array
    across, down = [one for one in range(3) if one != axis]
    upside_down = down == 2  # noqa: PLR2004 S grows upwards, while rows are counted downwards
    right, bottom = ("L", "P", "S")[across], ("L", "P", "S")[down]
    bottom = _OPPOSITE[bottom] if upside_down else bottom
    letters = Letters(_OPPOSITE[right], right, _OPPOSITE[bottom], bottom)
    spacing = turned.spacing_mm

    def cut(array: NDArray[Any], index: int) -> NDArray[Any]:
        rows = array[(slice(None),) * axis + (index,)].T
        return np.ascontiguousarray(rows[::-1] if upside_down else rows)

    order = list(range(len(captions)))[:: -1 if flipped else 1]
    tiles = [
        Tile(
            cut(turned.array, place),
            (spacing[down], spacing[across]),
            letters,
            captions[number],
            None if over is None else cut(over, place),
        )
        for place, number in enumerate(order)
    ]
    return tiles[::-1] if flipped else tiles


def _reversed(grid: VoxelGrid, turned: VoxelGrid) -> bool:
    """Returns whether reordering the axes of a volume has reversed the order of its slices."""
    return bool(grid.affine_lps[:3, grid.slice_axis] @ turned.affine_lps[:3, turned.slice_axis] < 0)


def _draw_images_singly(inspection: Inspection, limits: Limits) -> ResultPicture:
    """Draws each image of a series that is not a volume: radiographs, films, colour images."""
    frames = [frame for instance in inspection.instances for frame in frames_of(instance)]
    report = inspection.report
    tiles = []
    for index in spread(len(frames), MOST_SLICES):
        frame = frames[index]
        try:
            pixels = display_pixels(frame, limits)
        except DicomError:  # leaves out an image that cannot be decoded, and shows the others
            continue
        is_monochrome1 = text(frame.instance.header, "PhotometricInterpretation").upper() == "MONOCHROME1"
        step = max(1, max(pixels.shape[:2]) // 1024)
        small = display_bytes(np.ascontiguousarray(pixels[::step, ::step]), is_monochrome1=is_monochrome1)
        height, width = frame.pixel_spacing or (1.0, 1.0)
        tiles.append(Tile(small, (height * step, width * step), caption=str(index + 1) if len(frames) > 1 else ""))
    if not tiles:
        raise InvalidSeriesError(f"series {report.series_instance_uid} holds no image that can be shown", report)
    caption = " · ".join(part for part in (report.modality, report.kind.value, counted(len(frames), "image")) if part)
    return ResultPicture(name=report.series_instance_uid, shows="series", png=draw_mosaic(tiles), caption=caption)
