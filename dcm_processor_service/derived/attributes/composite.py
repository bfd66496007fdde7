"""Writes the attributes that every derived object has: identity, series, equipment, derivation, dates, UIDs.

PS3.3, sections C.7.1.1 (patient), C.7.2.1 (study), C.7.3.1 (series), C.7.5.1 (equipment), C.12.1 (SOP common),
C.12.2 (common instance reference). The equipment of a derived object is the service that made it; the scanner stays
visible as contributing equipment. Acquisition attributes and private groups are never copied along.
"""

from __future__ import annotations

import logging
import zlib
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING

from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dcm_processor_service.derived.attributes.identity import (
    copy_attributes,
    flaws_of_source,
    time_zone,
    write_identity,
)
from dcm_processor_service.derived.attributes.uids import UidPlan, keyed_uid
from dcm_processor_service.derived.source import Source, SourceSeries
from dcm_processor_service.derived.terminology.codes import code_item, find_code
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.values import integer, items, text
from dcm_processor_service.models.derived import Code

if TYPE_CHECKING:
    from datetime import datetime

    from pydicom.dataelem import DataElement

    from dcm_processor_service.models.derived import Recipe

__all__ = ["IMPLEMENTATION_CLASS_UID", "IMPLEMENTATION_VERSION_NAME", "Composite"]

_LOG = logging.getLogger(__name__)

IMPLEMENTATION_CLASS_UID = keyed_uid("implementation class", "dcm-processor-service")
IMPLEMENTATION_VERSION_NAME = "DCMPROCSERVICE"

_LO, _ST = 64, 1024
_MOST_IS = 2**31 - 1
_LARGEST_BASE = 2_000_000
_ACQUISITION = Code("109101", "DCM", "Acquisition Equipment")
_PROCESSING = Code("109102", "DCM", "Processing Equipment")
_REPLACED = Code("replaced", "99DCMPROCESSOR", "Replaced instance")
_DOCUMENTS = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.")
_KINDS = (
    "", "image", "ct", "mr", "pt", "sc", "pages", "SEG", "map", "measurements", "text", "PDF", "RTSTRUCT", "overlay",
    "presentation",
)  # fmt: skip
_EQUIPMENT = ("Manufacturer", "InstitutionName", "StationName", "ManufacturerModelName", "SoftwareVersions")
_BODY = ("BodyPartExamined", "Laterality", "AnatomicalOrientationType")


@dataclass(frozen=True)
class Composite:
    """Makes the datasets of one derived series, with all attributes that its instances share."""

    recipe: Recipe
    source: Source

    def __post_init__(self) -> None:
        recipe = self.recipe
        role: object = recipe.role
        if not isinstance(role, str) or not role.strip():
            raise DerivedObjectError("the recipe has no role, and UIDs are keyed by it: give one, such as 'smoothed'")
        if not _is_whole(recipe.revision) or recipe.revision < 0:
            raise DerivedObjectError(
                "revision is a whole number, which counts corrected results from 1 and is 0 for the first one"
            )
        number = recipe.series_number
        if number is not None and not (_is_whole(number) and 0 <= number <= _MOST_IS):
            raise DerivedObjectError(f"series_number is a whole number from 0 to {_MOST_IS} (PS3.5, section 6.2)")
        if getattr(recipe.created, "tzinfo", None) is None:
            raise DerivedObjectError("the recipe's time of making has no time zone: use datetime.now(timezone.utc)")
        limits: dict[str, tuple[object, int]] = {
            "series_description": (recipe.series_description or recipe.role, _LO),
            "derivation": (recipe.derivation, _ST),
            "service_name": (recipe.producer.service_name, _LO),
            "version": (recipe.producer.version, _LO),
            "manufacturer": (recipe.producer.manufacturer, _LO),
        }
        for name, (value, limit) in limits.items():
            if not isinstance(value, str) or len(value) > limit or "\\" in value or not value.isprintable():
                raise DerivedObjectError(
                    f"{name} holds at most {limit} characters, without backslash and line breaks (PS3.5, section 6.2): "
                    "shorten it"
                )

    @cached_property
    def uids(self) -> UidPlan:
        """The UIDs of this series."""
        return self._plan(self.recipe)

    def _plan(self, recipe: Recipe) -> UidPlan:
        own = self.source.uids if isinstance(self.source, SourceSeries) else (self.source.study_instance_uid,)
        return UidPlan.of(recipe, own)

    @cached_property
    def series_number(self) -> int:
        """SeriesNumber (0020,0011): the recipe's, or the source's with three digits appended.

        For one role, the digits differ between any two kinds of object; they nearly always differ between services,
        jobs, roles and revisions, too.
        """
        recipe = self.recipe
        if recipe.series_number is not None:
            return recipe.series_number
        base = integer(self.source.first, "SeriesNumber") if isinstance(self.source, SourceSeries) else None
        usable = base if base is not None and 0 < base <= _LARGEST_BASE else 9
        what = (recipe.producer.service_name, recipe.producer.job_name, recipe.role, str(recipe.revision))
        kind = _KINDS.index(recipe.object_kind) if recipe.object_kind in _KINDS else 0
        return usable * 1000 + 100 + (zlib.crc32("\0".join(what).encode()) + kind * (900 // len(_KINDS))) % 900

    @cached_property
    def created(self) -> datetime:
        """The time of making in the time zone of the study; in local time where the study does not state one.

        TimezoneOffsetFromUTC (0008,0201) holds for all dates and times of an object, so all of them are in this zone.
        """
        zone = time_zone(self.source.first) if isinstance(self.source, SourceSeries) else None
        return self.recipe.created.astimezone(zone)

    @property
    def derivation(self) -> str:
        """DerivationDescription (0008,2111)."""
        producer = self.recipe.producer
        own = f"{self.recipe.role} by {producer.service_name} {producer.version}"
        return self.recipe.derivation or own[:_ST]

    def new(self, sop_class_uid: str, modality: str, number: int) -> FileDataset:
        """Makes a new instance with the shared attributes, its class, number and UIDs.

        Args:
            sop_class_uid: SOPClassUID (0008,0016).
            modality: Modality (0008,0060).
            number: InstanceNumber (0020,0013).
        """
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(self.uids.instance(number))
        dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)  # type: ignore[arg-type]  # no file yet
        dataset.SOPClassUID = meta.MediaStorageSOPClassUID
        dataset.InstanceNumber = number
        dataset.Modality = modality
        self.complete(dataset)
        self.write_replaced(dataset, number)
        dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        return dataset

    def complete(self, dataset: Dataset) -> None:
        """Writes the attributes that all instances of the series share; replaces values that another library wrote."""
        meta = dataset.file_meta
        meta.TransferSyntaxUID = meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
        meta.FileMetaInformationVersion = b"\0\1"
        meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
        meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
        dataset.SpecificCharacterSet = "ISO_IR 192"
        for element in self._shared:
            dataset[element.tag] = copy(element)  # assigning to an attribute changes the element in place
        self._write_dates(dataset)

    @cached_property
    def _shared(self) -> tuple[DataElement, ...]:
        shared = Dataset()
        write_identity(shared, self.source)
        for flaw in flaws_of_source(self.source) if isinstance(self.source, SourceSeries) else ():
            _LOG.warning("a flaw of the source: %s", flaw)
        if isinstance(self.source, SourceSeries):
            copy_attributes(self.source.first, shared, _BODY)
            if not text(shared, "Laterality"):
                shared.pop("Laterality", None)
        shared.SeriesInstanceUID = self.uids.series()
        shared.SeriesNumber = self.series_number
        shared.SeriesDescription = self.recipe.series_description or self.recipe.role[:_LO]
        producer = self.recipe.producer
        shared.Manufacturer = producer.manufacturer
        shared.ManufacturerModelName = producer.service_name
        shared.DeviceSerialNumber = producer.device_serial_number
        shared.SoftwareVersions = producer.version
        shared.ContributingEquipmentSequence = self._equipment()
        return tuple(shared)

    def _equipment(self) -> list[Dataset]:
        found: list[Dataset] = []
        if isinstance(self.source, SourceSeries):
            carried = Dataset()
            copy_attributes(self.source.first, carried, ("ContributingEquipmentSequence",))
            found.extend(items(carried, "ContributingEquipmentSequence"))
            scanner = Dataset()
            copy_attributes(self.source.first, scanner, _EQUIPMENT)
            if text(scanner, "Manufacturer"):
                scanner.PurposeOfReferenceCodeSequence = [code_item(_ACQUISITION)]
                found.append(scanner)
        service = Dataset()
        producer = self.recipe.producer
        service.PurposeOfReferenceCodeSequence = [code_item(_PROCESSING)]
        service.Manufacturer = producer.manufacturer
        service.ManufacturerModelName = producer.service_name
        service.SoftwareVersions = producer.version
        service.ContributionDateTime = self.created.strftime("%Y%m%d%H%M%S.%f%z")
        service.ContributionDescription = self.derivation
        return [*found, service]

    def write_replaced(self, dataset: Dataset, number: int) -> None:
        """Writes a reference from a corrected instance to the one that it replaces, of the previous revision.

        Reports and documents have PredecessorDocumentsSequence for this (PS3.3, sections C.17.2 and C.24.2); images
        have ReferencedInstanceSequence (General Reference, C.12.4).
        """
        if not self.recipe.revision:
            return
        before = self._plan(replace(self.recipe, revision=self.recipe.revision - 1))
        item = Dataset()
        item.ReferencedSOPClassUID = dataset.SOPClassUID
        item.ReferencedSOPInstanceUID = before.instance(number)
        if not str(dataset.SOPClassUID).startswith(_DOCUMENTS):
            item.PurposeOfReferenceCodeSequence = [code_item(_REPLACED)]
            dataset.ReferencedInstanceSequence = [item]
            return
        series, study = Dataset(), Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = before.series(), [item]
        study.StudyInstanceUID, study.ReferencedSeriesSequence = dataset.StudyInstanceUID, [series]
        dataset.PredecessorDocumentsSequence = [study]

    def _write_dates(self, dataset: Dataset) -> None:
        date, time = self.created.strftime("%Y%m%d"), self.created.strftime("%H%M%S.%f")
        dataset.SeriesDate = dataset.ContentDate = dataset.InstanceCreationDate = date
        dataset.SeriesTime = dataset.ContentTime = dataset.InstanceCreationTime = time

    def write_derivation(self, dataset: Dataset) -> None:
        """Writes DerivationDescription and, where the recipe has one, DerivationCodeSequence (PS3.3, C.7.6.1.1.3)."""
        dataset.DerivationDescription = self.derivation
        if self.recipe.derivation_code is not None:
            dataset.DerivationCodeSequence = [code_item(find_code(self.recipe.derivation_code, (7203,)))]


def _is_whole(number: object) -> bool:
    """Returns whether a value is an integer of Python, of NumPy or of a header, and not a boolean."""
    return isinstance(number, Integral) and not isinstance(number, bool)
