"""Makes one SEG for each time point of masks; each refers only to the source's frames of its time point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.objects.highdicom_bridge import require_series
from dcm_processor_service.derived.objects.segmentations.mask_checks import chosen_labels, whole_numbers
from dcm_processor_service.derived.objects.segmentations.segmentation import Segment, label_segmentation, segmentation
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.models.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import PlacedArray, Voxels
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models.derived import Code, Recipe, SegmentationOptions

__all__ = ["segmentations"]

_AXES = 4
_LO = 64


def segmentations(
    segments: Mapping[str, Segment | Voxels] | Voxels,
    source: Source,
    recipe: Recipe,
    labels: Mapping[int, Code | str] | str | None = None,
    options: SegmentationOptions | None = None,
) -> list[Dataset]:
    """Makes a SEG for each time point, in order of time; each is a series of its own.

    Args:
        segments: Masks by name, all of shape (i, j, k, t), or one label map of that shape.
        source: The images that were segmented, with as many volumes as the masks have time points.
        recipe: Producer, role and time of making. Role, description and SeriesNumber of each time point are made from
            those of the recipe.
        labels: As for :func:`.label_segmentation`; only for a label map.
        options: As for :func:`.segmentation`.

    Raises:
        ConfigurationError: highdicom is not installed.
        DerivedObjectError: The masks have no fourth axis, or another number of time points than the source; or
            :func:`.segmentation` refuses a mask.
    """
    series = require_series(source, "segmentation")
    given = {
        name: each if isinstance(each, Segment) else Segment(each) for name, each in _named(segments, labels).items()
    }
    placed = {name: voxels_of(each.mask) for name, each in given.items()}
    count = _count(placed.values())
    if labels is not None:
        labels = chosen_labels(whole_numbers(next(iter(placed.values())).array), labels)
    first = Composite(recipe, series).series_number
    found = []
    for index, frames in enumerate(_volumes(placed, series, count)):
        own = _OneTimePoint(*_of_frames(series, frames), frozenset(map(_key, frames)))
        how = _numbered(recipe, index, first + index)
        masks = {name: replace(given[name], mask=_at(each, index)) for name, each in placed.items()}
        if labels is None:
            found.append(segmentation(masks, own, how, options=options))
        else:
            found.append(label_segmentation(masks[""].mask, labels, own, how, options=options))
    return found


@dataclass(frozen=True)
class _OneTimePoint(SourceSeries):
    """A source limited to the frames of one time point, since one enhanced instance may hold frames of all of them."""

    kept: frozenset[tuple[str, int]] = frozenset()

    @cached_property
    def frames(self) -> tuple[FrameInfo, ...]:
        """The frames of the time point."""
        return tuple(frame for frame in super().frames if _key(frame) in self.kept)


def _named(
    segments: Mapping[str, Segment | Voxels] | Voxels, labels: Mapping[int, Code | str] | str | None
) -> Mapping[str, Segment | Voxels]:
    """Returns masks by name; a label map has the empty name.

    Raises:
        DerivedObjectError: Labels are given to masks, or a label map has none.
    """
    is_named = isinstance(segments, Mapping)
    if is_named == (labels is not None):
        raise DerivedObjectError(
            "labels are the names of a label map, and masks have names: leave labels out"
            if is_named
            else "a label map needs the names of its labels: labels={1: 'liver', 2: 'spleen'}"
        )
    return segments if isinstance(segments, Mapping) else {"": segments}


def _count(placed: Iterable[PlacedArray]) -> int:
    """Returns the number of time points.

    Raises:
        DerivedObjectError: There are no masks, or their shapes differ or have no time axis.
    """
    shapes: list[tuple[int, ...]] = [each.array.shape for each in placed]
    if not shapes:
        raise DerivedObjectError("there are no segments: name each that was looked for")
    if any(len(shape) != _AXES for shape in shapes) or len(set(shapes)) > 1:
        raise DerivedObjectError(
            f"masks of several time points have one shape (column, row, slice, time), and these have {shapes}: make a "
            "segmentation of masks without a time axis"
        )
    return shapes[0][-1]


def _volumes(placed: Mapping[str, PlacedArray], series: SourceSeries, count: int) -> Sequence[Sequence[FrameInfo]]:
    """Returns the frames of each time point.

    Raises:
        DerivedObjectError: Not exactly one stack of the source has as many volumes as the masks have time points, or
            the masks' time points come in another order.
    """
    first = next(iter(placed.values()))
    named = {(one.sop_instance_uid, one.frame_number) for line in first.sources for one in line}
    stacks = [each for each in series.stacks if len(each.grid) == count and _may_show(each, first, named)]
    if len(stacks) != 1:
        volumes = sorted({len(stack.grid) for stack in series.stacks})
        raise DerivedObjectError(
            f"the masks have {counted(count, 'time point')}, and the source has {counted(len(stacks), 'stack')} of "
            f"as many volumes (it has {volumes}): give the series that they were computed from, or make a "
            "segmentation of each time point"
        )
    for name, mask in placed.items():
        _require_order(name, mask, stacks[0].grid)
    return stacks[0].grid


def _require_order(name: str, mask: PlacedArray, grid: Sequence[Sequence[FrameInfo]]) -> None:
    """Refuses a mask whose time points come in another order than those of the source.

    Raises:
        DerivedObjectError: The mask names frames of another time point, or has another number of time points.
    """
    if len(mask.sources) < 2:  # noqa: PLR2004 the frames of one volume say where the mask lies, but nothing about time
        return
    times = {_key(frame): index for index, line in enumerate(grid) for frame in line}
    named = [{(one.sop_instance_uid, one.frame_number) for one in line} for line in mask.sources]
    if len(named) != len(grid) or any(
        times.get(key, index) != index for index, keys in enumerate(named) for key in keys
    ):
        which = f"the mask of {name!r}" if name else "the label map"
        raise DerivedObjectError(
            f"{which} names frames of other time points of the source: give the time points in the order of the "
            "source, each with the frames that it was computed from"
        )


def _may_show(stack: Stack, mask: PlacedArray, named: set[tuple[str, int]]) -> bool:
    if named:
        return any(_key(frame) in named for line in stack.grid for frame in line)
    return mask.affine_lps is not None or stack.shape == mask.array.shape[:3]


def _of_frames(series: SourceSeries, frames: Sequence[FrameInfo]) -> tuple[tuple[Dataset, ...], tuple[Dataset, ...]]:
    """Returns the headers of the frames' instances, and the further headers of the source."""
    meant = {frame.instance.sop_instance_uid for frame in frames}
    return tuple(header for header in series.headers if str(header.SOPInstanceUID) in meant), series.further


def _at(mask: PlacedArray, index: int) -> Voxels:
    """Returns a mask at one time point, with its affine, sources and frame of reference as far as they are known."""
    array = mask.array[..., index]
    if mask.affine_lps is None:
        return array
    sources = (mask.sources[index],) if len(mask.sources) > 1 else ()
    return Volume(array, mask.affine_lps, sources=sources, frame_of_reference_uid=mask.frame_of_reference_uid)


def _numbered(recipe: Recipe, index: int, series_number: int) -> Recipe:
    words = f", time point {index + 1}"
    description = (recipe.series_description or recipe.role)[: _LO - len(words)] + words
    return replace(recipe, role=recipe.role + words, series_description=description, series_number=series_number)


def _key(frame: FrameInfo) -> tuple[str, int]:
    return frame.instance.sop_instance_uid, frame.number
