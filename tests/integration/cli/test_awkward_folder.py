"""One folder, and what each command takes of it and says of the rest: the same."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.derived import source_of
from dcm_processor_service.dicom_network import DicomSender
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.models import SendOptions
from dcm_processor_service.testing import FakePacs, synthetic_series
from tests.command_line import ROOT, Ran, run_here
from tests.unit.imaging.awkward_folder import LEFT_OUT, TAKEN, make_awkward_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAMAGED = ROOT.parent / "shared" / "cases" / "damaged"
FAULTY = {
    path: reason
    for path, reason in LEFT_OUT.items()
    if reason.startswith(("cut off", "damaged", "unreadable", "without"))
    or reason.endswith(("leads nowhere", "in a circle"))
}
CALLBACK = """
from dcm_processor_service import RuntimeContext


def run(ctx: RuntimeContext) -> list[str]:
    return [header.SOPInstanceUID for header in ctx.session.dicom.get_series().headers()]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_awkward_folder(tmp_path / "scans", tmp_path / "outside")


@pytest.fixture
def uids(folder: Path) -> list[str]:
    return [str(dcmread(folder / name, force=True).SOPInstanceUID) for name in TAKEN]


def lines(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def said(ran: Ran, folder: Path) -> dict[str, str]:
    """The reason that the standard error gives for each file left out."""
    found: dict[str, str] = {}
    reason = ""
    for line in ran.stderr.splitlines():
        if " left out: " in line:
            reason = line.partition(" left out: ")[2].removesuffix(".")
        elif line.startswith(f"  {folder}/"):
            found[line.removeprefix(f"  {folder}/")] = reason
    return found


def inspect(folder: Path, _out: Path) -> tuple[Ran, object]:
    ran = run_here("inspect", folder, "--json")
    return ran, sum(report["instance_count"] for report in lines(ran))


def run(folder: Path, out: Path) -> tuple[Ran, object]:
    callback = out / "callback.py"
    callback.write_text(CALLBACK, encoding="utf-8")
    ran = run_here("run", callback, "--dicom", folder, "--json", "--no-preview", "--workspace", out / "work")
    (job,) = lines(ran)
    return ran, job["result"]


def convert(folder: Path, out: Path) -> tuple[Ran, object]:
    ran = run_here("convert", folder, out, "--json")
    (row,) = lines(ran)
    return ran, row["volumes"][0]["shape"][2]


def derive(folder: Path, out: Path) -> tuple[Ran, object]:
    nibabel.nifti1.save(
        nibabel.nifti1.Nifti1Image(np.ones((16, 16, 5), np.int16), np.diag([-1, -1, 2, 1])), out / "x.nii"
    )
    ran = run_here("derive", out / "x.nii", "--like", folder, "--out", out / "made", "--json")
    made = sorted((dcmread(row["path"]) for row in lines(ran)), key=lambda dataset: int(dataset.InstanceNumber))
    return ran, [dataset.SourceImageSequence[0].ReferencedSOPInstanceUID for dataset in made]


def send(folder: Path, _out: Path) -> tuple[Ran, object]:
    with FakePacs() as pacs:
        ran = run_here("send", folder, "--to", pacs.peer.address)
    return ran, list(pacs.arrivals)


@pytest.mark.parametrize(("command", "code"), [(inspect, 0), (run, 0), (convert, 0), (derive, 0), (send, 1)])
def test_a_command_takes_the_same_files_and_says_the_same_of_the_others(
    command: Callable[[Path, Path], tuple[Ran, object]], code: int, folder: Path, uids: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    ran, taken = command(folder, out)
    assert said(ran, folder) == LEFT_OUT
    assert taken in (uids, len(uids))
    assert ran.code == code, ran.stderr


def test_a_report_of_sending_holds_every_file_of_the_folder(folder: Path, uids: list[str]) -> None:
    with FakePacs() as pacs:
        report = PynetdicomSender().send(folder, pacs.peer, options=SendOptions(check=False))
        rows = lines(run_here("send", folder, "--to", pacs.peer.address, "--json"))
    assert [record.sop_instance_uid for record in report.records if record.outcome.acknowledged] == uids
    assert {one.path.removeprefix(f"{folder}/"): one.meaning for one in report.not_stored} == FAULTY
    rest = {name: reason for name, reason in LEFT_OUT.items() if name not in FAULTY}
    assert {one.path.removeprefix(f"{folder}/"): one.reason for one in report.left_out} == rest
    assert not report.ok
    assert str(folder) not in str(report) + repr(report)
    assert "  1 file left out: not readable as DICOM" in str(report)
    told = {row["path"].removeprefix(f"{folder}/"): row["meaning"] for row in rows if row["path"]}
    assert told == LEFT_OUT
    assert {row["outcome"] for row in rows} == {"stored", "failed", "left_out"}


def test_what_is_no_instance_does_not_fail_a_sending(folder: Path) -> None:
    for name in FAULTY:
        path = folder / name
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    with FakePacs() as pacs:
        report = PynetdicomSender().send(folder, pacs.peer)
    assert report.ok
    assert len(report.left_out) == len(LEFT_OUT) - len(FAULTY)


def test_what_is_named_itself_and_cannot_be_sent_fails_whatever_it_is(folder: Path) -> None:
    with FakePacs() as pacs:
        for name in ("notes.txt", "pipe.dcm", "truncated.dcm", "dangling.dcm"):
            ran = run_here("send", folder / name, "--to", pacs.peer.address)
            assert ran.code == 1
            assert f"item 1 is {LEFT_OUT[name]}" in ran.stdout
        assert run_here("send", folder / ".hidden.dcm", folder / "DICOMDIR", "--to", pacs.peer.address).code == 0
    assert len(pacs.arrivals) == 2


def test_a_folder_without_instances_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no scan")
    with (
        FakePacs() as pacs,
        pytest.raises(InvalidSeriesError, match=r"no DICOM file \(1 file left out: not readable as DICOM\)"),
    ):
        PynetdicomSender().send(tmp_path, pacs.peer)


def test_a_file_cut_off_inside_its_pixels_is_reported_and_not_sent(tmp_path: Path) -> None:
    for dataset in synthetic_series(slices=3):
        dataset.save_as(tmp_path / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    path = tmp_path / "2.dcm"
    path.write_bytes(path.read_bytes()[:-9])
    (report,) = lines(run_here("inspect", tmp_path, "--json"))
    assert "TRUNCATED" in {finding["code"] for finding in report["findings"]}
    with FakePacs() as pacs:
        ran = run_here("send", tmp_path, "--to", pacs.peer.address)
    assert ran.code == 1
    assert f"cut off inside its pixel data: get it again.\n  {path}" in ran.stderr
    assert len(pacs.arrivals) == 2


def test_the_image_source_of_a_folder_is_the_same_files(folder: Path, uids: list[str]) -> None:
    source = source_of([folder])
    assert sorted(str(header.SOPInstanceUID) for header in source.headers) == sorted(uids)


def test_the_sender_of_0_0_1_takes_the_same_files_of_one_level(
    folder: Path, uids: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with FakePacs() as pacs:
        sender = DicomSender("OURS", pacs.peer.host, pacs.peer.port, server_ae_title=pacs.peer.ae_title)
        statuses = sender.send_dicom_from_path(folder)
    assert [status.Status for status in statuses] == [0, 0]
    assert pacs.arrivals == uids[:2]
    logged = sum(int(record.getMessage().split()[0]) for record in caplog.records if "left out" in record.getMessage())
    assert logged == sum(not name.startswith("b/") for name in LEFT_OUT)


NO_UID = "without a readable StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID"
DUPLICATE = "the same instance as another file"
GARBLED: list[dict[str, str]] = [
    {"patient-name-vr-FD.dcm": ""},
    {"patient-size-abc.dcm": ""},
    {"series-number-abc.dcm": ""},
    {"study-uid-vr-FD.dcm": NO_UID},
    {"patient-size-abc.dcm": "", "series-number-abc.dcm": DUPLICATE, "study-uid-vr-FD.dcm": NO_UID},
]
"""Files, and why each is left out; one that is garbled in no UID is taken, with the value that is garbled absent."""


@pytest.mark.parametrize("garbled", GARBLED, ids=" ".join)
def test_garbled_headers_do_not_end_the_work_on_the_others(garbled: dict[str, str], tmp_path: Path) -> None:
    folder, out = tmp_path / "scans", tmp_path / "out"
    out.mkdir()
    folder.mkdir()
    for dataset in synthetic_series(slices=5):
        dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    for name in garbled:
        shutil.copy(DAMAGED / name, folder)
    image, callback = out / "image.nii", out / "callback.py"
    nibabel.nifti1.save(nibabel.nifti1.Nifti1Image(np.ones((16, 16, 5), np.int16), np.diag([-1, -1, 2, 1])), image)
    callback.write_text(CALLBACK, encoding="utf-8")
    uid = synthetic_series(slices=1)[0].SeriesInstanceUID
    with FakePacs() as pacs:
        for code, *arguments in (
            (0, "inspect", folder, "--json"),
            (0, "run", callback, "--dicom", folder, "--json", "--no-preview", "--workspace", out / "work"),
            (0, "convert", folder, out, "--json", "--policy", "largest"),
            (0, "derive", image, "--like", folder, "--series-uid", uid, "--out", out / "made", "--json"),
            (int(NO_UID in garbled.values()), "send", folder, "--to", pacs.peer.address, "--json"),
        ):
            ran = run_here(*arguments)
            assert said(ran, folder) == {name: reason for name, reason in garbled.items() if reason}, arguments
            assert ran.code == code, ran.stderr
        assert len(pacs.arrivals) == 5 + list(garbled.values()).count("")
