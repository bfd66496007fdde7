"""Reads segments of a SEG (PS3.3, sections A.51 and C.8.20), binary, fractional or as a label map.

Each segment is read from its own frames: segments may overlap, and occur in only some slices, or in none.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.reading.grids import MaskGrid, refuse_large
from dcm_processor_service.derived.reading.names import code_in, rgb_of_lab, side_in
from dcm_processor_service.derived.reading.seg_frames import SegFrames
from dcm_processor_service.derived.reading.seg_placing import frame_places_on, own_lattice
from dcm_processor_service.derived.reading.structure_mask import StructureMask
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.instance_file import contained, foreign_errors_as
from dcm_processor_service.imaging.headers.values import integer, item, items, text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.derived.reading.seg_placing import Lattice
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models.images.limits import Limits

__all__ = ["read_seg"]

_BACKGROUND = 0


def read_seg(instance: InstanceFile, like: MaskGrid | None, limits: Limits) -> list[StructureMask]:
    """Reads the segments of one SEG; their pixels are read later, when a mask is asked for.

    Args:
        instance: The SEG.
        like: The grid of the masks; None for the SEG's own grid.
        limits: Limits of size for masks.

    Raises:
        InvalidSeriesError: The SEG contradicts itself, or lies in another frame of reference than the grid.
    """
    message = f"{instance.label} is not a segmentation that can be read, its header is damaged: get it again"
    with foreign_errors_as(lambda: InvalidSeriesError(message)), contained():
        frames = SegFrames.of(instance, limits)
        described = _described(instance, frames)
        referenced = _referenced_series(instance)
        if like is not None:
            like.require_same_space(text(instance.header, "FrameOfReferenceUID"), referenced)
        # one grid for all segments, so that their masks can be compared voxel by voxel
        lattice = None if like is not None or not described else _lattice(frames, limits)
        reader = _SegReader(frames, like, lattice, limits, referenced)
        return [_structure(instance, reader, number, each, referenced) for number, each in described.items()]


def _described(instance: InstanceFile, frames: SegFrames) -> dict[int, Dataset]:
    found = [(integer(each, "SegmentNumber"), each) for each in items(instance.header, "SegmentSequence")]
    described = {number: each for number, each in found if number is not None}
    if len(described) != len(found):
        raise InvalidSeriesError(f"{instance.label} describes segments without a number, or two of one: get it again")
    unknown = sorted(set(frames.numbers) - described.keys())
    if unknown:
        raise InvalidSeriesError(
            f"{instance.label} has frames of the segments {unknown[:10]}, which it does not describe, so nobody knows "
            "what they show: get it again"
        )
    if frames.kind == "LABELMAP":
        described.pop(_BACKGROUND, None)
    return described


def _lattice(frames: SegFrames, limits: Limits) -> Lattice | None:
    """Returns the grid of all frames; None if no frame has a place in the patient."""
    if not any(frame.has_geometry for frame in frames.frames):
        return None
    lattice = own_lattice(frames.frames)
    refuse_large(lattice.shape, 4 if frames.kind == "FRACTIONAL" else 1, limits)
    return lattice


def _referenced_series(instance: InstanceFile) -> tuple[str, ...]:
    series = [text(each, "SeriesInstanceUID") for each in items(instance.header, "ReferencedSeriesSequence")]
    return tuple(dict.fromkeys(uid for uid in series if uid))


def _structure(
    instance: InstanceFile, reader: _SegReader, number: int, described: Dataset, referenced: tuple[str, ...]
) -> StructureMask:
    header = instance.header
    name = text(described, "SegmentLabel")
    kind = item(described, "SegmentedPropertyTypeCodeSequence")
    algorithm = item(described, "SegmentationAlgorithmIdentificationSequence")
    region = item(described, "AnatomicRegionSequence")
    side = side_in(kind, "SegmentedPropertyTypeModifierCodeSequence")
    named = text(described, "SegmentAlgorithmName") or ("" if algorithm is None else text(algorithm, "AlgorithmName"))
    return StructureMask(
        number,
        name,
        partial(reader.mask, number, name),
        code=code_in(described, "SegmentedPropertyTypeCodeSequence"),
        category=code_in(described, "SegmentedPropertyCategoryCodeSequence"),
        laterality=side or side_in(region, "AnatomicRegionModifierSequence"),
        algorithm_type=text(described, "SegmentAlgorithmType"),
        algorithm_name=named,
        color_rgb=rgb_of_lab(described),
        tracking_uid=text(described, "TrackingUID"),
        read_pixels=None if reader.is_placed else partial(reader.pixels, number),
        is_fractional=reader.frames.kind == "FRACTIONAL",
        sop_instance_uid=instance.sop_instance_uid,
        series_instance_uid=text(header, "SeriesInstanceUID"),
        referenced_series_uids=referenced,
        frame_of_reference_uid=text(header, "FrameOfReferenceUID"),
    )


class _SegReader:
    """Reads the masks of one SEG."""

    def __init__(
        self,
        frames: SegFrames,
        like: MaskGrid | None,
        lattice: Lattice | None,
        limits: Limits,
        referenced_series: tuple[str, ...],
    ) -> None:
        self.frames = frames
        self._referenced_series = referenced_series
        self._like = like
        self._lattice = lattice
        self._limits = limits

    @property
    def is_placed(self) -> bool:
        """Whether at least one frame has a place in the patient."""
        return any(frame.has_geometry for frame in self.frames.frames)

    def pixels(self, number: int) -> NDArray[Any]:
        """Returns the mask of a segment that has no place in the patient, shape (columns, rows)."""
        label = self.frames.instance.label
        with foreign_errors_as(lambda: InvalidSeriesError(f"segment {number} of {label} is damaged: get it again")):
            frames = self.frames.of_segment(number)
            if len(frames) > 1:
                raise InvalidSeriesError(
                    f"segment {number} of {label} is in {len(frames)} images that have no place in the patient, so it "
                    "is not clear which are meant: ask for a segmentation for each"
                )
            shape = self.frames.frames[0].pixel_format
            array = self._empty((shape.columns, shape.rows, 1))
            for _, mask in self.frames.masks(number, frames):
                array[:, :, 0] = mask.T
        return array[:, :, 0]

    def mask(self, number: int, name: str) -> Volume:
        """Returns the mask of a segment."""
        label = self.frames.instance.label
        message = (
            f"segment {number} of {label} cannot be read: its file is damaged or gone, or it needs too much memory"
        )
        with foreign_errors_as(lambda: InvalidSeriesError(message)), contained():
            frames = self.frames.of_segment(number)
            if self._like is not None:
                return self._like.volume_of(self._on_grid(number, frames, self._like), name, "SEG")
            if self._lattice is None:
                raise InvalidSeriesError(
                    f"{label} has no place in the patient (it may be of a radiograph), so its masks are not volumes: "
                    "call pixels()"
                )
            header = self.frames.instance.header
            grid = MaskGrid(
                self._lattice.shape,
                self._lattice.affine_lps,
                text(header, "FrameOfReferenceUID"),
                text(header, "SeriesInstanceUID"),
                text(header, "StudyInstanceUID"),
            )
            return grid.volume_of(self._on_lattice(number, frames, self._lattice, self.frames.frames), name, "SEG")

    def _empty(self, shape: tuple[int, int, int]) -> NDArray[Any]:
        kind = np.float32 if self.frames.kind == "FRACTIONAL" else np.bool_
        refuse_large(shape, np.dtype(kind).itemsize, self._limits)
        return np.zeros(shape, kind, order="F")

    def _on_lattice(
        self, number: int, frames: list[FrameInfo], lattice: Lattice, placed: tuple[FrameInfo, ...]
    ) -> NDArray[Any]:
        """Returns the mask on the grid of the SEG's own frames."""
        slice_of = {frame.number: k for frame, k in zip(placed, lattice.slices, strict=True)}
        self._refuse_doubles(number, [slice_of[frame.number] for frame in frames])
        array = self._empty(lattice.shape)
        for index, mask in self.frames.masks(number, frames):
            array[:, :, slice_of[frames[index].number]] = mask.T
        return array

    def _on_grid(self, number: int, frames: list[FrameInfo], grid: MaskGrid) -> NDArray[Any]:
        """Returns the mask on a given grid: copied if the frames lie on its voxels, or else from the nearest voxels.

        Raises:
            InvalidSeriesError: No voxel of the segment lies on the grid.
        """
        array = self._empty(grid.shape)
        if not frames:
            return array
        places = frame_places_on(frames, grid)
        # from the frames of all segments, because one segment may be on one slice only, which shows no distance
        lattice = None if places is not None and self._is_made_of(grid) else own_lattice(self.frames.frames)
        if lattice is not None and (places is None or not lattice.has_step_of(grid)):
            own = self._on_lattice(number, frames, lattice, self.frames.frames)
            array, is_somewhere = grid.sampled(own, lattice.affine_lps), bool(own.any())
        else:
            assert places is not None
            self._refuse_doubles(number, list(places.starts))
            is_somewhere = False
            for index, mask in self.frames.masks(number, frames):
                is_somewhere = is_somewhere or bool(mask.any())
                places.put(array, index, mask)
        if is_somewhere and not array.any():
            raise InvalidSeriesError(
                f"segment {number} of {self.frames.instance.label} has no voxel on the images that it is to be put on: "
                "it lies outside of them, or is smaller than their voxels; read it on its own grid, without like="
            )
        return array

    def _is_made_of(self, grid: MaskGrid) -> bool:
        """Returns whether the SEG was made from the images of the grid, so that its frames are slices of the grid."""
        return grid.has_real_slices and grid.series_instance_uid in self._referenced_series

    def _refuse_doubles(self, number: int, places: list[Any]) -> None:
        place, count = Counter(places).most_common(1)[0] if places else (None, 0)
        if count > 1:
            raise InvalidSeriesError(
                f"segment {number} of {self.frames.instance.label} has {count} frames at one place ({place}), perhaps "
                "of several points in time, and one mask cannot hold them: ask for a segmentation for each"
            )
