"""Makes one multi-frame Secondary Capture of all slices of a volume, with the geometry in functional groups.

PS3.3, sections A.8.3 to A.8.5 and C.8.6.3. These classes store unsigned integers, and the standard fixes their rescale
to slope 1 and intercept 0. Other values are refused, never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage as GrayscaleByte
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage as GrayscaleWord

from dcm_processor_service.derived.attributes.modality import write_laterality
from dcm_processor_service.derived.attributes.pixels import ds, write_pixels
from dcm_processor_service.derived.attributes.references import source_images, write_sources
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError

if TYPE_CHECKING:
    from dcm_processor_service.derived.attributes.composite import Composite
    from dcm_processor_service.derived.attributes.modality import ImageClass
    from dcm_processor_service.derived.attributes.pixels import StoredPixels
    from dcm_processor_service.derived.placement import Placement

__all__ = ["make_multi_frame"]


def make_multi_frame(
    composite: Composite, placement: Placement, pixels: StoredPixels, image_class: ImageClass, frame_of_reference: str
) -> FileDataset:
    """Makes one instance that holds every slice of every volume as a frame, volume by volume.

    Raises:
        DerivedObjectError: The class has no multi-frame form, or the values are not unsigned integers of 16 bits.
    """
    if image_class != "sc":
        raise DerivedObjectError(
            f"a {image_class.upper()} image is made as one instance per slice: leave multi_frame out, or say kind='sc'"
        )
    if pixels.mapping.slope != 1 or pixels.mapping.intercept != 0 or pixels.lowest < 0:
        raise DerivedObjectError(
            "a multi-frame Secondary Capture stores whole numbers from 0 to 65535 only (PS3.3, section C.8.6.3): leave "
            "multi_frame out, or make a parametric map"
        )
    stored = pixels.array if pixels.array.dtype == np.uint8 else pixels.array.astype(np.uint16)
    modality = composite.source.modality if isinstance(composite.source, SourceSeries) else "OT"
    dataset = composite.new(GrayscaleByte if stored.dtype == np.uint8 else GrayscaleWord, modality or "OT", 1)
    composite.write_derivation(dataset)
    write_sources(dataset, composite.source)
    _write_image(dataset, pixels)
    write_laterality(dataset)
    dataset.FrameOfReferenceUID = frame_of_reference
    dataset.PositionReferenceIndicator = None
    _write_groups(dataset, composite, placement)
    frames = stored.transpose(3, 2, 1, 0).reshape(-1, stored.shape[1], stored.shape[0])
    dataset.NumberOfFrames = len(frames)
    write_pixels(dataset, frames)
    return dataset


def _write_image(dataset: Dataset, pixels: StoredPixels) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"
    dataset.BurnedInAnnotation = "NO"
    dataset.PatientOrientation = None
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "US"
    dataset.WindowCenter = ds((pixels.lowest + pixels.highest + 1) / 2)
    dataset.WindowWidth = ds(pixels.highest - pixels.lowest + 1)


def _write_groups(dataset: FileDataset, composite: Composite, placement: Placement) -> None:
    """Writes pixel measures, plane orientation and position, frame content and derivation image (PS3.3, C.7.6.16.2)."""
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [ds(distance) for distance in placement.pixel_spacing]
    measures.SliceThickness = ds(placement.step_mm)
    if placement.has_one_step:
        measures.SpacingBetweenSlices = ds(placement.step_mm)
    orientation.ImageOrientationPatient = [ds(cosine) for cosine in placement.orientation]
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    slices, volumes = placement.array.shape[2:]
    dataset.PerFrameFunctionalGroupsSequence = [
        _frame_groups(composite, placement, index, volume) for volume in range(volumes) for index in range(slices)
    ]
    if slices * volumes > 1:
        dataset.FrameIncrementPointer = tag_for_keyword("PerFrameFunctionalGroupsSequence")
    _write_dimensions(dataset, composite, has_volumes=volumes > 1)


def _frame_groups(composite: Composite, placement: Placement, index: int, volume: int) -> Dataset:
    position, content, groups = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [ds(coordinate) for coordinate in placement.origins[index]]
    content.StackID = "1"
    content.InStackPositionNumber = index + 1
    content.TemporalPositionIndex = volume + 1
    content.DimensionIndexValues = [volume + 1, index + 1] if placement.array.shape[3] > 1 else [index + 1]
    groups.PlanePositionSequence = [position]
    groups.FrameContentSequence = [content]
    if isinstance(composite.source, SourceSeries) and placement.slices is not None:
        derivation = Dataset()
        composite.write_derivation(derivation)
        derivation.SourceImageSequence = source_images(placement.slices[index])
        groups.DerivationImageSequence = [derivation]
    return groups


def _write_dimensions(dataset: FileDataset, composite: Composite, *, has_volumes: bool) -> None:
    organization = Dataset()
    organization.DimensionOrganizationUID = composite.uids.other("dimension organization")
    dataset.DimensionOrganizationSequence = [organization]
    keywords = ["TemporalPositionIndex", "InStackPositionNumber"] if has_volumes else ["InStackPositionNumber"]
    dataset.DimensionIndexSequence = []
    for keyword in keywords:
        item = Dataset()
        item.DimensionOrganizationUID = organization.DimensionOrganizationUID
        item.DimensionIndexPointer = tag_for_keyword(keyword)
        item.FunctionalGroupPointer = tag_for_keyword("FrameContentSequence")
        dataset.DimensionIndexSequence.append(item)
