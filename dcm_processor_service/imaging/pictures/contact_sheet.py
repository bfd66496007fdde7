"""Draws a contact sheet of a volume or a series: three planes and a grid of slices, without patient data.

The view is that of radiologists: the patient's right is on the left of an axial or coronal slice, and the front is on
the left of a sagittal one. The sheet's own text says only modality, geometry and window. But text that is part of the
pixels, which may be patient data, stays visible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.imaging.pictures.panel import BACKGROUND, INK, Letters, Panel, draw_panel, font
from dcm_processor_service.imaging.pictures.png import encode_png
from dcm_processor_service.imaging.volumes.interop import volume_like
from dcm_processor_service.imaging.volumes.resampling import apply_window, percentile_window, reorient
from dcm_processor_service.imaging.volumes.voxel_grid import DisplayWindow, VoxelGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


__all__ = ["MOST_TILES", "SheetLayout", "draw_sheet", "preview_volume", "spread"]

SheetLayout: TypeAlias = Literal["both", "planes", "grid"]
"""The content of a contact sheet: three planes through the middle, a grid of slices, or both."""

_WIDTH = 960
_GRID_COLUMNS = 6
MOST_TILES = 18
_GAP = 4
_FOOTER = 22
_FEWEST_SLICES_FOR_PLANES = 4
_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


def preview_volume(
    volume: VoxelGrid,
    mask: VoxelGrid | NDArray[Any] | None = None,
    *,
    layout: SheetLayout = "both",
    window: DisplayWindow | None = None,
    index: int = 0,
) -> bytes:
    r"""Draws a contact sheet of a volume.

    Args:
        volume: Volume of any orientation; an oblique volume is drawn in its own planes, with the letters of the nearest
            patient axes.
        mask: Labels on the same grid, drawn in colour over the slices; the planes then are those with most labels.
        layout: The three planes, a grid of slices, or both.
        window: Display window; None for the window in the header, or from the 1st to the 99th percentile if there is
            none.
        index: Index of the volume in a 4D series.

    Returns:
        A PNG file.

    Raises:
        UnsupportedValueError: The mask has another shape or place, or there is no such layout or volume.

    Example:
        >>> volume = VoxelGrid(np.zeros((8, 8, 8), np.int16), np.eye(4))
        >>> preview_volume(volume)[1:4]
        b'PNG'
    """
    if layout not in {"both", "planes", "grid"}:
        raise UnsupportedValueError(f"a layout is both, planes or grid, not {layout!r}")
    shown = window or volume.display_window or percentile_window(volume.array)
    labels = _labels(volume, mask)
    scene = _Scene(
        reorient(volume_like(volume, _one_volume(volume, index)), "LPS"),
        None if labels is None else reorient(volume_like(volume, labels), "LPS").array,
        shown,
        is_monochrome1=volume.is_monochrome1,
    )
    centre = scene.centre()
    # in a stack of only a few slices, the two planes across them would show nothing
    has_planes = layout == "planes" or (layout == "both" and min(volume.shape[:3]) >= _FEWEST_SLICES_FOR_PLANES)
    planes = [scene.panel(axis, centre[axis]) for axis in (2, 1, 0)] if has_planes else []
    axis = scene.volume.slice_axis
    count = scene.volume.shape[axis]
    indices = spread(count, MOST_TILES) if layout != "planes" else []
    tiles = [scene.panel(axis, k, str(k + 1)) for k in indices]
    return draw_sheet(planes, tiles, _caption(volume, shown, count))


def _one_volume(volume: VoxelGrid, index: int) -> NDArray[Any]:
    if volume.array.ndim <= 3:  # noqa: PLR2004 no fourth axis
        return volume.array
    if not 0 <= index < volume.shape[3]:
        raise UnsupportedValueError(f"the series has volumes 0 to {volume.shape[3] - 1}, not {index}")
    return volume.array[..., index]


def _labels(volume: VoxelGrid, mask: VoxelGrid | NDArray[Any] | None) -> NDArray[Any] | None:
    if mask is None:
        return None
    array = mask.array if isinstance(mask, VoxelGrid) else np.asarray(mask)
    if isinstance(mask, VoxelGrid) and not np.allclose(mask.affine_lps, volume.affine_lps, atol=1e-3):
        raise UnsupportedValueError("the mask lies elsewhere than the volume: resample it to the volume's grid first")
    if array.shape != volume.shape[:3]:
        raise UnsupportedValueError(f"the mask has shape {array.shape}, the volume {volume.shape[:3]}")
    return array if array.dtype.kind in "biu" else array > 0.5  # noqa: PLR2004 a probability


@dataclass(frozen=True)
class _Scene:
    """A volume whose axes point to L, P and S, with the labels to draw over it and its window."""

    volume: VoxelGrid
    labels: NDArray[Any] | None
    window: DisplayWindow
    is_monochrome1: bool = False

    def centre(self) -> tuple[int, ...]:
        """Returns the index of the plane to draw for each axis: where most labels are, or the middle without labels."""
        shape = self.volume.shape[:3]
        if self.labels is None or not self.labels.any():
            return tuple(size // 2 for size in shape)
        axis = self.volume.slice_axis  # going along this axis is fast, because each slice is one block of memory
        along = np.zeros(shape[axis], np.int64)
        flat = np.zeros([size for one, size in enumerate(shape) if one != axis], np.int64)
        for index in range(shape[axis]):
            inside = _slice_of(self.labels, axis, index) != 0
            along[index] = np.count_nonzero(inside)
            flat += inside
        counts = [flat.sum(axis=1), flat.sum(axis=0)]
        counts.insert(axis, along)
        return tuple(int(np.argmax(count)) for count in counts)

    def panel(self, axis: int, index: int, caption: str = "") -> Panel:
        """Returns the panel of one slice."""
        across, down = [one for one in range(3) if one != axis]
        spacing = self.volume.spacing_mm
        # The head must be on top. S grows towards the head, but rows are counted downwards, so they are reversed.
        upside_down = down == 2  # noqa: PLR2004 the axis towards the head

        def cut(array: NDArray[Any]) -> NDArray[Any]:
            rows = _slice_of(array, axis, index).T
            return np.ascontiguousarray(rows[::-1] if upside_down else rows)

        right, bottom = ("L", "P", "S")[across], ("L", "P", "S")[down]
        if upside_down:
            bottom = _OPPOSITE[bottom]
        return Panel(
            apply_window(cut(self.volume.array), self.window, is_monochrome1=self.is_monochrome1),
            (spacing[down], spacing[across]),
            Letters(_OPPOSITE[right], right, _OPPOSITE[bottom], bottom),
            caption,
            None if self.labels is None else cut(self.labels),
        )


def _slice_of(array: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """Returns a slice as a view; ``np.take`` would first copy an array whose first axis varies fastest."""
    view: NDArray[Any] = array[(slice(None),) * axis + (index,)]
    return view


def spread(count: int, most: int) -> list[int]:
    """Returns all of ``count`` indices, or ``most`` evenly spread ones, without the outermost, if there are more."""
    if count <= most:
        return list(range(count))
    return [int((index + 0.5) * count / most) for index in range(most)]


def _caption(volume: VoxelGrid, window: DisplayWindow, slices: int) -> str:
    spacing = " x ".join(f"{distance:.3g}" for distance in volume.spacing_mm)
    parts = [
        volume.modality,
        " x ".join(map(str, volume.shape)),
        f"{spacing} mm",
        f"{slices} slices",
        f"window {window.center:g} / {window.width:g} {volume.rescale.unit}".rstrip(),
        volume.name,
    ]
    return "   ".join(part for part in parts if part)


def draw_sheet(planes: Sequence[Panel], tiles: Sequence[Panel], caption: str) -> bytes:
    """Draws panels into a PNG file: the planes in one row, and below them the tiles in a grid, at another scale."""
    blocks: list[Image.Image] = []
    if planes:
        blocks.append(_row_of(planes, len(planes)))
    if tiles:
        columns = min(_GRID_COLUMNS, len(tiles))
        blocks += [_row_of(tiles[start : start + columns], columns) for start in range(0, len(tiles), columns)]
    height = sum(block.height + _GAP for block in blocks) + _FOOTER
    sheet = Image.new("RGB", (_WIDTH, height), BACKGROUND)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + _GAP
    ImageDraw.Draw(sheet).text((8, height - 6), caption, INK, font(12), anchor="ls")
    return encode_png(np.asarray(sheet))


def _row_of(panels: Sequence[Panel], columns: int) -> Image.Image:
    width = (_WIDTH - _GAP * (columns - 1)) // columns
    tallest = max(panel.extent[0] for panel in panels)
    widest = max(panel.extent[1] for panel in panels)
    height = min(width, max(60, math.ceil(width * tallest / widest)))
    scale = min(width / widest, height / tallest)
    row = Image.new("RGB", (_WIDTH, height), BACKGROUND)
    for number, panel in enumerate(panels):
        row.paste(draw_panel(panel, width, height, scale), (number * (width + _GAP), 0))
    return row
