"""Functions shared by the makers of segmentations, parametric maps and measurement reports, which call highdicom.

highdicom is an extra. It gets *shells* instead of the source's headers: datasets with the UIDs and classes of instances
and the geometry that the inspection found, in the form that highdicom reads. They have no patient attributes, since
highdicom's warnings may quote these. Patient, study, equipment and dates are written afterwards, as for every other
object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import UID

from dcm_processor_service.derived.attributes.modality import slice_thickness
from dcm_processor_service.derived.attributes.pixels import ds
from dcm_processor_service.derived.objects.shells import Shells, is_unknown
from dcm_processor_service.derived.one_volume import place_one_volume
from dcm_processor_service.derived.source import Source, SourceSeries, frames_of_header
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.capabilities import load_extra
from dcm_processor_service.imaging.headers.instance_file import contained
from dcm_processor_service.imaging.headers.values import items, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.attributes.composite import Composite
    from dcm_processor_service.derived.inputs import PlacedArray
    from dcm_processor_service.derived.placement import Placement
    from dcm_processor_service.imaging.frames.frame import FrameInfo
    from dcm_processor_service.models.derived import Code

__all__ = [
    "Planes",
    "code_of",
    "equipment",
    "finish",
    "load_highdicom",
    "planes_of",
    "released",
    "require_series",
    "shell",
]

_SAME_COSINE = 1e-3
_FAR_AWAY = (1e9, 1e9, 1e9)  # mm


def load_highdicom(name: str = "highdicom") -> Any:
    """Returns highdicom, or a module of it.

    Raises:
        ConfigurationError: highdicom is not installed.
    """
    return load_extra(name, "highdicom")


def require_series(source: Source, what: str) -> SourceSeries:
    """Returns the source if it is a series of images, to which such an object must refer.

    Raises:
        DerivedObjectError: The source is only an identity, without images.
    """
    if isinstance(source, SourceSeries):
        return source
    raise DerivedObjectError(f"a {what} refers to the images that it is about: give their series as source")


def code_of(code: Code) -> PydicomCode:
    """Converts a code to the type that highdicom expects."""
    return PydicomCode(code.value, code.scheme, code.meaning)


def shell(header: Dataset) -> Dataset:
    """Returns the shell of an instance: the attributes that identify it, without patient attributes and geometry."""
    return Shells().of(header)


def _restore_classes(dataset: Dataset, classes: Mapping[str, str]) -> None:
    """Writes the true SOP classes of instances, by SOPInstanceUID, over the placeholders that highdicom was given."""
    for element in dataset:
        for each in element.value if element.VR == "SQ" else ():
            found = classes.get(text(each, "ReferencedSOPInstanceUID"))
            if found is not None:
                each.ReferencedSOPClassUID = found
            _restore_classes(each, classes)


def equipment(composite: Composite) -> dict[str, Any]:
    """Returns the constructor arguments that every highdicom object takes."""
    producer = composite.recipe.producer
    return {
        "series_instance_uid": composite.uids.series(),
        "series_number": max(1, composite.series_number),
        "sop_instance_uid": composite.uids.instance(1),
        "instance_number": 1,
        "manufacturer": producer.manufacturer,
        "manufacturer_model_name": producer.service_name,
        "software_versions": producer.version,
        "device_serial_number": producer.device_serial_number,
    }


def finish(dataset: Dataset, composite: Composite) -> None:
    """Writes the attributes that all objects of this package have, and UIDs that stay the same on every run."""
    composite.complete(dataset)
    source = composite.source
    every = (*source.headers, *source.further) if isinstance(source, SourceSeries) else ()
    unknown = {text(each, "SOPInstanceUID"): text(each, "SOPClassUID") for each in every if is_unknown(each)}
    if unknown:
        _restore_classes(dataset, unknown)
    composite.write_replaced(dataset, 1)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(composite.uids.instance(1))
    dimensions: dict[str, str] = {}
    for sequence in ("DimensionOrganizationSequence", "DimensionIndexSequence"):  # frames do not refer to these UIDs
        for item in items(dataset, sequence):
            own = composite.uids.other(f"dimensions {len(dimensions)}")
            item.DimensionOrganizationUID = dimensions.setdefault(text(item, "DimensionOrganizationUID"), own)


def released(made: Dataset) -> Dataset:
    """Returns highdicom's object as a plain dataset, and closes the sqlite connection that highdicom leaves open."""
    plain = Dataset()
    plain.update(made)
    plain.file_meta = made.file_meta
    connection = getattr(made, "_db_con", None)
    if connection is not None:
        connection.close()
    return plain


class Planes:
    """The planes of masks or maps, with their positions and source images in the form that highdicom expects.

    Raises:
        DerivedObjectError: No image of the source is in the frame of reference of the voxels.
    """

    def __init__(self, placement: Placement, source: SourceSeries, composite: Composite) -> None:
        self.placement = placement
        self.source = source
        known = placement.frame_of_reference_uid or source.frame_of_reference_uid
        unknown = "" if placement.is_projection else composite.uids.frame_of_reference()
        self._frame_of_reference_uid = known or unknown
        self._thickness = slice_thickness(source, placement.step_mm, on_source_grid=placement.on_source_grid)
        self._made_shells = Shells()
        self._geometries: dict[tuple[object, ...], Dataset] = {}
        used = self._frames_in_space(source)
        if not used:
            raise DerivedObjectError(
                "no image of the source is known to lie in the frame of reference of the voxels: give the series that "
                "they were computed from as the source, or register them and give affine_lps"
            )
        first, slices = used[0], placement.slices
        is_multi_frame = "NumberOfFrames" in first.instance.header
        same = [frame for frame in used if _is_alike(frame, first)]
        if is_multi_frame:  # highdicom takes only one multi-frame instance
            same = [frame for frame in same if frame.instance is first.instance]
        chosen = {id(frame.instance) for frame in same}
        self.images = self._shells(same, first.orientation if slices is None else placement.orientation)
        self.further = self._shells([frame for frame in used if id(frame.instance) not in chosen])
        self.further += self._further_shells(source)
        is_whole = placement.array.shape[1::-1] == (first.pixel_format.rows, first.pixel_format.columns)
        has_one_each = slices is not None and all(len(frames) == 1 for frames in slices)
        self._is_explicit = not placement.is_projection and (is_multi_frame or not (is_whole and has_one_each))

    def _frames_in_space(self, source: SourceSeries) -> list[FrameInfo]:
        """Lists the source frames on the planes of the voxels; if there are none, all source frames with geometry.

        Frames in another frame of reference than the voxels are left out.
        """
        slices = self.placement.slices
        if slices is None:
            candidates = [frame for frame in source.frames if frame.has_geometry]
        else:
            candidates = [frame for frames in slices for frame in frames]
        known = {"", self._frame_of_reference_uid}
        return [frame for frame in candidates if text(frame.instance.header, "FrameOfReferenceUID") in known]

    def _further_shells(self, source: SourceSeries) -> list[Dataset]:
        """Lists the further instances of the study that have geometry, each in its own frame of reference."""
        study = text(source.first, "StudyInstanceUID")
        found = []
        for header in source.further:
            frames = [frame for frame in frames_of_header(header) if frame.has_geometry]
            if frames and text(header, "StudyInstanceUID") == study:
                found += self._shells(frames)
                own = text(header, "FrameOfReferenceUID")
                found[-1]["FrameOfReferenceUID"] = DataElement("FrameOfReferenceUID", "UI", own)
        return found

    def _shells(self, frames: Sequence[FrameInfo], orientation: tuple[float, ...] | None = None) -> list[Dataset]:
        by_instance: dict[int, list[FrameInfo]] = {}
        for frame in frames:
            by_instance.setdefault(id(frame.instance), []).append(frame)
        with contained():  # entered once, and not for each instance
            return [self._placed_shell(each, orientation or each[0].orientation or ()) for each in by_instance.values()]

    def _placed_shell(self, frames: Sequence[FrameInfo], orientation: tuple[float, ...]) -> Dataset:
        """Returns an instance's shell with the geometry of the given frames; its other frames are placed far away."""
        header = frames[0].instance.header
        assert isinstance(header, Dataset)  # the header of a source always is one
        made = self._made_shells.of(header)
        if self.placement.is_projection:
            for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
                made.pop(keyword, None)
            return made
        top_level = self._geometry(frames[0].pixel_spacing or (), orientation)
        if "NumberOfFrames" in made:
            self._write_groups(made, top_level, {frame.number: frame.position or () for frame in frames})
        made.update(top_level)
        made.update(_position(frames[0].position or ()))
        return made

    def _geometry(self, spacing: Sequence[float], orientation: Sequence[float]) -> Dataset:
        """Returns the geometry attributes that slices share; equal ones are made only once."""
        key = (*spacing, None, *orientation)
        if key not in self._geometries:
            made = Dataset()
            made.FrameOfReferenceUID = self._frame_of_reference_uid
            made.PixelSpacing = [ds(distance) for distance in spacing]
            made.SliceThickness = self._thickness
            if self.placement.has_one_step:  # also for a single slice, for which highdicom would write 1 mm
                made.SpacingBetweenSlices = ds(self.placement.step_mm)
            made.ImageOrientationPatient = [ds(cosine) for cosine in orientation]
            self._geometries[key] = made
        return self._geometries[key]

    @staticmethod
    def _write_groups(made: Dataset, geometry: Dataset, places: Mapping[int, Sequence[float]]) -> None:
        measures, plane, shared = Dataset(), Dataset(), Dataset()
        for element in geometry:
            if element.keyword in {"PixelSpacing", "SliceThickness", "SpacingBetweenSlices"}:
                measures[element.tag] = element
        plane["ImageOrientationPatient"] = geometry["ImageOrientationPatient"]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
        made.SharedFunctionalGroupsSequence = [shared]
        made["NumberOfFrames"] = DataElement("NumberOfFrames", "IS", max(places))
        made.PerFrameFunctionalGroupsSequence = []
        for number in range(1, max(places) + 1):
            groups = Dataset()
            groups.PlanePositionSequence = [_position(places.get(number, _FAR_AWAY))]
            made.PerFrameFunctionalGroupsSequence.append(groups)

    @staticmethod
    def frames(array: NDArray[Any]) -> NDArray[Any]:
        """Reorders axes from (columns, rows, slices, …) to (slices, rows, columns, …)."""
        return np.ascontiguousarray(np.moveaxis(array, (2, 1, 0), (0, 1, 2)))

    def arguments(self, highdicom: Any) -> dict[str, Any]:
        """Returns the constructor arguments for the planes' geometry; empty if the planes are those of the images."""
        if not self._is_explicit:
            return {}
        placement = self.placement
        between = placement.step_mm if placement.has_one_step else None
        return {
            "pixel_measures": highdicom.PixelMeasuresSequence(placement.pixel_spacing, float(self._thickness), between),
            "plane_orientation": highdicom.PlaneOrientationSequence("PATIENT", placement.orientation),
            "plane_positions": [
                highdicom.PlanePositionSequence("PATIENT", [float(part) for part in origin])
                for origin in placement.origins
            ],
        }


def _is_alike(frame: FrameInfo, other: FrameInfo) -> bool:
    """Returns whether two frames have one size and, except for rounding, one orientation, as highdicom requires."""
    if frame.orientation == other.orientation:
        is_parallel = True
    else:
        is_parallel = np.allclose(frame.orientation or (), other.orientation or (), atol=_SAME_COSINE)
    sizes = {(each.pixel_format.rows, each.pixel_format.columns) for each in (frame, other)}
    return len(sizes) == 1 and is_parallel


def _position(coordinates: Sequence[float]) -> Dataset:
    item = Dataset()
    item.ImagePositionPatient = [ds(coordinate) for coordinate in coordinates]
    return item


def planes_of(voxels: PlacedArray, source: SourceSeries, composite: Composite) -> Planes:
    """Places an array of three axes; raises the errors of :func:`.one_volume.place_one_volume` and :class:`Planes`."""
    return Planes(place_one_volume(voxels, source), source, composite)
