"""Makes Grayscale Softcopy Presentation States: outlines, markers and text over the source images, which do not change.

PS3.3, section A.33.1. A state has one rescale for all images that it annotates, so images with different rescales (PET)
get different states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.modality import write_laterality
from dcm_processor_service.derived.attributes.wording import require_keyword, require_lines
from dcm_processor_service.derived.drawings.contours import drawn_on, rings
from dcm_processor_service.derived.drawings.display import displayed_areas, write_shades
from dcm_processor_service.derived.drawings.graphics import Annotation, annotated, images_of, layer_item, titled
from dcm_processor_service.derived.drawings.named_masks import NamedMasks
from dcm_processor_service.derived.nearest_slice import nearest_slice, pixels_of
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.derived import PresentationOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import FileDataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.models.derived import Code, Recipe

__all__ = ["Marker", "presentation"]

_LONGEST_TEXT = 1024
_MARKER_COLOUR = (255, 214, 90)


@refuses_unknown_keywords
@dataclass(frozen=True)
class Marker:
    """A point in the patient, shown on the slice nearest to it.

    Example:
        >>> Marker((12.5, -30.0, 88.0), "nodule, 6 mm").place_lps[2]
        88.0
    """

    place_lps: tuple[float, float, float]
    """Position of the point, mm in LPS."""

    text: str = ""
    """Text beside the point; the viewer draws a line or an arrow between them. If empty, only the point is shown."""


def presentation(
    structures: Mapping[str, Segment | Voxels] | Voxels | None,
    markers: Sequence[Marker],
    source: Source,
    recipe: Recipe,
    labels: Mapping[int, Code | str] | str | None = None,
    options: PresentationOptions | None = None,
) -> list[FileDataset]:
    """Makes presentation states with outlines, markers and text: one, or several if the images have different rescales.

    Args:
        structures: Masks by name on the slices of the source, or a label map; None for markers alone. Names need no
            code. Each structure has a layer with its name and its colour.
        markers: Points in the frame of reference of the source.
        source: Series of the grey images.
        recipe: Producer, role and time of making.
        labels: Name or code of each label; only for a label map.
        options: Window, text.

    Raises:
        DerivedObjectError: There is nothing to show, a mask is not on the slices of the source, a marker lies outside
            of them, or the source is not a series of grey images.
        UnsupportedValueError: The masks lie on different grids.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from dcm_processor_service.models.derived import Producer, Recipe
        >>> ct = dcmread(get_testdata_file("CT_small.dcm"))
        >>> mask, recipe = ct.pixel_array.T > 1500, Recipe(Producer("thresholds", "1.0"), role="bones")
        >>> (made,) = presentation({"bone": mask}, (), SourceSeries.from_headers([ct]), recipe)
        >>> made.GraphicLayerSequence[0].GraphicLayerDescription
        'bone'
    """
    options = options or PresentationOptions()
    if not isinstance(source, SourceSeries):
        raise DerivedObjectError("a presentation state is about images: give their series as source")
    options = replace(options, text=require_lines("text", options.text, _LONGEST_TEXT))
    require_keyword("content_label", options.content_label)
    markers = [replace(each, text=require_lines("the text of a marker", each.text, _LONGEST_TEXT)) for each in markers]
    names: list[str] = []
    colours: list[tuple[int, int, int]] = []
    annotations: list[Annotation] = []
    if structures is not None:
        masks = NamedMasks.of(structures, labels, source)
        names, colours = list(masks.said), masks.colours()
        annotations = _outlined(masks)
    elif labels is not None:
        raise DerivedObjectError("labels are the names of a label map, and there is none: leave labels out")
    annotations += [_marked(marker, source, len(names) + 1) for marker in markers]
    if markers:
        names.append("markers")
        colours.append(_MARKER_COLOUR)
    if not annotations:
        raise DerivedObjectError("there is nothing to show: the masks are empty, and there is no marker")
    layers = [layer_item(number, *each) for number, each in enumerate(zip(names, colours, strict=True), start=1)]
    composite = Composite(recipe, source)
    with contained():
        return [
            _state(composite, number, each, layers, options)
            for number, each in enumerate(_by_rescale(annotations), start=1)
        ]


def _outlined(masks: NamedMasks) -> list[Annotation]:
    placement = masks.placement
    if placement.slices is None:
        raise DerivedObjectError(
            "the masks are not on the slices of the source, on which a presentation state draws: bring them there with "
            "series.to_source(mask)"
        )
    found = []
    for index, frames in enumerate(placement.slices):
        for number, lines in drawn_on(masks, index, rings):
            in_pixels = lines
            if not placement.is_projection:
                along, origin = placement.affine_lps[:3, :2], placement.origins[index]
                in_pixels = [pixels_of(line @ along.T + origin, frames[0]) for line in lines]
            found.append(Annotation(frames, number + 1, [line + 0.5 for line in in_pixels]))
    return found


def _marked(marker: Marker, source: SourceSeries, layer: int) -> Annotation:
    """Puts a marker on the nearest slice.

    Raises:
        DerivedObjectError: The marker lies outside of all slices.
    """
    frame = nearest_slice(marker.place_lps, source)
    if frame is None:
        raise DerivedObjectError(
            "a marker lies outside of all slices of the source: check that its coordinates are LPS mm, and that like "
            "is the right series"
        )
    pixel = pixels_of(np.array(marker.place_lps, np.float64), frame) + 0.5
    return Annotation(source.in_all_volumes(frame), layer, point=pixel, words=marker.text)


def _by_rescale(annotations: Sequence[Annotation]) -> list[list[Annotation]]:
    """Groups annotations by the rescale of their images, and by whether these are MONOCHROME1."""
    groups: dict[Any, list[Annotation]] = {}
    for each in annotations:
        frames: dict[Any, list[FrameInfo]] = {}
        for frame in each.frames:
            shown = text(frame.instance.header, "PhotometricInterpretation")
            if shown not in {"MONOCHROME1", "MONOCHROME2", ""}:
                raise DerivedObjectError(
                    f"the source is not a series of grey images, its pixels are {shown}: make fused pictures, "
                    "an overlay"
                )
            table = id(frame.lut) if frame.lut is not None else 0
            frames.setdefault((frame.slope, frame.intercept, table, shown == "MONOCHROME1"), []).append(frame)
        for key, own in frames.items():
            groups.setdefault(key, []).append(Annotation(tuple(own), each.layer, each.lines, each.point, each.words))
    return list(groups.values())


def _state(
    composite: Composite,
    number: int,
    annotations: Sequence[Annotation],
    layers: Sequence[Dataset],
    options: PresentationOptions,
) -> FileDataset:
    made = composite.new(GrayscaleSoftcopyPresentationStateStorage, "PR", number)
    write_laterality(made)
    made.PresentationCreationDate, made.PresentationCreationTime = made.ContentDate, made.ContentTime
    del made.ContentDate, made.ContentTime
    made.ContentLabel = options.content_label
    made.ContentDescription = composite.derivation[:64]
    made.ContentCreatorName = None
    frames = list({(f.instance.sop_instance_uid, f.number): f for each in annotations for f in each.frames}.values())
    made.ReferencedSeriesSequence = _series(frames)
    made.DisplayedAreaSelectionSequence = displayed_areas(frames)
    made.GraphicAnnotationSequence = [annotated(each) for each in annotations]
    if options.text:
        made.GraphicAnnotationSequence.append(titled(options.text))
    made.GraphicLayerSequence = list(layers)
    write_shades(made, frames, options.window)
    return made


def _series(frames: Sequence[FrameInfo]) -> list[Dataset]:
    by_series: dict[str, list[FrameInfo]] = {}
    for frame in frames:
        by_series.setdefault(text(frame.instance.header, "SeriesInstanceUID"), []).append(frame)
    found = []
    for uid, own in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedImageSequence = uid, images_of(own)
        found.append(item)
    return found
