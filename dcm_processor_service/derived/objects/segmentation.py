"""Masks as a DICOM segmentation, SEG (PS3.3, sections A.51 and C.8.20), through highdicom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.derived.attributes.codes import code_item, find_code, in_context
from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.objects.highdicom_bridge import (
    code_of,
    equipment,
    finish,
    load_highdicom,
    planes_of,
    released,
    require_series,
)
from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.models.derived import Code, SegmentationOptions
from dcm_processor_service.models.keywords import refuses_unknown_keywords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom import Dataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.highdicom_bridge import Planes
    from dcm_processor_service.derived.placement import Placement
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Recipe

__all__ = ["Segment", "masks_of", "segmentation"]

_PROPERTY_TYPES = (7166, 7159, 7151)
_LESIONS, _TISSUES = 7159, 7166
_ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_TISSUE = Code("85756007", "SCT", "Tissue")
_SIDES = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
    "bilateral": Code("51440002", "SCT", "Right and left"),
}
_MOST_FRACTION = 255


@refuses_unknown_keywords
@dataclass(frozen=True)
class Segment:
    """One structure, where its name alone does not say enough.

    Example:
        >>> from dcm_processor_service.models import Code
        >>> mask = np.zeros((16, 16, 4), dtype=bool)
        >>> Segment(mask, code=Code("10200004", "SCT", "Liver")).code.meaning
        'Liver'
    """

    mask: Voxels = field(repr=False)
    """Shape (i, j, k): column, row, slice. Booleans or 0 and 1, or fractions from 0 to 1."""

    code: Code | str | None = None
    """What it is; looked up by the segment's name when None, where a leading ``left`` or ``right`` is the side."""

    category: Code | str | None = None
    """What sort of thing that is; anatomical structure, tissue or abnormal structure by the code when None."""

    color_lab: tuple[float, float, float] | None = None
    """Recommended display colour, CIE L*a*b*."""


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
    """Makes one SEG object from masks. Empty masks are welcome: the segment is described, and is nowhere.

    Segments may overlap. They are numbered from 1 in the order given.

    Args:
        segments: Masks by name, such as ``{"liver": mask, "left kidney": other}``: arrays, Volumes, NIfTI images or
            files, on one grid. Each name is looked up as a coded concept, or give a :class:`Segment` with a code.
        source: The images that were segmented. Positions are in their frame of reference.
        recipe: Who made it, as what, when.
        affine_lps: Shape (4, 4): (i, j, k, 1) of the masks to LPS mm, over what they say themselves. None, of bare
            arrays: they have the axes and shape of the source.
        options: Binary or fractional, algorithm, label.

    Raises:
        ConfigurationError: highdicom is not installed.
        DerivedObjectError: A name has no code, a mask is no mask, shapes differ, or the source is no image series.
        UnsupportedValueError: The masks lie on different grids.
    """
    options = options or SegmentationOptions()
    _check_options(options)
    highdicom = load_highdicom()
    series = require_series(source, "segmentation")
    given = {name: each if isinstance(each, Segment) else Segment(each) for name, each in segments.items()}
    masks = {name: voxels_of(each.mask, affine_lps) for name, each in given.items()}
    fractional = _is_fractional({name: mask.array for name, mask in masks.items()}, options)
    composite = Composite(recipe, series)
    each_planes = [planes_of(mask, series, composite) for mask in masks.values()]
    planes, placed = each_planes[0], _on_one_grid([each.placement for each in each_planes])
    frames = planes.frames(placed.astype(np.float32 if fractional else np.uint8))
    described = [_describe(highdicom, n, name, each, composite, options) for n, (name, each) in _numbered(given)]
    with contained():
        dataset = _build(highdicom, composite, planes, frames, described, options, fractional=fractional)
        for item, (_, (name, each)) in zip(dataset.SegmentSequence, _numbered(given), strict=True):
            side = _code_and_side(name, each)[1]
            if side is not None:
                item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [code_item(side)]
        dataset.ContentCreatorName = None  # a person's
        finish(dataset, composite)
    return released(dataset)


def _check_options(options: SegmentationOptions) -> None:
    if options.kind not in {None, "binary", "fractional"}:
        raise DerivedObjectError(f"no kind of segmentation is called {options.kind!r}: say 'binary' or 'fractional'")
    if options.algorithm_type not in {"AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"}:
        raise DerivedObjectError(
            f"no algorithm_type is called {options.algorithm_type!r}: say 'AUTOMATIC', 'SEMIAUTOMATIC' or 'MANUAL'"
        )


def _numbered(given: Mapping[str, Segment]) -> list[tuple[int, tuple[str, Segment]]]:
    return list(enumerate(given.items(), start=1))


def _on_one_grid(placements: Sequence[Placement]) -> NDArray[Any]:
    """Returns the masks on a last axis of their own: (columns, rows, slices, masks)."""
    first = placements[0]
    for other in placements[1:]:
        same = other.array.shape == first.array.shape and np.allclose(other.affine_lps, first.affine_lps, atol=1e-3)
        if not same or other.frame_of_reference_uid != first.frame_of_reference_uid:
            raise UnsupportedValueError("the masks lie on different grids; resample them to one, or to the source's")
    return np.stack([placement.array[..., 0] for placement in placements], axis=-1)


def _is_fractional(masks: Mapping[str, NDArray[Any]], options: SegmentationOptions) -> bool:
    if not masks:
        raise DerivedObjectError(
            "there are no segments: name each that was looked for, with an empty mask if not found"
        )
    shapes = {mask.shape for mask in masks.values()}
    if len(shapes) != 1:
        raise DerivedObjectError(f"the masks have different shapes, {sorted(shapes)}: bring them to one grid")
    if 0 in (shape := shapes.pop()):
        raise DerivedObjectError(f"masks of shape {shape} have no voxel: give (column, row, slice), each at least 1")
    fractional = options.kind == "fractional"
    for name, mask in masks.items():
        if mask.dtype.kind not in "buif" or not mask.min() >= 0 or not mask.max() <= 1:
            raise DerivedObjectError(
                f"the mask of {name!r} holds values other than 0 to 1: give booleans, or masks_of() a label map"
            )
        if mask.dtype.kind == "f" and not np.isin(mask, (0, 1)).all():
            if options.kind == "binary":
                raise DerivedObjectError(f"the mask of {name!r} holds fractions: threshold it, or make it fractional")
            fractional = True
    return fractional


def _code_and_side(name: str, segment: Segment) -> tuple[Code, Code | None]:
    if segment.code is not None:
        return find_code(segment.code, _PROPERTY_TYPES), None
    first, _, rest = name.strip().replace("_", " ").partition(" ")
    side = _SIDES.get(first.lower())
    return find_code(rest if side is not None and rest else name, _PROPERTY_TYPES), side if rest else None


def _describe(
    highdicom: Any, number: int, name: str, segment: Segment, composite: Composite, options: SegmentationOptions
) -> Any:
    code = _code_and_side(name, segment)[0]
    if segment.category is not None:
        category = find_code(segment.category, (7150,))
    elif in_context(code, _LESIONS):
        category = _ABNORMAL
    else:
        category = _TISSUE if in_context(code, _TISSUES) else _ANATOMY
    producer = composite.recipe.producer
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=options.algorithm_name or producer.service_name,
        family=code_of(find_code(options.algorithm_family, (7162,))),
        version=producer.version,
        source=producer.manufacturer,
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=code_of(category),
        segmented_property_type=code_of(code),
        algorithm_type=options.algorithm_type,
        algorithm_identification=None if options.algorithm_type == "MANUAL" else algorithm,
        tracking_uid=composite.uids.other(f"tracking {name}"),
        tracking_id=name[:64],
        display_color=None if segment.color_lab is None else highdicom.color.CIELabColor(*segment.color_lab),
    )


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
        segmentation_type="FRACTIONAL" if fractional else "BINARY",
        segment_descriptions=described,
        fractional_type="PROBABILITY",
        max_fractional_value=_MOST_FRACTION,
        content_label=options.content_label,
        content_description=composite.derivation[:64],
        omit_empty_frames=bool(frames.any()),
        further_source_images=planes.further or None,
        **planes.arguments(highdicom),
        **equipment(composite),
    )
    return dataset
