"""Sending through the functions and the class. Ports and titles of the listening peers come with the job's params."""

from __future__ import annotations

import base64
import shutil
import threading
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread
from pydicom.uid import ComputedRadiographyImageStorage, JPEG2000Lossless, MRImageStorage

import dcm_processor_service as sdk
from dcm_processor_service.dicom_network import DicomSender

from .catalogue import case, clearer, defect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .catalogue import Bench

SUCCESS = 0x0000
CONTEXT_NOT_ACCEPTED = 0xC001
PATIENCE_S = 3


def _direct(bench: Bench, name: str = "archive", **more: Any) -> DicomSender:
    """A sender with both titles right, as the 0.0.1 API could be told by hand."""
    return DicomSender("PROCESSOR", "127.0.0.1", bench.params[f"{name}_port"], name.upper(), **more)


def _sender(name: str, **more: Any) -> DicomSender:
    sender = sdk.get_dicom_sender(name, **more)
    assert sender is not None
    return sender


def _slices(bench: Bench) -> list[Dataset]:
    return [dcmread(path) for path in _paths(bench)]


def _paths(bench: Bench) -> list[str]:
    return sorted(map(str, Path(bench.params["scan_folder"]).iterdir()))


def _codes(statuses: Iterable[Dataset]) -> list[int]:
    return [int(status.Status) for status in statuses]


@case
def datasets_are_sent(bench: Bench) -> None:
    slices = _slices(bench)
    assert _codes(_direct(bench).send_dicom_from_dataset(slices)) == [SUCCESS] * len(slices)


@case
def files_are_sent(bench: Bench) -> None:
    paths = _paths(bench)
    assert _codes(_direct(bench).send_dicom_from_filelist(paths)) == [SUCCESS] * len(paths)


@case
def a_folder_is_sent_without_its_folders_and_other_files(bench: Bench) -> None:
    paths = _paths(bench)
    shutil.copy(paths[0], bench.folder / "a.dcm")
    (bench.folder / "note.txt").write_text("no DICOM file")
    (bench.folder / "below").mkdir()
    shutil.copy(paths[1], bench.folder / "below" / "b.dcm")
    assert _codes(_direct(bench).send_dicom_from_path(str(bench.folder))) == [SUCCESS]


@case
def what_the_filter_declines_is_not_sent(bench: Bench) -> None:
    slices = _slices(bench)
    wanted = slices[1].SOPInstanceUID

    def only_one(dataset: Dataset) -> bool:
        return bool(dataset.SOPInstanceUID == wanted)

    assert _codes(_direct(bench).send_dicom_from_dataset(slices, filter_callback=only_one)) == [SUCCESS]
    assert _codes(_direct(bench).send_dicom_from_filelist(_paths(bench), only_one)) == [SUCCESS]


@case
def host_and_port_of_a_call_replace_those_of_the_sender(bench: Bench) -> None:
    sender = DicomSender("PROCESSOR", "127.0.0.1", bench.params["closed_port"], "NOBODY")
    arguments = {"host": "127.0.0.1", "port": bench.params["archive_port"], "aet": "ARCHIVE"}
    assert _codes(sender.send_dicom_from_dataset(_slices(bench)[:1], **arguments)) == [SUCCESS]


@case
def a_peer_answers_an_echo(bench: Bench) -> None:
    status = _direct(bench).send_echo()
    assert status is not None
    assert status.Status == SUCCESS


@case
def a_class_that_the_peer_does_not_take_is_told(bench: Bench) -> None:
    slices = _slices(bench)
    report = sdk.make_pdf_dicom(slices[0], base64.b64encode(b"%PDF-1.4").decode())
    statuses = _direct(bench, "narrow").send_dicom_from_dataset([report, slices[0]])
    assert _codes(statuses) == [CONTEXT_NOT_ACCEPTED, SUCCESS]


@defect(21)
def a_peer_that_checks_titles_lets_us_in(bench: Bench) -> None:
    assert _codes(_sender("archive").send_dicom_from_dataset(_slices(bench)[:1])) == [SUCCESS]


@defect(21)
def a_peer_that_checks_titles_answers_an_echo(_bench: Bench) -> None:
    status = _sender("archive").send_echo()
    assert status is not None
    assert status.Status == SUCCESS


@defect(22)
def a_peer_with_implicit_encoding_gets_it(bench: Bench) -> None:
    slices = _slices(bench)
    assert _codes(_direct(bench, "implicit").send_dicom_from_dataset(slices)) == [SUCCESS] * len(slices)


@defect(23)
def the_datasets_of_the_caller_stay_as_they_are(bench: Bench) -> None:
    slices = _slices(bench)
    before = deepcopy(slices)
    try:
        _direct(bench, "implicit").send_dicom_from_dataset(slices)
    finally:
        for dataset, copy in zip(slices, before, strict=True):
            assert dataset == copy
            assert dataset.file_meta == copy.file_meta


@defect(24)
def compressed_and_plain_go_together(bench: Bench) -> None:
    compressed = [dcmread(path) for path in sorted(Path(bench.params["jpeg_2000_folder"]).iterdir())]
    mixed = [_slices(bench)[0], compressed[1]]
    sender = _direct(bench, additional_syntaxes=[JPEG2000Lossless])
    assert _codes(sender.send_dicom_from_dataset(mixed)) == [SUCCESS, SUCCESS]


@defect(25)
def a_dicomdir_is_sent(bench: Bench) -> None:
    sops = [ComputedRadiographyImageStorage, MRImageStorage]
    statuses = _direct(bench, additional_sops=sops).send_dicom_from_dicomdir(bench.params["dicomdir"])
    assert _codes(statuses) == [SUCCESS] * bench.params["dicomdir_images"]


@defect(26)
def a_failure_releases_the_association(bench: Bench) -> None:
    before = set(threading.enumerate())

    def fail(_dataset: Dataset) -> bool:
        raise ArithmeticError("on purpose")

    try:
        _direct(bench).send_dicom_from_dataset(_slices(bench), filter_callback=fail)
    except ArithmeticError:
        pass
    else:
        raise AssertionError("the failure was swallowed")
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(PATIENCE_S)
    assert not [thread for thread in left if thread.is_alive()]


@defect(27)
def a_peer_with_tls_is_checked_by_its_own_name(bench: Bench) -> None:
    assert _codes(_sender("secure").send_dicom_from_dataset(_slices(bench)[:1])) == [SUCCESS]


@case
def a_certificate_of_another_name_is_refused(bench: Bench) -> None:
    try:
        statuses = _sender("impostor").send_dicom_from_dataset(_slices(bench)[:1])
    except ConnectionError:
        statuses = []
    assert statuses == []


@clearer
def nobody_listening_is_an_error(bench: Bench) -> None:
    try:
        statuses = DicomSender("PROCESSOR", "127.0.0.1", bench.params["closed_port"], "NOBODY").send_dicom_from_dataset(
            _slices(bench)
        )
    except ConnectionError as error:
        assert "NOBODY" in str(error)  # noqa: PT017  a case runs where there is no pytest
    else:
        raise AssertionError(f"gave {statuses}")
