"""Makes Secondary Capture of pictures without a place in the patient, such as pages of a report or a screenshot.

PS3.3, sections A.8.1 and A.8.5. The axes of pictures are those of picture libraries: rows first.
"""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.uid import (
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.modality import write_laterality
from dcm_processor_service.derived.attributes.pixels import write_pixels
from dcm_processor_service.derived.attributes.references import write_sources
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import ConfigurationError, DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom import FileDataset

    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.models.derived import Recipe

__all__ = ["Picture", "capture_pages"]

Picture: TypeAlias = "NDArray[Any] | bytes | Path | str"
"""An array of (rows, columns) or (rows, columns, 3 or 4), uint8; or a PNG, as its bytes or its path."""

_COLOR_AXES = 3


def capture_pages(
    pages: Sequence[Picture],
    source: Source,
    recipe: Recipe,
    *,
    multi_frame: bool = False,
    shows_identity: bool = True,
) -> list[FileDataset]:
    """Makes a series of pictures; transparent parts become white.

    Args:
        pages: Pictures in reading order.
        source: The images that the pages are about, or the identity of patient and study.
        recipe: Producer, role and time of making.
        multi_frame: Whether one instance holds all pages, which must then have one size and be all grey or all in
            colour.
        shows_identity: Whether the pictures show who the patient is: BurnedInAnnotation (0028,0301).

    Raises:
        ConfigurationError: A page is a PNG and Pillow is not installed.
        DerivedObjectError: A page is not one of the forms of :data:`Picture`, or the pages of one instance differ in
            size or kind.

    Example:
        >>> from dcm_processor_service.models.derived import Producer, Recipe, StudyIdentity
        >>> who = StudyIdentity(patient_id="P1", study_instance_uid="2.25.1")
        >>> picture = np.zeros((30, 40, 3), np.uint8)
        >>> made = capture_pages([picture], who, Recipe(Producer("plotter", "1.0"), role="plots"))
        >>> made[0].Rows, made[0].Columns, made[0].PhotometricInterpretation
        (30, 40, 'RGB')
    """
    pictures = [_picture(page, number) for number, page in enumerate(pages, start=1)]
    if not pictures:
        raise DerivedObjectError("there are no pages: give one picture at least")
    composite = Composite(recipe, source)
    with contained():
        if multi_frame:
            return [_stacked(composite, pictures, shows_identity=shows_identity)]
        made = []
        for number, picture in enumerate(pictures, start=1):
            dataset = _start(composite, SecondaryCaptureImageStorage, number, shows_identity=shows_identity)
            _write_picture(dataset, picture)
            made.append(dataset)
    return made


def _start(composite: Composite, sop_class_uid: str, number: int, *, shows_identity: bool) -> FileDataset:
    source = composite.source
    modality = source.modality if isinstance(source, SourceSeries) else ""
    dataset = composite.new(sop_class_uid, modality or "OT", number)
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"
    dataset.PatientOrientation = None
    dataset.BurnedInAnnotation = "YES" if shows_identity else "NO"
    write_laterality(dataset)
    composite.write_derivation(dataset)
    write_sources(dataset, source)
    return dataset


def _stacked(composite: Composite, pictures: list[NDArray[Any]], *, shows_identity: bool) -> FileDataset:
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1:
        raise DerivedObjectError(f"the pages of one instance have one size and kind, these have {sorted(shapes)}")
    color = pictures[0].ndim == _COLOR_AXES
    sop_class = (
        MultiFrameTrueColorSecondaryCaptureImageStorage
        if color
        else MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    )
    dataset = _start(composite, sop_class, 1, shows_identity=shows_identity)
    dataset.NumberOfFrames = len(pictures)
    if len(pictures) > 1:
        dataset.FrameIncrementPointer = tag_for_keyword("PageNumberVector")
        dataset.PageNumberVector = list(range(1, len(pictures) + 1))
    if not color:
        dataset.PresentationLUTShape = "IDENTITY"
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "US"
    _write_picture(dataset, np.stack(pictures), color=color)
    return dataset


def _write_picture(dataset: FileDataset, pixels: NDArray[Any], *, color: bool | None = None) -> None:
    """Writes (rows, columns[, 3]) or (frames, rows, columns[, 3])."""
    is_color = pixels.ndim == _COLOR_AXES if color is None else color
    write_pixels(dataset, pixels, color=is_color)


def _picture(page: Picture, number: int) -> NDArray[Any]:
    array = _decoded(page, number) if isinstance(page, bytes | Path | str) else np.asarray(page)
    channels = array.shape[2] if array.ndim == _COLOR_AXES else 1
    if array.dtype != np.uint8 or array.ndim not in {2, 3} or channels not in {1, 3, 4} or 0 in array.shape:
        raise DerivedObjectError(
            f"page {number} is an array of {array.dtype} and shape {array.shape}: give uint8, (rows, columns) or "
            "(rows, columns, 3 or 4)"
        )
    if channels == 4:  # noqa: PLR2004 red, green, blue, opacity
        opacity = array[..., 3:].astype(np.uint16)
        array = ((array[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
    return array[..., 0] if array.ndim == _COLOR_AXES and array.shape[2] == 1 else array


def _decoded(page: bytes | Path | str, number: int) -> NDArray[Any]:
    try:
        pillow = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ConfigurationError("PNG pages need Pillow, which is not installed: pip install pillow") from error
    try:
        with pillow.open(io.BytesIO(page) if isinstance(page, bytes) else page) as image:
            if image.mode.startswith("I"):  # the picture has 16 bits: keeps the upper 8
                return (np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
            if image.mode == "F":
                raise DerivedObjectError(f"page {number} holds fractions: give a picture of 8 or 16 bits")
            gray = image.mode in {"1", "L"}
            return np.asarray(image.convert("L" if gray else "RGBA"))
    except OSError as error:
        raise DerivedObjectError(f"page {number} is not a PNG, or cannot be read: check how it was made") from error
