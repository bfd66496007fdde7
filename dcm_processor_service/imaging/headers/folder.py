"""Walks folders and reads their DICOM files. All code that reads folders uses this module.

Files and folders are read in the order of their names. Links to files are followed; links to folders are not, so that a
walk never goes in a circle or leaves its folder. Hidden files and folders are left out, unless the caller names them.
Each file that is not used is reported with the reason.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.uid import (
    ColorPaletteStorage,
    CTDefinedProcedureProtocolStorage,
    GenericImplantTemplateStorage,
    HangingProtocolStorage,
    ImplantAssemblyTemplateStorage,
    ImplantTemplateGroupStorage,
    InventoryStorage,
    XADefinedProcedureProtocolStorage,
)

from dcm_processor_service.errors import UnreadableFileError
from dcm_processor_service.imaging.headers.fast_scan import LONG_VALUE_BYTES, scan_instance
from dcm_processor_service.imaging.headers.instance_file import (
    contained,
    foreign_errors_as,
    not_opened,
    open_regular,
    read_header,
    unreadable,
)
from dcm_processor_service.imaging.headers.repeats import is_same_instance
from dcm_processor_service.imaging.headers.values import ScannedHeader, text, texts
from dcm_processor_service.models.files import DUPLICATE, NO_UIDS, LeftOutFile
from dcm_processor_service.models.images.nifti import Glance
from dcm_processor_service.models.subjects import patient_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.imaging.headers.values import Header

__all__ = [
    "DicomFolders",
    "dicomdir_files",
    "file_attributes",
    "files_below",
    "files_in",
    "glance",
    "text_attributes",
]

_HIDDEN = "hidden, its name begins with a dot: name it to use it"
_FOLDER_LINK = "a link to a folder, which is not followed: name that folder to use it"
_IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
# the attributes that identify patient, study and series, and their character set
_WHOSE = ("SpecificCharacterSet", *_IDENTITY, *_UIDS[:2])
_NO_DIRECTORY = "damaged, cut off, or not a DICOMDIR: get it again"
_RECORDS = "DirectoryRecordSequence"
_IN_USE = 0xFFFF
# a new file is compared with at most so many files of the same UID; callers refuse instances that differ
_MOST_COMPARED = 4
# the classes of instances that belong to no patient, and so to no study and series (PS3.4, section GG.3)
_OF_NO_PATIENT = frozenset(
    {
        ColorPaletteStorage,
        CTDefinedProcedureProtocolStorage,
        GenericImplantTemplateStorage,
        HangingProtocolStorage,
        ImplantAssemblyTemplateStorage,
        ImplantTemplateGroupStorage,
        InventoryStorage,
        XADefinedProcedureProtocolStorage,
    }
)


def files_below(root: Path, without: Path | None = None) -> Iterator[Path | LeftOutFile]:
    """Lists the files of a folder at any depth, in order, and those that are left out.

    No file is opened, so the list may contain pipes and files that are not DICOM.

    Args:
        root: A folder. A path that is not a folder is the only entry of the list, whatever its name, even if it does
            not exist.
        without: A folder below ``root`` that is skipped without a report.
    """
    own = None if without is None else without.resolve()
    pending: list[tuple[Path | LeftOutFile, bool]] = [(root, os.path.isdir(root))]  # noqa: PTH112  never raises
    while pending:
        found, is_folder = pending.pop()
        if isinstance(found, LeftOutFile) or not is_folder:
            yield found
        elif found is root or own is None or found.resolve() != own:
            pending += reversed(_entries(found))


def files_in(folder: Path) -> Iterator[Path | LeftOutFile]:
    """Lists the files of a folder as :func:`files_below` does, but not those in its subfolders."""
    return (found for found, is_folder in _entries(folder) if not is_folder)


def _entries(folder: Path) -> list[tuple[Path | LeftOutFile, bool]]:
    """Lists the entries of a folder, sorted by name; the flag is True for a subfolder that the walk has to enter."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
            return [_entry(folder / entry.name, entry) for entry in entries]
    except OSError as error:
        fault = not_opened(folder, error)
        return [(LeftOutFile.at(folder, fault.reason, faulty=fault.faulty), False)]


def _entry(path: Path, entry: os.DirEntry[str]) -> tuple[Path | LeftOutFile, bool]:
    if entry.name.startswith("."):
        return LeftOutFile.at(path, _HIDDEN), False
    if entry.is_symlink() and os.path.isdir(path):  # noqa: PTH112  never raises
        return LeftOutFile.at(path, _FOLDER_LINK), False
    return path, entry.is_dir(follow_symlinks=False)


def dicomdir_files(dicomdir: Path) -> list[Path | None]:
    """Returns the files that a DICOMDIR lists, in the order of its records (PS3.3, section F.3).

    A name that leads out of the DICOMDIR's folder becomes None.

    Raises:
        InvalidSeriesError: The file is not a DICOMDIR, is damaged or cut off, or cannot be opened.
    """
    files: list[Path | None] = []
    damaged = foreign_errors_as(lambda: unreadable(dicomdir, _NO_DIRECTORY))
    with open_regular(dicomdir) as file, damaged, contained():
        directory = dcmread(file)
        records: object = directory.get_item(_RECORDS) if _RECORDS in directory else None
        if records is None or (isinstance(records, RawDataElement) and len(records.value or b"") < records.length):
            raise unreadable(dicomdir, _NO_DIRECTORY)  # pydicom would return only the first records, without an error
        for record in directory[_RECORDS].value:
            names = record.get("ReferencedFileID")
            if not names or record.get("RecordInUseFlag", _IN_USE) != _IN_USE:
                continue
            parts = [names] if isinstance(names, str) else [str(name) for name in names]
            inside = not any(part in {"", ".", ".."} or "/" in part or os.sep in part for part in parts)
            files.append(dicomdir.parent.joinpath(*parts) if inside else None)
    return files


class DicomFolders:
    """Reads the DICOM instances of files and folders, each instance once.

    If different instances share a SOPInstanceUID by mistake, each of them is returned, and the caller refuses them.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], list[Path]] = {}

    def read(self, files: Iterable[Path | LeftOutFile]) -> Iterator[InstanceFile | LeftOutFile]:
        """Reads the headers of the files that :func:`files_below` lists, one after the other.

        It yields an instance for each file, with the elements that ``scan_instance`` keeps, or the reason why the file
        is left out.
        """
        for file in files:
            if isinstance(file, LeftOutFile):
                yield file
                continue
            try:
                instance = scan_instance(file, longest_value_bytes=LONG_VALUE_BYTES)
                self._check_identity(instance)
            except UnreadableFileError as error:
                yield LeftOutFile.at(file, error.reason, faulty=error.faulty)
            else:
                yield instance

    def _check_identity(self, instance: InstanceFile) -> None:
        """Refuses an instance that lacks UIDs or was read before."""
        attributes = text_attributes(instance.header, (*_IDENTITY, *_UIDS, "SOPClassUID"))
        of_no_patient = attributes.get("SOPClassUID") in _OF_NO_PATIENT
        if not all(uid in attributes for uid in (_UIDS[2:] if of_no_patient else _UIDS)):
            raise unreadable(instance.path, NO_UIDS)
        identity = (patient_uid(attributes), *(attributes.get(uid, "") for uid in _UIDS))
        known = self._seen.setdefault(identity, [])
        if any(is_same_instance(path, instance.path) for path in known):
            raise unreadable(instance.path, DUPLICATE, faulty=False)
        if len(known) < _MOST_COMPARED:
            known.append(instance.path)


def glance(path: Path) -> Glance:
    """Reads the attributes that identify a file; for ordinary images, this is much faster than reading the header.

    Raises:
        UnreadableFileError: As ``read_instance`` raises it.
    """
    found = scan_instance(path, longest_value_bytes=LONG_VALUE_BYTES)
    if isinstance(found.header, ScannedHeader):
        elements = found.header.elements
        belongs_to: tuple[object, ...] = tuple(elements[name].content if name in elements else b"" for name in _WHOSE)
    else:
        with contained():
            belongs_to = tuple(text(found.header, name) for name in _WHOSE)
    return Glance(found.sop_instance_uid, belongs_to, found.file_size_bytes)


def file_attributes(path: Path, keywords: Iterable[str]) -> dict[str, str]:
    """Reads some attributes of a file, in the form in which :func:`text_attributes` returns them.

    Raises:
        UnreadableFileError: The file is not a DICOM instance, is damaged, or cannot be opened.
    """
    return text_attributes(read_header(path), keywords)


def text_attributes(header: Header, keywords: Iterable[str]) -> dict[str, str]:
    """Returns some attributes as text, by keyword; several values are separated by a backslash.

    Attributes without a value, or with a malformed one, are left out.
    """
    with contained():
        found = {keyword: "\\".join(texts(header, keyword)).strip() for keyword in keywords}
    return {keyword: value for keyword, value in found.items() if value}
