"""The grid of a mask, which is the grid of a volume or of a series of images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.frames.frame import frame_of_reference_uid
from dcm_processor_service.imaging.headers.instance_file import read_header
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.volumes.volume import SliceSource, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.geometry import FloatArray
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models.images.limits import Limits

__all__ = ["MaskGrid", "refuse_large"]

_SAME_PLACE_MM = 1e-2


@dataclass(frozen=True)
class MaskGrid:
    """The shape and affine of a mask, and its frame of reference."""

    shape: tuple[int, int, int]
    """Columns, rows, slices; for a volume whose axes were reordered, in the order of the volume."""

    affine_lps: FloatArray
    frame_of_reference_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    sources: tuple[tuple[SliceSource, ...], ...] = field(default=(), repr=False)
    volume: Volume | None = field(default=None, repr=False)
    """The given volume, whose affine and sources the mask takes."""

    @classmethod
    def of(cls, like: Volume | Sequence[Path], limits: Limits) -> MaskGrid:
        """Returns the grid of a volume, or of the images in the files of one series.

        Raises:
            InvalidSeriesError: The series has no regular grid, or several.
        """
        if isinstance(like, Volume):
            return cls(
                (like.shape[0], like.shape[1], like.shape[2]),
                like.affine_lps,
                like.frame_of_reference_uid,
                like.series_instance_uid,
                like.study_instance_uid,
                volume=like,
            )
        series = SourceSeries.from_headers(read_header(path, limits) for path in like)
        grids = _different(series.grids)
        uid = text(series.first, "SeriesInstanceUID")
        if not any(frame.has_geometry for frame in series.frames):
            raise InvalidSeriesError(
                f"the images of the series {uid} have no place in the patient (they may be radiographs), so a mask "
                "cannot be put on them as a volume: read without like=, and call pixels()"
            )
        if len(grids) != 1 or grids[0].incomplete or grids[0].duplicated:
            found = "no regular grid" if len(grids) < 2 else f"{len(grids)} grids"  # noqa: PLR2004 one would be right
            raise InvalidSeriesError(
                f"the images of the series {uid} have {found}, so it is not clear where a mask of them would lie: "
                "give one of their volumes as like=, from series.volumes()"
            )
        return cls._of_stack(grids[0], series)

    @classmethod
    def _of_stack(cls, stack: Stack, series: SourceSeries) -> MaskGrid:
        line = stack.grid[0]
        sources = tuple(SliceSource(frame.instance.sop_instance_uid, frame.number) for frame in line)
        return cls(
            stack.shape,
            stack.affine_lps(),
            frame_of_reference_uid(line),
            text(series.first, "SeriesInstanceUID"),
            text(series.first, "StudyInstanceUID"),
            sources=(sources,),
        )

    @property
    def slice_axis(self) -> int | None:
        """The axis along which slices are counted; None if the slices were made by resampling."""
        if not self.has_real_slices:
            return None
        return 2 if self.volume is None else self.volume.slice_axis

    @property
    def has_real_slices(self) -> bool:
        """Whether the slices are slices of images, and were not made by resampling."""
        return bool(self.sources if self.volume is None else self.volume.sources)

    def volume_of(self, array: NDArray[Any], name: str, modality: str) -> Volume:
        """Returns a mask on this grid as a volume."""
        if self.volume is not None:
            return replace(self.volume.like(array), name=name, modality=modality)
        return Volume(
            array,
            self.affine_lps,
            sources=self.sources,
            name=name,
            series_instance_uid=self.series_instance_uid,
            study_instance_uid=self.study_instance_uid,
            frame_of_reference_uid=self.frame_of_reference_uid,
            modality=modality,
        )

    def require_same_space(self, frame_of_reference: str, referenced_series: Sequence[str]) -> None:
        """Refuses positions that are not known to be in this grid's frame of reference.

        Raises:
            InvalidSeriesError: The frames of reference differ, or one is not known and the series is not referenced.
        """
        own = self.frame_of_reference_uid
        if own and frame_of_reference and own != frame_of_reference:
            raise InvalidSeriesError(
                "the structures lie in another frame of reference than the images that they are to be put on: "
                "register the two first, or give images of the structures' own frame of reference as like="
            )
        if not (own and frame_of_reference) and self.series_instance_uid not in referenced_series:
            raise InvalidSeriesError(
                "nothing says that the structures and the images that they are to be put on share a frame of "
                "reference: give the images that they were drawn on as like="
            )

    def sampled(self, array: NDArray[Any], affine_lps: FloatArray) -> NDArray[Any]:
        """Resamples an array from another grid to this one: takes the nearest voxel, or 0 outside of that grid."""
        matrix = np.linalg.inv(affine_lps) @ self.affine_lps
        axes = [int(np.argmax(np.abs(row))) for row in matrix[:3, :3]]
        off_axis = matrix[:3, :3].copy()
        off_axis[range(3), axes] = 0
        if sorted(axes) == [0, 1, 2] and np.abs(off_axis @ np.array(self.shape)).max() < 1e-3:  # noqa: PLR2004 voxels
            return self._taken_axis_by_axis(array, matrix, axes)
        from scipy import ndimage  # a third of a second to load, and few grids are oblique to each other

        result: NDArray[Any] = ndimage.affine_transform(
            array.view(np.uint8) if array.dtype == bool else array,
            matrix[:3, :3],
            matrix[:3, 3],
            output_shape=self.shape,
            order=0,
            mode="grid-constant",
        )
        return result.astype(array.dtype, copy=False)

    def _taken_axis_by_axis(self, array: NDArray[Any], matrix: FloatArray, axes: Sequence[int]) -> NDArray[Any]:
        """Returns the nearest voxels if each axis of this grid is parallel to an axis of the other."""
        result = np.zeros(self.shape, array.dtype, order="F")
        taken: list[NDArray[Any]] = [np.zeros(0)] * 3
        placed: list[NDArray[Any]] = [np.zeros(0)] * 3
        for axis, own in enumerate(axes):
            lands = matrix[axis, own] * np.arange(self.shape[own]) + matrix[axis, 3]
            nearest = np.floor(lands + 0.5 + 1e-6).astype(np.intp)  # rounding errors of affines must not decide a tie
            inside = (nearest >= 0) & (nearest < array.shape[axis])
            taken[axis], placed[own] = nearest[inside], np.flatnonzero(inside)
        block = array[np.ix_(*taken)]
        result[np.ix_(*placed)] = block.transpose([axes.index(own) for own in range(3)])
        return result


def _different(grids: Sequence[Stack]) -> list[Stack]:
    """Returns one stack for each grid: if several stacks are on one grid, such as two echoes, the first of them."""
    found: list[Stack] = []
    for grid in grids:
        known = [one for one in found if one.shape == grid.shape]
        if not any(np.allclose(one.affine_lps(), grid.affine_lps(), atol=_SAME_PLACE_MM) for one in known):
            found.append(grid)
    return found


def refuse_large(shape: Sequence[int], bytes_each: int, limits: Limits) -> None:
    """Refuses a mask that exceeds the limits, before memory for it is allocated.

    Raises:
        InvalidSeriesError: The mask is larger than ``volume_bytes`` of the limits.
    """
    need = bytes_each
    for size in shape:
        need *= int(size)
    if need > limits.volume_bytes:
        raise InvalidSeriesError(
            f"the object declares a mask of {need >> 20} MiB, and {limits.volume_bytes >> 20} MiB are allowed: raise "
            "volume_bytes of the limits when that is right"
        )
