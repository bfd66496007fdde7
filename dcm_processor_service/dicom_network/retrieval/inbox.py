"""Receives instances from a peer: writes each unchanged to a file, checks it, and records it."""

from __future__ import annotations

import secrets
import struct
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from dcm_processor_service.dicom_network.soundness import UnsoundFileError, examine
from dcm_processor_service.disk import file_faults, open_new, private_folder
from dcm_processor_service.errors import LocalFileError, UnreadableFileError
from dcm_processor_service.imaging.headers.containment import contained
from dcm_processor_service.imaging.headers.fast_scan import LONG_VALUE_BYTES, scan_instance
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.models import FetchOutcome, FetchRecord
from dcm_processor_service.models.platform_ids import file_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from dcm_processor_service.dicom_network.retrieval.wanted import WantedSeries

__all__ = ["Arrival", "Inbox", "file_head"]

_INCOMING = ".incoming"
_UNLISTED = "the peer had not listed it"


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Encodes the preamble and the file meta information of a file (PS3.10, section 7.1)."""
    elements = b"".join(
        struct.pack("<HH2sH", 2, number, b"UI", len(value)) + value
        for number, uid in (
            (0x0002, sop_class_uid),
            (0x0003, sop_instance_uid),
            (0x0010, transfer_syntax_uid),
            (0x0012, PYDICOM_IMPLEMENTATION_UID),
        )
        if (value := uid.encode("ascii", "replace") + b"\0" * (len(uid) % 2))
    )
    version = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(version) + len(elements))
    return bytes(128) + b"DICM" + length + version + elements


class Arrival:
    """An instance that is being received, in a file under a temporary name until it was checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with file_faults(path, "written"):
            self._file = open_new(path, private=True)

    def write(self, piece: bytes) -> None:
        """Writes the next piece.

        Raises:
            LocalFileError: The file cannot be written.
        """
        with file_faults(self.path, "written", faults=(OSError,)):
            self._file.write(piece)

    def close(self) -> None:
        """Closes the file.

        Raises:
            LocalFileError: The file cannot be written.
        """
        try:
            with file_faults(self.path, "written", faults=(OSError,)):
                self._file.close()
        except LocalFileError:
            self.path.unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        """Closes and removes the incomplete file."""
        with suppress(OSError):  # the file is removed anyway
            self._file.close()
        self.path.unlink(missing_ok=True)


class Inbox:
    """Stores the instances that were asked for, records why it rejects others, and knows which are still missing.

    Several threads may use it.
    """

    def __init__(
        self, folder: Path, wanted: Iterable[WantedSeries], on_record: Callable[[FetchRecord], None] | None = None
    ) -> None:
        self._folder = folder
        self._wanted = {one.series_instance_uid: one for one in wanted}
        self._on_record = on_record
        self._lock = threading.Lock()
        self._here: Counter[str] = Counter()
        self._patients: dict[str, str] = {}
        self._places: dict[str, Path] = {}
        self.records: dict[str, FetchRecord] = {}
        """The records of stored and of rejected instances, by SOPInstanceUID."""
        self.oddities: list[FetchRecord] = []
        """The records of rejected instances without a readable SOPInstanceUID, or with the UID of a stored instance."""
        self.problems: dict[str, tuple[str, bool]] = {}
        """For the UID of an instance or series that the peer did not send: the reason, and whether it is temporary."""
        self.asked_in: dict[str, str] = {}
        """For the UID of an instance that the peer could not send: the UID of the series for which it was asked."""

    def open(self) -> Arrival:
        """Begins to receive an instance.

        Raises:
            LocalFileError: The file cannot be made.
        """
        return Arrival(self._place(_INCOMING) / f"{secrets.token_hex(8)}.dcm")

    def take(self, arrival: Arrival, sop_instance_uid: str = "", sop_class_uid: str = "") -> bool:
        """Checks an instance that was received completely, and stores or removes it; returns whether it is stored.

        Args:
            arrival: The received instance.
            sop_instance_uid: The SOPInstanceUID that the peer announced for it; empty if it announced none.
            sop_class_uid: The SOPClassUID that the peer announced for it; empty if it announced none.

        Raises:
            LocalFileError: The file cannot be written.
        """
        arrival.close()
        with contained():
            found = _examined(arrival.path, sop_instance_uid, sop_class_uid)
        with self._lock:
            fault = found.fault or self._why_not_wanted(found) or self._move_to_its_place(arrival.path, found.record)
            if fault:
                arrival.path.unlink(missing_ok=True)
                self._reject(found.record, fault)
            elif found.patient_id:
                self._patients.setdefault(found.record.study_instance_uid, found.patient_id)
        return not fault

    def close(self) -> None:
        """Removes the folder of temporary files, if it is empty."""
        with suppress(OSError):
            (self._folder / _INCOMING).rmdir()

    def missing(self, series: WantedSeries) -> list[str]:
        """Returns the SOPInstanceUIDs of those instances that the peer listed, but that have not arrived."""
        with self._lock:
            return [uid for uid in series.listed if self._may_come(uid)]

    def count(self, series: WantedSeries) -> int:
        """Returns how many instances of a series have arrived."""
        return self._here[series.series_instance_uid]

    def is_complete(self, series: WantedSeries) -> bool:
        """Returns whether all instances of a series have arrived that the peer listed or counted."""
        if self.missing(series) or series.may_lack_more:
            return False
        return series.listed != {} or self.count(series) >= (series.reported_count or 1)

    def _place(self, name: str) -> Path:
        """Returns the path of a private folder with a name; makes and checks the folder when it is first used."""
        if name not in self._places:
            self._places[name] = private_folder(self._folder, name)
        return self._places[name]

    def _may_come(self, sop_instance_uid: str) -> bool:
        known = self.records.get(sop_instance_uid)
        return known is None or known.retryable

    def _why_not_wanted(self, found: _Examined) -> str:
        """Returns why an instance is not one of those that were asked for; empty if it is one of them."""
        record = found.record
        series = self._wanted.get(record.series_instance_uid)
        if series is None:
            return "the peer sent an instance of another series than was asked for"
        if record.study_instance_uid != series.study_instance_uid:
            return "the peer sent an instance of another study than was asked for"
        if found.patient_id and series.patient_id and found.patient_id != series.patient_id:
            return "it belongs to another patient than the peer's answer about its series says"
        first = self._patients.get(record.study_instance_uid, found.patient_id)
        if found.patient_id and found.patient_id != first:
            return "it belongs to another patient than the instances of its study that arrived before"
        if series.only_listed and record.sop_instance_uid not in series.listed:
            return "the peer sent an instance that was not asked for"
        return ""

    def _move_to_its_place(self, path: Path, record: FetchRecord) -> str:
        """Moves a file to its place; returns why it must be rejected instead, or an empty text.

        If two files with one UID differ, neither of them is kept.
        """
        known = self.records.get(record.sop_instance_uid)
        if known is not None and known.outcome is not FetchOutcome.FETCHED:
            if not known.retryable:
                return known.meaning
            known = None
        folder = self._place(file_stem(record.series_instance_uid))
        target = folder / f"{file_stem(record.sop_instance_uid)}.dcm"
        with file_faults(target, "written"):
            if known is not None:
                if target.read_bytes() == path.read_bytes():
                    path.unlink()
                    return ""
                target.unlink()
                return "the peer sent two different instances with this UID"
            path.replace(target)
        listed = self._wanted[record.series_instance_uid].listed
        remark = _UNLISTED if listed and record.sop_instance_uid not in listed else ""
        self._note(record.model_copy(update={"path": str(target), "meaning": remark}))
        return ""

    def _reject(self, record: FetchRecord, fault: str) -> None:
        rejected = record.model_copy(update={"outcome": FetchOutcome.REJECTED, "meaning": fault})
        if not rejected.sop_instance_uid:
            self.oddities.append(rejected)
        elif self.records.get(rejected.sop_instance_uid, rejected).series_instance_uid == rejected.series_instance_uid:
            self._note(rejected)
        else:  # an instance that was not asked for, with the UID of one that has arrived
            self.oddities.append(rejected)

    def _note(self, record: FetchRecord) -> None:
        for one, step in ((self.records.get(record.sop_instance_uid), -1), (record, 1)):
            if one is not None and one.outcome is FetchOutcome.FETCHED:
                self._here[one.series_instance_uid] += step
        self.records[record.sop_instance_uid] = record
        if self._on_record is not None:
            self._on_record(record)


@dataclass(frozen=True)
class _Examined:
    record: FetchRecord
    patient_id: str = field(default="", repr=False)
    fault: str = ""
    """Why the instance must be rejected; empty if it is sound."""


def _examined(path: Path, sop_instance_uid: str, sop_class_uid: str) -> _Examined:
    """Reads UIDs and PatientID of a file, checks all its elements, and compares it with what the peer announced."""
    record = FetchRecord(
        sop_instance_uid=sop_instance_uid, sop_class_uid=sop_class_uid, outcome=FetchOutcome.FETCHED, retryable=False
    )
    try:
        instance = scan_instance(path, longest_value_bytes=LONG_VALUE_BYTES)
        with path.open("rb") as file:
            examine(file, str(instance.transfer_syntax_uid))
    except (UnreadableFileError, UnsoundFileError) as error:
        reason = error.reason if isinstance(error, UnreadableFileError) else str(error)
        return _Examined(record.model_copy(update={"retryable": True}), fault=f"what the peer sent is {reason}")
    described = record.model_copy(
        update={
            "study_instance_uid": text(instance.header, "StudyInstanceUID"),
            "series_instance_uid": text(instance.header, "SeriesInstanceUID"),
            "sop_instance_uid": text(instance.header, "SOPInstanceUID"),
            "sop_class_uid": text(instance.header, "SOPClassUID"),
            "transfer_syntax_uid": str(instance.transfer_syntax_uid),
            "size_bytes": instance.file_size_bytes,
        }
    )
    patient_id = text(instance.header, "PatientID").strip()
    if not described.sop_instance_uid:
        return _Examined(described, fault="what the peer sent has no SOPInstanceUID")
    if sop_instance_uid and described.sop_instance_uid != sop_instance_uid:
        claimed = described.model_copy(update={"sop_instance_uid": sop_instance_uid})
        return _Examined(claimed, fault="the peer announced this UID, but sent an instance with another one")
    if sop_class_uid and described.sop_class_uid != sop_class_uid:
        return _Examined(described, fault="the peer announced another SOP class than the instance has")
    return _Examined(described, patient_id)
