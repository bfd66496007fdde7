"""Makes an RT Structure Set from masks: outlines on the slices (PS3.3, sections A.19 and C.8.8.5 to C.8.8.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from dcm_processor_service.derived.attributes.composite import Composite
from dcm_processor_service.derived.attributes.pixels import ds
from dcm_processor_service.derived.attributes.references import instance_references, spread
from dcm_processor_service.derived.drawings.contours import drawn_on, outlines
from dcm_processor_service.derived.drawings.graphics import images_of
from dcm_processor_service.derived.drawings.named_masks import NamedMasks
from dcm_processor_service.derived.objects.segmentations.segment_names import ANATOMY, SegmentName
from dcm_processor_service.derived.objects.segmentations.segmentation import require_algorithm_type
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.derived.terminology.codes import code_item, find_code
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.geometry import slice_normal
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.pictures.colours import label_colour, rgb_of_lab
from dcm_processor_service.models.derived import StructureSetOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom import FileDataset

    from dcm_processor_service.derived.inputs import Voxels
    from dcm_processor_service.derived.objects.segmentations.segmentation import Segment
    from dcm_processor_service.derived.source import Source
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.models.derived import Code, Recipe

__all__ = ["structure_set"]

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # retired, but readers of structure sets expect it
_LONGEST_LABEL = 16
_MOST_CONTOURS = 200_000  # a hundred organs on hundreds of slices have some tens of thousands
_DECIMALS = 5  # of a mm
_SAME_PLANE_MM = 1e-2
_SAME_DIRECTION = 1e-6


def structure_set(
    structures: Mapping[str, Segment | Voxels] | Voxels,
    source: Source,
    recipe: Recipe,
    labels: Mapping[int, Code | str] | str | None = None,
    options: StructureSetOptions | None = None,
) -> FileDataset:
    """Makes one RT Structure Set from masks, or from a label map and the names of its labels.

    Outlines lie on the slices of the masks, halfway between the voxels inside and outside. Holes become keyholes, as
    :mod:`.contours` explains. The file is written in Implicit VR, since outlines of dense masks are longer than the
    64 kB that Explicit VR allows for decimal strings (PS3.5, section 6.2.2).

    Args:
        structures: Masks by name on one grid, of booleans, 0 and 1, or fractions (a voxel of one half or more is
            inside); or a label map. An empty mask becomes a structure without outlines.
        source: The images that were segmented. Positions are in their frame of reference.
        recipe: Producer, role and time of making.
        labels: Name or code of each label; only for a label map.
        options: Algorithm and label.

    Raises:
        DerivedObjectError: A name has no code, a mask is not a mask or does not fit the source, the source has no place
            in space, or none of its images lies in the frame of reference of the masks, or the masks have too many
            outlines: more than 5,000 on a slice or 200,000 in all.
        UnsupportedValueError: The masks lie on different grids.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> from dcm_processor_service.models.derived import Producer, Recipe
        >>> ct = dcmread(get_testdata_file("CT_small.dcm"))
        >>> mask = ct.pixel_array.T > 1500
        >>> source = SourceSeries.from_headers([ct])
        >>> made = structure_set({"bone": mask}, source, Recipe(Producer("thresholds", "1.0"), role="bones"))
        >>> made.StructureSetROISequence[0].ROIName, made.ROIContourSequence[0].ContourSequence[0].ContourGeometricType
        ('bone', 'CLOSED_PLANAR')
    """
    options = options or StructureSetOptions()
    require_algorithm_type(options.algorithm_type)
    label = options.label or recipe.role[:_LONGEST_LABEL]
    if len(label) > _LONGEST_LABEL or "\\" in label or not label.isprintable():
        raise DerivedObjectError(f"label holds at most {_LONGEST_LABEL} characters without backslash: shorten it")
    if not isinstance(source, SourceSeries):
        raise DerivedObjectError("a structure set refers to the images that it is about: give their series as source")
    masks = NamedMasks.of(structures, labels, source)
    if masks.placement.is_projection:
        raise DerivedObjectError(
            "a structure set lies in space, and the source does not (projections, ultrasound): make a segmentation"
        )
    job = _Outlining(Composite(recipe, source), source, masks, options)
    with contained():
        return job.dataset(label)


@dataclass(frozen=True)
class _Outlining:
    composite: Composite
    source: SourceSeries
    masks: NamedMasks
    options: StructureSetOptions

    @property
    def frame_of_reference_uid(self) -> str:
        known = self.masks.placement.frame_of_reference_uid or self.source.frame_of_reference_uid
        return known or self.composite.uids.frame_of_reference()

    def dataset(self, label: str) -> FileDataset:
        made = self.composite.new(RTStructureSetStorage, "RTSTRUCT", 1)
        made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        for of_images in ("Laterality", "BodyPartExamined", "AnatomicalOrientationType"):
            made.pop(of_images, None)
        made.OperatorsName = None
        made.ApprovalStatus = "UNAPPROVED"
        made.FrameOfReferenceUID = self.frame_of_reference_uid
        made.PositionReferenceIndicator = None
        made.StructureSetLabel = label
        made.StructureSetDescription = self.composite.derivation
        made.StructureSetDate, made.StructureSetTime = made.ContentDate, made.ContentTime
        del made.ContentDate, made.ContentTime
        made.ReferencedFrameOfReferenceSequence = self._references()
        names = [
            SegmentName.of(name, each.code, each.category, each.color_lab, each.color_rgb)
            for name, each in self.masks.said.items()
        ]
        volumes = self.masks.volumes_ml()
        made.StructureSetROISequence = [
            self._roi(n, *each) for n, each in enumerate(zip(names, volumes, strict=True), 1)
        ]
        made.ROIContourSequence = self._outlined(names)
        made.RTROIObservationsSequence = [_observed(number, name) for number, name in enumerate(names, start=1)]
        return made

    def _references(self) -> list[Dataset]:
        """Returns the references to images by frame of reference, study and series (PS3.3, section C.8.8.5)."""
        own = self.frame_of_reference_uid
        grouped: dict[str, dict[str, dict[str, list[Dataset]]]] = {own: {}}
        for header in (*self.source.headers, *self.source.further):
            if "Rows" not in header:
                continue
            studies = grouped.setdefault(text(header, "FrameOfReferenceUID") or own, {})
            series = studies.setdefault(text(header, "StudyInstanceUID"), {})
            series.setdefault(text(header, "SeriesInstanceUID"), []).append(header)
        if not grouped[own]:
            raise DerivedObjectError(
                "no image of the source lies in the frame of reference of the masks: give the series that they were "
                "computed from as the source, or register them and give bare arrays on the source's grid"
            )
        found = []
        for uid, studies in grouped.items():
            frame = Dataset()
            frame.FrameOfReferenceUID = uid
            frame.RTReferencedStudySequence = [_study(study, series) for study, series in studies.items()]
            found.append(frame)
        return found

    def _roi(self, number: int, name: SegmentName, volume_ml: float) -> Dataset:
        producer = self.composite.recipe.producer
        item = Dataset()
        item.ROINumber = number
        item.ReferencedFrameOfReferenceUID = self.frame_of_reference_uid
        item.ROIName = name.label[:64]
        item.ROIVolume = ds(volume_ml)  # in cubic centimetres (PS3.3, section C.8.8.5)
        item.ROIGenerationAlgorithm = self.options.algorithm_type
        if self.options.algorithm_type != "MANUAL":
            algorithm = Dataset()
            algorithm.AlgorithmFamilyCodeSequence = [code_item(find_code(self.options.algorithm_family, (7162,)))]
            algorithm.AlgorithmName = self.options.algorithm_name or producer.service_name
            algorithm.AlgorithmVersion = producer.version
            algorithm.AlgorithmSource = producer.manufacturer
            item.ROIDerivationAlgorithmIdentificationSequence = [algorithm]
        return item

    def _outlined(self, names: Sequence[SegmentName]) -> list[Dataset]:
        contours: list[list[Dataset]] = [[] for _ in names]
        planes = _FramesOnPlanes(self.source, self.frame_of_reference_uid)
        placement = self.masks.placement
        along = placement.affine_lps[:3, :2]
        for index, origin in enumerate(placement.origins):
            images: list[Dataset] | None = None
            for number, lines in drawn_on(self.masks, index, outlines):
                if images is None:
                    frames = placement.slices[index] if placement.slices else planes.on(origin, placement.orientation)
                    images = images_of(spread(frames))
                contours[number] += [_contour(line @ along.T + origin, images) for line in lines]
            if sum(map(len, contours)) > _MOST_CONTOURS:
                raise DerivedObjectError(
                    f"the masks have more than {_MOST_CONTOURS} outlines up to slice {index + 1}, too many to be "
                    "structures: smooth them, or make a segmentation, which holds any mask"
                )
        found = []
        for number, (name, own) in enumerate(zip(names, contours, strict=True), start=1):
            item = Dataset()
            item.ReferencedROINumber = number
            item.ROIDisplayColor = list(_colour(number, name))
            if own:
                item.ContourSequence = own
                for position, contour in enumerate(own, start=1):
                    contour.ContourNumber = position
            found.append(item)
        return found


class _FramesOnPlanes:
    """The frames of a source by the plane that they lie on."""

    def __init__(self, source: SourceSeries, frame_of_reference: str) -> None:
        known = {"", frame_of_reference}
        self._frames = [
            frame
            for frame in source.frames
            if frame.has_geometry and text(frame.instance.header, "FrameOfReferenceUID") in known
        ]
        self._normals = np.array([slice_normal(frame.orientation or ()) for frame in self._frames]).reshape(-1, 3)
        self._positions = np.array([frame.position for frame in self._frames], dtype=np.float64).reshape(-1, 3)

    def on(self, origin: NDArray[np.float64], orientation: Sequence[float]) -> list[FrameInfo]:
        """Lists the frames on the plane through a point."""
        aligned = np.abs(self._normals @ slice_normal(orientation)) > 1 - _SAME_DIRECTION
        near = np.abs(((self._positions - origin) * self._normals).sum(axis=1)) < _SAME_PLANE_MM
        return [self._frames[index] for index in np.flatnonzero(aligned & near)]


def _study(uid: str, by_series: Mapping[str, Sequence[Dataset]]) -> Dataset:
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = uid
    study.RTReferencedSeriesSequence = []
    for series_uid, headers in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ContourImageSequence = instance_references(headers)
        study.RTReferencedSeriesSequence.append(series)
    return study


def _contour(points: NDArray[np.float64], images: Sequence[Dataset]) -> Dataset:
    item = Dataset()
    if images:
        item.ContourImageSequence = images
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    item.ContourData = [_decimal(part) for part in points.ravel().tolist()]
    return item


def _decimal(value: float) -> str:
    written = f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return written if written != "-0" else "0"


def _colour(number: int, name: SegmentName) -> tuple[int, int, int]:
    if name.color_rgb is not None:
        return name.color_rgb
    return label_colour(number) if name.color_lab is None else rgb_of_lab(name.color_lab)


def _observed(number: int, name: SegmentName) -> Dataset:
    """Returns the observation of a structure: its category, code and side (PS3.3, section C.8.8.8)."""
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    coded = code_item(name.code)
    if name.side is not None:
        coded.SegmentedPropertyTypeModifierCodeSequence = [code_item(name.side)]
    item.RTROIIdentificationCodeSequence = [coded]
    item.SegmentedPropertyCategoryCodeSequence = [code_item(name.category)]
    item.RTROIInterpretedType = "ORGAN" if name.category == ANATOMY else None
    item.ROIInterpreter = None
    return item
