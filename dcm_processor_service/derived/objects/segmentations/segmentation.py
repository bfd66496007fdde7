"""Makes a DICOM segmentation, SEG, from masks (PS3.3, sections A.51 and C.8.20), through highdicom."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.derived.attributes.wording import require_keyword, require_line
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.objects.highdicom_bridge import (
    equipment,
    finish,
    load_highdicom,
    planes_of,
    released,
    require_series,
)
from dcm_processor_service.derived.objects.segmentations.mask_checks import (
    chosen_labels,
    holds_fractions,
    require_one_grid,
    whole_numbers,
)
from dcm_processor_service.derived.objects.segmentations.segment_names import SegmentName, described
from dcm_processor_service.derived.terminology.codes import code_item
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.derived import Code, SegmentationOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import PlacedArray, Voxels
    from dcm_processor_service.derived.objects.highdicom_bridge import Planes
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Recipe

__all__ = ["Segment", "label_segmentation", "masks_of", "require_algorithm_type", "segmentation"]

_MOST_FRACTION = 255
_LO = 64


@refuses_unknown_keywords
@dataclass(frozen=True)
class Segment:
    """The mask of one structure, with a code, category or colour that its name alone does not give.

    Example:
        >>> from dcm_processor_service.models import Code
        >>> mask = np.zeros((16, 16, 4), dtype=bool)
        >>> Segment(mask, code=Code("10200004", "SCT", "Liver")).code.meaning
        'Liver'
    """

    mask: Voxels = field(repr=False)
    """Shape (i, j, k): column, row, slice. Booleans or 0 and 1, or fractions from 0 to 1."""

    code: Code | str | None = None
    """Code of the structure, or its name; None to look up the segment's name, in which ``left`` or ``right`` is the
    side."""

    category: Code | str | None = None
    """Category of the structure; None to derive it from the code: anatomical structure, tissue, abnormal structure,
    …"""

    color_lab: tuple[float, float, float] | None = None
    """Recommended display colour, CIE L*a*b*."""

    color_rgb: tuple[int, int, int] | None = None
    """Recommended display colour as red, green and blue from 0 to 255; takes precedence over ``color_lab``. If neither
    is given, the colour that is recommended for the structure, if there is one."""


def masks_of(labels: NDArray[Any], names: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Returns the mask of each label of a label map.

    Example:
        >>> masks = masks_of(np.array([[0, 1], [2, 1]]), {"liver": 1, "spleen": 2})
        >>> int(masks["liver"].sum()), int(masks["spleen"].sum())
        (2, 1)
    """
    return {name: labels == label for name, label in names.items()}


def segmentation(
    segments: Mapping[str, Voxels | Segment],
    source: Source,
    recipe: Recipe,
    affine_lps: NDArray[np.float64] | None = None,
    options: SegmentationOptions | None = None,
) -> Dataset:
    """Makes one SEG object from masks. An empty mask becomes a segment that is described and has no voxels.

    Segments may overlap. They are numbered from 1 in the order given.

    Args:
        segments: Masks by name, such as ``{"liver": mask, "left kidney": other}``: arrays, Volumes, NIfTI images or
            files, on one grid. Each name is looked up as a coded concept, or give a :class:`Segment` with a code.
        source: The images that were segmented. Positions are in their frame of reference.
        recipe: Producer, role and time of making.
        affine_lps: Shape (4, 4): maps (i, j, k, 1) of the masks to LPS mm, in place of their own affines. None for
            their own; bare arrays then have the axes and shape of the source.
        options: Binary or fractional, algorithm, label.

    Raises:
        ConfigurationError: highdicom is not installed.
        DerivedObjectError: A name has no code, an array is not a mask, shapes differ, or the source is not an image
            series.
        UnsupportedValueError: The masks lie on different grids.
    """
    options = options or SegmentationOptions()
    _check_options(options)
    highdicom = load_highdicom()
    series = require_series(source, "segmentation")
    given = {name: each if isinstance(each, Segment) else Segment(each) for name, each in segments.items()}
    masks = {name: voxels_of(each.mask, affine_lps) for name, each in given.items()}
    fractional = holds_fractions({name: mask.array for name, mask in masks.items()}, options.kind)
    composite = Composite(recipe, series)
    together = None if fractional else _numbered(list(masks.values()))
    if together is not None:  # all masks in one pass, with one byte per voxel (two from 256 masks on)
        planes = planes_of(together, series, composite)
        frames = planes.frames(planes.placement.array[..., 0])
    else:
        each_planes = [planes_of(mask, series, composite) for mask in masks.values()]
        planes, placements = each_planes[0], [each.placement for each in each_planes]
        require_one_grid(placements)
        placed = np.stack([placement.array[..., 0] for placement in placements], axis=-1)
        if options.kind == "labelmap" and np.count_nonzero(placed, axis=-1).max() > 1:
            raise DerivedObjectError("the masks overlap, and each voxel of a label map is in one: leave kind out")
        frames = planes.frames(placed.astype(np.float32 if fractional else np.uint8))
    names = [SegmentName.of(name, e.code, e.category, e.color_lab, e.color_rgb) for name, e in given.items()]
    return _finished(highdicom, composite, planes, frames, names, options, fractional=fractional)


def label_segmentation(
    label_map: Voxels,
    labels: Mapping[int, Code | str] | str,
    source: Source,
    recipe: Recipe,
    affine_lps: NDArray[np.float64] | None = None,
    options: SegmentationOptions | None = None,
) -> Dataset:
    """Makes one SEG object from a label map, in one pass over it.

    Args:
        label_map: Whole numbers of shape (i, j, k): column, row, slice. 0 and labels without a name become no segment.
        labels: Name or code of each label; a label that does not occur becomes an empty segment. Or the name of a
            model's labels, ``totalsegmentator`` or ``totalsegmentator:`` and a task: only labels that occur become
            segments.
        source: The images that were segmented.
        recipe: Producer, role and time of making.
        affine_lps: As for :func:`segmentation`.
        options: Algorithm and label.

    Raises:
        ConfigurationError: highdicom is not installed.
        DerivedObjectError: A name has no code, or the label map holds other than whole numbers or does not fit the
            source.
    """
    options = options or SegmentationOptions()
    _check_options(options)
    if options.kind == "fractional":
        raise DerivedObjectError("a label map has no fractions: leave kind out")
    highdicom = load_highdicom()
    series = require_series(source, "segmentation")
    given = voxels_of(label_map, affine_lps)
    composite = Composite(recipe, series)
    planes = planes_of(replace(given, array=whole_numbers(given.array)), series, composite)
    array = planes.placement.array[..., 0]
    chosen = chosen_labels(array, labels)
    numbers = np.zeros(max(int(array.max()), *chosen) + 1, np.uint8 if len(chosen) < 256 else np.uint16)  # noqa: PLR2004 8 bits
    for number, label in enumerate(chosen, start=1):
        numbers[label] = number
    names = [
        SegmentName.of(each.meaning if isinstance(each, Code) else each, each if isinstance(each, Code) else None)
        for each in chosen.values()
    ]
    frames = planes.frames(array)
    counted_already = np.array_equal(numbers, np.arange(len(numbers)))
    frames = frames.astype(numbers.dtype, copy=False) if counted_already else numbers[frames]
    return _finished(highdicom, composite, planes, frames, names, options, fractional=False)


def _finished(
    highdicom: Any,
    composite: Composite,
    planes: Planes,
    frames: NDArray[Any],
    names: Sequence[SegmentName],
    options: SegmentationOptions,
    *,
    fractional: bool,
) -> Dataset:
    items = [described(highdicom, number, name, composite, options) for number, name in enumerate(names, start=1)]
    with contained():
        dataset = _build(highdicom, composite, planes, frames, items, options, fractional=fractional)
        # highdicom describes the background as segment 0, which shifts colours in viewers; PixelPaddingValue suffices
        dataset.SegmentSequence = [item for item in dataset.SegmentSequence if item.SegmentNumber]
        for item, name in zip(dataset.SegmentSequence, names, strict=True):
            if name.side is not None:
                coded = item.SegmentedPropertyTypeCodeSequence[0]
                coded.SegmentedPropertyTypeModifierCodeSequence = [code_item(name.side)]
        if planes.placement.is_projection:
            dataset.PatientOrientation = None
            copy_attributes(planes.source.first, dataset, ("PatientOrientation",))
        dataset.ContentCreatorName = None  # it names a person, but a program made the object
        finish(dataset, composite)
        dataset.pop("Laterality", None)  # an attribute of images; segments have sides of their own
    return released(dataset)


def _check_options(options: SegmentationOptions) -> None:
    if options.kind not in {None, "binary", "fractional", "labelmap"}:
        raise DerivedObjectError(
            f"no kind of segmentation is called {options.kind!r}: say 'binary', 'fractional' or 'labelmap'"
        )
    require_algorithm_type(options.algorithm_type)
    require_keyword("content_label", options.content_label)
    if options.algorithm_name:
        require_line("algorithm_name", options.algorithm_name, _LO)


def _numbered(masks: Sequence[PlacedArray]) -> PlacedArray | None:
    """Joins masks to one label map, numbered from 1; returns None if two overlap or lie on different grids."""
    first = masks[0]
    numbers = np.zeros(first.array.shape, np.uint8 if len(masks) < 256 else np.uint16)  # noqa: PLR2004 8 bits
    for number, mask in enumerate(masks, start=1):
        inside = mask.array != 0
        if not _is_placed_alike(mask, first) or numbers[inside].any():
            return None
        numbers[inside] = number
    return replace(first, array=numbers)


def _is_placed_alike(one: PlacedArray, other: PlacedArray) -> bool:
    has_affine = one.affine_lps is not None
    return (
        one.array.shape == other.array.shape
        and has_affine == (other.affine_lps is not None)
        and (not has_affine or np.array_equal(one.affine_lps, other.affine_lps))  # type: ignore[arg-type]  # both are there
        and one.frame_of_reference_uid == other.frame_of_reference_uid
        and one.sources == other.sources
    )


def require_algorithm_type(name: str) -> None:
    """Refuses anything but a value of SegmentAlgorithmType (0062,0008) and ROIGenerationAlgorithm (3006,0036).

    Raises:
        DerivedObjectError: ``name`` is no such value.
    """
    if name not in {"AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"}:
        raise DerivedObjectError(f"no algorithm_type is called {name!r}: say 'AUTOMATIC', 'SEMIAUTOMATIC' or 'MANUAL'")


def _build(
    highdicom: Any,
    composite: Composite,
    planes: Planes,
    frames: NDArray[Any],
    described: list[Any],
    options: SegmentationOptions,
    *,
    fractional: bool,
) -> Dataset:
    dataset: Dataset = highdicom.seg.Segmentation(
        source_images=planes.images,
        pixel_array=frames,
        segmentation_type="FRACTIONAL" if fractional else (options.kind or "binary").upper(),
        segment_descriptions=described,
        fractional_type="PROBABILITY",
        max_fractional_value=_MOST_FRACTION,
        content_label=options.content_label,
        content_description=composite.derivation[:64],
        omit_empty_frames=_has_stored_voxels(frames, fractional=fractional),
        further_source_images=planes.further or None,
        **planes.arguments(highdicom),
        **equipment(composite),
    )
    return dataset


def _has_stored_voxels(frames: NDArray[Any], *, fractional: bool) -> bool:
    """Returns whether a voxel is stored as another number than 0; fractions are stored in steps of 1/255."""
    return bool(np.around(frames.max() * _MOST_FRACTION) if fractional else frames.any())
