"""Outlines, markers and text over the source, without changing it: Grayscale Softcopy Presentation States.

PS3.3, section A.33.1. A state applies to the images that it annotates, through one rescale: images that are rescaled
otherwise (PET) have a state of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.derived.attributes.modality import write_laterality
from dcm_processor_service.derived.attributes.pixels import ds
from dcm_processor_service.derived.attributes.references import source_images
from dcm_processor_service.derived.contours import rings
from dcm_processor_service.derived.objects.named_masks import NamedMasks
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.pictures.colours import lab_of_rgb
from dcm_processor_service.imaging.series.stack import single_slice_step_mm
from dcm_processor_service.imaging.volumes.read import display_window
from dcm_processor_service.keywords import refuses_unknown_keywords
from dcm_processor_service.models.derived import PresentationOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom import FileDataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.segmentation import Segment
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.imaging.series.stack import Stack
    from dcm_processor_service.models.derived import Code, Recipe

__all__ = ["Marker", "presentation"]

_LONGEST_TEXT = 1024
_MARKER_COLOUR = (255, 214, 90)
_BOX_PARTS = (0.04, 0.25, 0.05)
"""Of the image's width: how far a text stands from its point, and how wide and high its box is."""


@refuses_unknown_keywords
@dataclass(frozen=True)
class Marker:
    """A point in the patient, shown on the slice nearest to it.

    Example:
        >>> Marker((12.5, -30.0, 88.0), "nodule, 6 mm").place_lps[2]
        88.0
    """

    place_lps: tuple[float, float, float]
    """mm in LPS."""

    text: str = ""
    """Stands beside the point, with a line or an arrow to it as the viewer draws it; a point alone where empty."""


@dataclass(frozen=True)
class _Annotation:
    """What is drawn on the images at one place."""

    frames: tuple[FrameInfo, ...]
    layer: int
    """From 1."""

    lines: list[NDArray[np.float64]] = field(default_factory=list)
    """Closed lines, in pixels from the upper left corner of the upper left pixel."""

    point: NDArray[np.float64] | None = None
    words: str = ""


def presentation(
    structures: Mapping[str, Segment | Voxels] | Voxels | None,
    markers: Sequence[Marker],
    source: Source,
    recipe: Recipe,
    labels: Mapping[int, Code | str] | str | None = None,
    options: PresentationOptions | None = None,
) -> list[FileDataset]:
    """Makes presentation states with outlines, markers and text; one, unless the images are rescaled differently.

    Args:
        structures: Masks by name on the slices of the source, or a label map; None for markers alone. Names need no
            code. Each has a layer with its name and its colour.
        markers: Points in the frame of reference of the source.
        source: The images, in shades of grey.
        recipe: Who made it, as what, when.
        labels: What each label is; of a label map alone.
        options: Window, text.

    Raises:
        DerivedObjectError: There is nothing to show, a mask is not on the slices of the source, a marker lies beside
            them, or the source is no series of grey images.
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
    if any(len(words) > _LONGEST_TEXT for words in (options.text, *(marker.text for marker in markers))):
        raise DerivedObjectError(f"a text holds at most {_LONGEST_TEXT} characters (PS3.5, section 6.2): shorten it")
    names: list[str] = []
    colours: list[tuple[int, int, int]] = []
    annotations: list[_Annotation] = []
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
    layers = [_layer(number, *each) for number, each in enumerate(zip(names, colours, strict=True), start=1)]
    composite = Composite(recipe, source)
    with contained():
        return [
            _state(composite, number, each, layers, options)
            for number, each in enumerate(_by_rescale(annotations), start=1)
        ]


def _outlined(masks: NamedMasks) -> list[_Annotation]:
    placement = masks.placement
    if placement.slices is None:
        raise DerivedObjectError(
            "the masks are not on the slices of the source, over which a presentation state draws: bring them there, "
            "series.to_source(mask)"
        )
    found = []
    for index, frames in enumerate(placement.slices):
        for number, mask in masks.on_slice(index):
            lines = rings(mask)
            if not placement.is_projection:
                along, origin = placement.affine_lps[:3, :2], placement.origins[index]
                lines = [_in_pixels(line @ along.T + origin, frames[0]) for line in lines]
            found.append(_Annotation(frames, number + 1, [line + 0.5 for line in lines]))
    return found


def _in_pixels(points: NDArray[np.float64], frame: FrameInfo) -> NDArray[np.float64]:
    """Returns column and row, where whole numbers are the centres of pixels, of places in LPS mm."""
    between_rows, between_columns = frame.pixel_spacing or (1.0, 1.0)
    axes = np.array(frame.orientation).reshape(2, 3) / np.array([[between_columns], [between_rows]])
    found: NDArray[np.float64] = (points - np.array(frame.position)) @ axes.T
    return found


def _marked(marker: Marker, source: SourceSeries, layer: int) -> _Annotation:
    """Puts a marker on the nearest slice.

    Raises:
        DerivedObjectError: It lies beside all slices.
    """
    place = np.array(marker.place_lps, np.float64)
    best: tuple[float, FrameInfo] | None = None
    for stack in source.stacks if place.shape == (3,) and np.isfinite(place).all() else ():
        along = np.abs((stack.origins - place) @ slice_normal(stack.first.orientation or ()))
        index = int(along.argmin())
        frame = stack.grid[0][index]
        pixel = _in_pixels(place, frame)
        size = np.array([frame.pixel_format.columns, frame.pixel_format.rows])
        is_inside = bool((np.abs(pixel - (size - 1) / 2) <= size / 2).all())
        if is_inside and along[index] <= _reach_mm(stack, index) and (best is None or along[index] < best[0]):
            best = float(along[index]), frame
    if best is None:
        raise DerivedObjectError(
            "a marker lies beside all slices of the source: check its frame, LPS mm, or the series that is like"
        )
    pixel = _in_pixels(place, best[1]) + 0.5
    return _Annotation(source.in_all_volumes(best[1]), layer, point=pixel, words=marker.text)


def _reach_mm(stack: Stack, index: int) -> float:
    """Returns how far a slice reaches along the normal, to each side: halfway to the farther of its neighbours."""
    if len(stack.grid[0]) == 1:
        return single_slice_step_mm(stack.first) / 2
    gaps = np.diff(stack.origins @ slice_normal(stack.first.orientation or ()))
    return float(gaps[max(0, index - 1) : index + 1].max()) / 2


def _by_rescale(annotations: Sequence[_Annotation]) -> list[list[_Annotation]]:
    """Groups annotations by how their images are rescaled, and whether these are negatives."""
    groups: dict[Any, list[_Annotation]] = {}
    for each in annotations:
        frames: dict[Any, list[FrameInfo]] = {}
        for frame in each.frames:
            shown = text(frame.instance.header, "PhotometricInterpretation")
            if shown not in {"MONOCHROME1", "MONOCHROME2", ""}:
                raise DerivedObjectError(
                    f"the source is no series of grey images, its pixels are {shown}: make fused pictures, an overlay"
                )
            table = id(frame.lut) if frame.lut is not None else 0
            frames.setdefault((frame.slope, frame.intercept, table, shown == "MONOCHROME1"), []).append(frame)
        for key, own in frames.items():
            groups.setdefault(key, []).append(_Annotation(tuple(own), each.layer, each.lines, each.point, each.words))
    return list(groups.values())


def _state(
    composite: Composite,
    number: int,
    annotations: Sequence[_Annotation],
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
    made.DisplayedAreaSelectionSequence = _areas(frames)
    made.GraphicAnnotationSequence = [_annotated(each) for each in annotations]
    if options.text:
        made.GraphicAnnotationSequence.append(_titled(options.text))
    made.GraphicLayerSequence = list(layers)
    _write_values(made, frames, options.window)
    return made


def _write_values(made: Dataset, frames: Sequence[FrameInfo], window: tuple[float, float] | None) -> None:
    """Writes how stored values become shades: Modality LUT, window, shape (PS3.3, sections C.11.1, C.11.8, C.11.6)."""
    frame = frames[0]
    header = frame.instance.header
    assert isinstance(header, Dataset)  # as every header of a source
    if frame.lut is not None:
        copy_attributes(header, made, ("ModalityLUTSequence",))
    else:
        made.RescaleIntercept, made.RescaleSlope = ds(frame.intercept), ds(frame.slope)
        made.RescaleType = text(header, "RescaleType") or ("HU" if text(header, "Modality") == "CT" else "US")
    windows = _windows(frames, window)
    if windows:
        made.SoftcopyVOILUTSequence = windows
    is_negative = text(header, "PhotometricInterpretation") == "MONOCHROME1"
    made.PresentationLUTShape = "INVERSE" if is_negative else "IDENTITY"


def _windows(frames: Sequence[FrameInfo], given: tuple[float, float] | None) -> list[Dataset]:
    """Returns the windows, each with its images where these have several."""
    by_window: dict[tuple[float, float], list[FrameInfo]] = {}
    for frame in frames:
        proposed = display_window(frame)
        chosen = given or ((proposed.center, proposed.width) if proposed is not None else None)
        if chosen is not None:
            by_window.setdefault(chosen, []).append(frame)
    found = []
    for (center, width), own in by_window.items():
        item = Dataset()
        if len(own) < len(frames):
            item.ReferencedImageSequence = _images(own)
        item.WindowCenter, item.WindowWidth = ds(center), ds(width)
        found.append(item)
    return found


def _images(frames: Sequence[FrameInfo]) -> list[Dataset]:
    found = source_images(frames)
    for item in found:
        del item.PurposeOfReferenceCodeSequence
    return found


def _series(frames: Sequence[FrameInfo]) -> list[Dataset]:
    by_series: dict[str, list[FrameInfo]] = {}
    for frame in frames:
        by_series.setdefault(text(frame.instance.header, "SeriesInstanceUID"), []).append(frame)
    found = []
    for uid, own in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedImageSequence = uid, _images(own)
        found.append(item)
    return found


def _areas(frames: Sequence[FrameInfo]) -> list[Dataset]:
    """Returns the displayed areas: all of each image, by size and spacing (PS3.3, section C.10.4)."""
    by_size: dict[tuple[int, int, tuple[float, ...] | None], list[FrameInfo]] = {}
    for frame in frames:
        pixels = frame.pixel_format
        by_size.setdefault((pixels.columns, pixels.rows, frame.pixel_spacing), []).append(frame)
    found = []
    for (columns, rows, spacing), own in by_size.items():
        item = Dataset()
        if len(by_size) > 1:
            item.ReferencedImageSequence = _images(own)
        item.DisplayedAreaTopLeftHandCorner, item.DisplayedAreaBottomRightHandCorner = [1, 1], [columns, rows]
        item.PresentationSizeMode = "SCALE TO FIT"
        if spacing:
            item.PresentationPixelSpacing = [ds(distance) for distance in spacing]
        else:
            item.PresentationPixelAspectRatio = [1, 1]
        found.append(item)
    return found


def _annotated(annotation: _Annotation) -> Dataset:
    item = Dataset()
    item.ReferencedImageSequence = _images(annotation.frames)
    item.GraphicLayer = _layer_name(annotation.layer)
    drawn = [_graphic("POLYLINE", np.concatenate([line, line[:1]])) for line in annotation.lines]
    if annotation.point is not None and not annotation.words:
        drawn.append(_graphic("POINT", annotation.point[np.newaxis]))
    if drawn:
        item.GraphicObjectSequence = drawn
    if annotation.words and annotation.point is not None:
        item.TextObjectSequence = [_beside(annotation.words, annotation.point, annotation.frames[0])]
    return item


def _graphic(kind: str, points: NDArray[np.float64]) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = points.ravel().tolist()
    item.GraphicType = kind
    if kind == "POLYLINE":
        item.GraphicFilled = "N"
    return item


def _beside(words: str, point: NDArray[np.float64], frame: FrameInfo) -> Dataset:
    """Returns a text with a visible anchor at a point, above it, on the side on which there is more room."""
    columns, rows = frame.pixel_format.columns, frame.pixel_format.rows
    gap, width, height = (part * columns for part in _BOX_PARTS)
    left = point[0] + gap if point[0] < columns / 2 else point[0] - gap - width
    top = min(max(0.0, float(point[1]) - gap - height), max(0.0, rows - height))
    left = min(max(0.0, float(left)), max(0.0, columns - width))
    item = Dataset()
    item.BoundingBoxAnnotationUnits = item.AnchorPointAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = words
    item.BoundingBoxTopLeftHandCorner, item.BoundingBoxBottomRightHandCorner = [left, top], [left + width, top + height]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    item.AnchorPoint = point.tolist()
    item.AnchorPointVisibility = "Y"
    return item


def _titled(words: str) -> Dataset:
    """Returns a line at the bottom of the screen, over all images of the state."""
    line, item = Dataset(), Dataset()
    line.BoundingBoxAnnotationUnits = "DISPLAY"
    line.UnformattedTextValue = words
    line.BoundingBoxTopLeftHandCorner, line.BoundingBoxBottomRightHandCorner = [0.02, 0.93], [0.98, 0.99]
    line.BoundingBoxTextHorizontalJustification = "CENTER"
    item.GraphicLayer = _layer_name(1)
    item.TextObjectSequence = [line]
    return item


def _layer_name(number: int) -> str:
    return f"LAYER{number}"


def _layer(number: int, name: str, colour: tuple[int, int, int]) -> Dataset:
    """Returns a layer with its name and colour (PS3.3, sections C.10.7 and C.10.7.1.1)."""
    lightness, a, b = lab_of_rgb(colour)
    item = Dataset()
    item.GraphicLayer = _layer_name(number)
    item.GraphicLayerOrder = number
    item.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    item.GraphicLayerRecommendedDisplayCIELabValue = [
        round(lightness / 100 * 0xFFFF),
        round((a + 128) / 255 * 0xFFFF),
        round((b + 128) / 255 * 0xFFFF),
    ]
    item.GraphicLayerDescription = name[:64]
    return item
