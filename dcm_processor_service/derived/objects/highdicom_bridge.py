"""What segmentations, parametric maps and measurement reports share on their way through highdicom.

highdicom is an extra. It gets shells of the source's headers: what it needs of geometry and identity of instances, and
no patient attribute, since its warnings quote them. Patient, study, equipment and dates are written afterwards, as for
every other object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import UID

from dcm_processor_service.derived.attributes.identity import copy_attributes
from dcm_processor_service.derived.placement import place
from dcm_processor_service.derived.source import Source, SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.capabilities import load_extra
from dcm_processor_service.imaging.headers.values import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.derived.attributes.composite import Composite
    from dcm_processor_service.derived.placement import Placement
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
    "shells",
]

_GEOMETRY = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "Rows", "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence", "DimensionIndexSequence", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod", "BurnedInAnnotation", "SamplesPerPixel", "PhotometricInterpretation",
    "PositionReferenceIndicator", "InstanceNumber",
)  # fmt: skip
_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip


def load_highdicom(name: str = "highdicom") -> Any:
    """Gives highdicom, or a module of it.

    Raises:
        ConfigurationError: It is not installed.
    """
    return load_extra(name, "highdicom")


def require_series(source: Source, what: str) -> SourceSeries:
    """Gives the source as a series of images, which such an object always refers to.

    Raises:
        DerivedObjectError: The source is an identity alone.
    """
    if isinstance(source, SourceSeries):
        return source
    raise DerivedObjectError(f"a {what} refers to the images that it is about: give their series as source")


def code_of(code: Code) -> PydicomCode:
    """Gives a code as highdicom takes it."""
    return PydicomCode(code.value, code.scheme, code.meaning)


def shells(headers: Sequence[Dataset], frame_of_reference_uid: str) -> list[Dataset]:
    """Gives headers without patient attributes."""
    found = []
    for header in headers:
        shell = Dataset()
        copy_attributes(header, shell, _GEOMETRY)
        for keyword in _EMPTY:
            if keyword not in shell:
                setattr(shell, keyword, "")
        if not text(shell, "FrameOfReferenceUID"):
            shell.FrameOfReferenceUID = frame_of_reference_uid
        if text(shell, "StudyInstanceUID") == "":
            shell.StudyInstanceUID = "2.25.0"
        found.append(shell)
    return found


def equipment(composite: Composite) -> dict[str, Any]:
    """Gives the constructor arguments that every highdicom object takes."""
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
    """Writes what every object of this package shares, and UIDs that a retry repeats."""
    composite.complete(dataset)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(composite.uids.instance(1))
    dimensions: dict[str, str] = {}
    for element in dataset.iterall():
        if element.keyword == "DimensionOrganizationUID":
            own = composite.uids.other(f"dimensions {len(dimensions)}")
            element.value = dimensions.setdefault(str(element.value), own)


def released(made: Dataset) -> Dataset:
    """Gives highdicom's object as a plain dataset, and closes the index database in it, which nothing else closes."""
    plain = Dataset()
    plain.update(made)
    plain.file_meta = made.file_meta
    connection = getattr(made, "_db_con", None)
    if connection is not None:
        connection.close()
    return plain


class Planes:
    """Masks or maps on their planes, and how highdicom is told where these are."""

    def __init__(self, placement: Placement, source: SourceSeries, composite: Composite) -> None:
        self.placement = placement
        own = placement.slices if placement.array.shape[3] == 1 else None
        frame_of_reference = source.frame_of_reference_uid or composite.uids.frame_of_reference()
        self.order: NDArray[np.intp] = np.arange(placement.array.shape[2])
        self.explicit = True
        used = source.headers
        whole = placement.array.shape[1::-1] == self._size_of(source)
        if own is not None and whole and all(len(frames) == 1 for frames in own):
            frames = [each[0] for each in own]
            if all(frame.frame_number is None for frame in frames):
                used, self.explicit = tuple(frame.header for frame in frames), False
            elif len(source.headers) == 1 and len(frames) == len(source.frames):
                self.order = np.argsort([frame.frame_number or 0 for frame in frames])
                self.explicit = False
        self.images = shells(used if used[0].get("NumberOfFrames") is None else used[:1], frame_of_reference)
        chosen = {text(image, "SOPInstanceUID") for image in self.images}
        others = [each for each in (*source.headers, *source.further) if text(each, "SOPInstanceUID") not in chosen]
        self.further = shells(others, frame_of_reference)

    @staticmethod
    def _size_of(source: SourceSeries) -> tuple[int, int]:
        return int(source.first.get("Rows") or 0), int(source.first.get("Columns") or 0)

    def frames(self, array: NDArray[Any]) -> NDArray[Any]:
        """Gives (slices, rows, columns, …) from (columns, rows, slices, …), in the order of the source's frames."""
        return np.ascontiguousarray(np.moveaxis(array, (2, 1, 0), (0, 1, 2))[self.order])

    def arguments(self, highdicom: Any) -> dict[str, Any]:
        """Gives the constructor arguments that say where the planes are; none when they are the source's own."""
        if not self.explicit:
            return {}
        placement = self.placement
        thickness = placement.step_mm
        return {
            "pixel_measures": highdicom.PixelMeasuresSequence(placement.pixel_spacing, thickness, thickness),
            "plane_orientation": highdicom.PlaneOrientationSequence("PATIENT", placement.orientation),
            "plane_positions": [
                highdicom.PlanePositionSequence("PATIENT", [float(part) for part in origin])
                for origin in placement.origins
            ],
        }


def planes_of(
    array: NDArray[Any], source: SourceSeries, composite: Composite, affine_lps: NDArray[np.float64] | None
) -> Planes:
    """Places an array of three axes.

    Raises:
        DerivedObjectError: It has a fourth axis, or does not lie on planes (see :func:`.placement.place`).
    """
    if array.ndim > 3 and array.shape[3] != 1:  # noqa: PLR2004 columns, rows, slices
        raise DerivedObjectError(
            f"an array of shape {array.shape} has several volumes: make one object for each, with a role of its own"
        )
    return Planes(place(array, affine_lps, source.grid), source, composite)
