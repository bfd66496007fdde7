"""The records for a job's report: the last ones of each kind, once, without paths, and limited in number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from dcm_processor_service.models import DerivedObject, InstanceRecord, LeftOutFile, Outcome, SendReport
from dcm_processor_service.session import recording
from dcm_processor_service.session.images.derive_async import _described
from dcm_processor_service.session.recording import Recording

if TYPE_CHECKING:
    import pytest


def made(uid: str = "1.2", modality: str = "SEG") -> DerivedObject:
    return DerivedObject(
        sop_class_uid="1.1", sop_instance_uid=uid, series_instance_uid="1.3", modality=modality, digest=uid
    )


def pixels(size_bytes: int) -> Dataset:
    dataset = Dataset()
    dataset.PixelData = bytes(size_bytes)
    return dataset


def test_a_sending_is_remembered_without_the_paths_of_its_files() -> None:
    record = InstanceRecord(sop_instance_uid="1.2", outcome=Outcome.STORED, path="DOE_JANE/1.dcm", meaning="stored")
    left_out = LeftOutFile(path="DOE_JANE/notes.txt", reason="no DICOM")
    kept = Recording()
    kept.add_sent(SendReport(peer="PACS@h:1", records=(record,), left_out=(left_out,), duration_s=2.0))
    (report,) = kept.sent
    assert "DOE" not in repr(report)
    assert (report.peer, report.duration_s) == ("PACS@h:1", 2.0)
    assert report.records == (record.model_copy(update={"path": ""}),)
    assert report.left_out == (left_out.model_copy(update={"path": ""}),)


def test_an_object_that_was_made_twice_is_remembered_once() -> None:
    kept, first, second = Recording(), pixels(2), pixels(2)
    kept.add_derived(made(), first)
    kept.add_derived(made(), first)
    kept.add_derived(made("1.9"), second)
    assert kept.derived == (made(), made("1.9"))
    assert [one is other for one, other in zip(kept.segmentations, (first, second), strict=True)] == [True, True]


def test_segmentations_alone_are_kept_whole_and_only_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MOST_PIXEL_BYTES", 10)
    kept = Recording()
    for number, (modality, size_bytes) in enumerate([("CT", 1), ("SEG", 6), ("SEG", 5), ("SEG", 4), ("SEG", 1)]):
        kept.add_derived(made(f"1.{number}", modality), pixels(size_bytes))
    assert len(kept.derived) == 5
    assert [len(one.PixelData) for one in kept.segmentations] == [6, 4]
    kept.add_derived(made("1.9"), Dataset())
    assert len(kept.segmentations) == 3


def test_the_last_records_are_kept_of_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MOST", 3)
    monkeypatch.setattr(recording, "_MOST_LINES", 2)
    kept = Recording()
    steps: list[Any] = [object() for _ in range(5)]
    for number, step in enumerate(steps):
        kept.add_step(step)
        kept.add_line(step)
        kept.add_sent(SendReport(peer=str(number)))
        kept.add_derived(made(f"1.{number}"), Dataset())
    assert kept.steps == tuple(steps[-3:])
    assert kept.log == tuple(steps[-2:])
    assert [report.peer for report in kept.sent] == ["2", "3", "4"]
    assert [one.sop_instance_uid for one in kept.derived] == ["1.2", "1.3", "1.4"]


def test_an_object_is_described_by_what_it_says_and_by_nothing_else() -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SegmentationStorage, "1.2"
    assert _described(dataset, "ab") == DerivedObject(
        sop_class_uid=SegmentationStorage, sop_instance_uid="1.2", digest="ab", kind="Segmentation"
    )
    dataset.SeriesInstanceUID, dataset.Modality, dataset.SeriesDescription = "1.3", "SEG", "Liver"
    first, second = Dataset(), Dataset()
    first.SegmentLabel = "liver"
    dataset.SegmentSequence = [first, second]
    made = _described(dataset, "ab")
    assert (made.series_instance_uid, made.modality, made.description) == ("1.3", "SEG", "Liver")
    assert made.segments == ("liver", "")
