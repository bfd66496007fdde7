"""inspect, convert, derive, pdf, send and echo from the shell, over real scans."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import EncapsulatedPDFStorage, ParametricMapStorage, RTStructureSetStorage, SegmentationStorage

from dcm_processor_service.local.workspace import sample_folder
from dcm_processor_service.testing import FakePacs, synthetic_series
from tests.command_line import Ran, run_here, run_process
from tests.missing import missing

if TYPE_CHECKING:
    from pathlib import Path


def as_process(*arguments: object, expected: int = 0) -> Ran:
    return checked(run_process(*arguments), expected)


def here(*arguments: object, expected: int = 0) -> Ran:
    return checked(run_here(*arguments), expected)


def checked(ran: Ran, expected: int) -> Ran:
    assert ran.code == expected, ran.stderr + ran.stdout
    return ran


def lines(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """One clean series, one with a slice missing, at different depths, beside what is not a DICOM file."""
    folder = tmp_path / "scans"
    shutil.copytree(sample_folder(), folder / "deep" / "ct")
    for dataset in synthetic_series(slices=8):
        if dataset.InstanceNumber != 4:
            dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_every_series_is_converted_or_refused_with_its_codes(scans: Path, tmp_path: Path) -> None:
    ran = as_process("convert", scans, tmp_path / "out", "--json", expected=1)
    rows = {row["series_instance_uid"]: row for row in lines(ran)}
    assert len(rows) == 2
    refused = next(row for row in rows.values() if "error" in row)
    done = next(row for row in rows.values() if "error" not in row)
    assert (refused["error"], refused["findings"]) == ("InvalidSeriesError", ["MISSING_SLICES"])
    assert (done["engine"], done["why"]) == ("native", "one uniform volume")
    (volume,) = done["volumes"]
    image = nibabel.nifti1.load(done["files"][0])
    assert list(image.shape) == volume["shape"] == [16, 16, 5]
    assert np.allclose(image.affine, volume["affine_ras"])
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".gz", ".json"]
    assert "1 file left out: not readable as DICOM." in ran.stderr


@pytest.mark.parametrize("policy", ["strict", "split", "largest", "resample"])
def test_of_two_instances_that_share_a_uid_none_is_picked(tmp_path: Path, policy: str) -> None:
    made = synthetic_series(slices=5)
    (tmp_path / "scans").mkdir()
    for dataset in made:
        dataset.save_as(tmp_path / "scans" / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    made[2].PixelData = made[2].PixelData[::-1]
    made[2].save_as(tmp_path / "scans" / "0.dcm", enforce_file_format=True)
    [row] = lines(here("convert", tmp_path / "scans", tmp_path / "out", "--policy", policy, "--json", expected=1))
    assert "CONFLICTING_INSTANCES" in row["findings"]
    [report] = lines(here("inspect", tmp_path / "scans", "--json"))
    assert "CONFLICTING_INSTANCES" in [finding["code"] for finding in report["findings"]]
    assert not list(tmp_path.rglob("*.nii*"))


def test_a_policy_converts_what_strict_refuses(scans: Path, tmp_path: Path) -> None:
    here("convert", scans, tmp_path / "out", "--policy", "resample", "--plain")
    assert len(list((tmp_path / "out").glob("*.nii"))) == 2


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A clean series beside two on which a decoder aborts or panics, and one that ends inside its pixels."""
    folder = tmp_path / "damaged"
    shutil.copytree(sample_folder(), folder / "good")
    jpeg = pydicom.dcmread(str(get_testdata_file("SC_rgb_dcmtk_+eb+cy+np.dcm", download=False)))
    jpeg.BitsStored, jpeg.HighBit = 7, 6  # an assertion of GDCM
    jpeg.save_as(folder / "abort.dcm")
    rle = pydicom.dcmread(str(get_testdata_file("MR_small_RLE.dcm", download=False)))
    rle.Rows = rle.Columns = 16  # a panic of a decoder in Rust
    rle.save_as(folder / "panic.dcm")
    whole = pathlib.Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:-10_000])
    return folder


@pytest.mark.parametrize("engine", ["auto", "native", "dicom2nifti"])
@pytest.mark.parametrize("policy", ["strict", "largest"])
def test_a_series_that_breaks_a_decoder_costs_that_series_alone(
    damaged: Path, tmp_path: Path, engine: str, policy: str
) -> None:
    options = ("--engine", engine, "--policy", policy)
    rows = lines(as_process("convert", damaged, tmp_path / "out", "--json", *options, expected=1))
    assert len(rows) == 4
    assert [row["error"] for row in rows if "error" in row] == ["InvalidSeriesError"] * 3
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 1


def test_a_page_shows_what_can_be_decoded_and_ends_for_nothing(damaged: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    reports = lines(as_process("inspect", damaged, "--json", "--html", page))
    assert len(reports) == 4
    assert page.read_text().count("data:image/png") == 2


def test_the_reports_are_json_without_a_description(scans: Path) -> None:
    reports = lines(here("inspect", scans, "--json"))
    assert {report["kind"] for report in reports} == {"volume"}
    assert sorted(code["code"] for report in reports for code in report["findings"]) == ["MISSING_SLICES"]
    assert all("description" not in report for report in reports)


def test_the_page_opens_in_a_browser_without_a_network(scans: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        missing("no browser is installed: apt-get install chromium")
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    ran = as_process("inspect", scans, "--html", page)
    assert ran.stdout.count("Series ") == 2
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["'](?!data:)""", text)
    assert text.count("data:image/png;base64,") == 2
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
    command = [browser, "--headless", "--no-sandbox", *quiet, "--disable-component-update", "--window-size=1000,1400"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    with Image.open(picture) as shot:
        pixels = np.asarray(shot.convert("L"))
    # a contact sheet is black with bright slices in it; the page around it is not
    assert (pixels < 10).mean() > 0.1
    assert len(np.unique(pixels)) > 100


def test_results_become_dicom_of_every_kind(tmp_path: Path) -> None:
    here("convert", sample_folder(), tmp_path)
    (nifti,) = tmp_path.glob("*.nii.gz")
    wanted = ("--like", sample_folder(), "--out")
    images = lines(as_process("derive", nifti, *wanted, tmp_path / "image", "--json"))
    assert len(images) == 5
    here("convert", tmp_path / "image", tmp_path / "again")
    (again,) = (tmp_path / "again").glob("*.nii.gz")
    before, after = nibabel.nifti1.load(nifti), nibabel.nifti1.load(again)
    assert np.array_equal(np.asarray(before.dataobj), np.asarray(after.dataobj))
    assert np.allclose(before.affine, after.affine, atol=1e-4)
    (made,) = lines(here("derive", nifti, *wanted, tmp_path / "pm", "--kind", "pm", "--units", "mm", "--json"))
    assert pydicom.dcmread(made["path"]).SOPClassUID == ParametricMapStorage
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF-1.4\n%%EOF\n")
    (made,) = lines(as_process("pdf", report, *wanted, tmp_path / "pdf", "--title", "Findings", "--json"))
    document = pydicom.dcmread(made["path"])
    assert (document.SOPClassUID, document.DocumentTitle) == (EncapsulatedPDFStorage, "Findings")


def test_a_label_map_becomes_a_segmentation(tmp_path: Path) -> None:
    here("convert", sample_folder(), tmp_path)
    (nifti,) = tmp_path.glob("*.nii.gz")
    image = nibabel.nifti1.load(nifti)
    array = np.zeros(image.shape, np.uint8)
    array[2, 3, 1], array[3:5, 3, 1] = 1, 5
    labels = tmp_path / "labels.nii.gz"
    nibabel.nifti1.save(nibabel.nifti1.Nifti1Image(array, image.affine), labels)
    wanted = ("derive", labels, "--like", sample_folder(), "--kind", "seg", "--out")

    def segments(folder: str, *options: str) -> list[tuple[str, str]]:
        (made,) = lines(here(*wanted, tmp_path / folder, *options, "--json"))
        dataset = pydicom.dcmread(made["path"])
        assert dataset.SOPClassUID == SegmentationStorage
        items = dataset.SegmentSequence
        return [(item.SegmentLabel, item.SegmentedPropertyTypeCodeSequence[0].CodeValue) for item in items]

    both = [("spleen", "78961009"), ("liver", "10200004")]
    assert segments("names", "--segment", "1=spleen", "--segment", "liver=5") == both
    assert segments("table", "--labels", "totalsegmentator") == both
    assert segments("codes", "--segment", "5=C0023884^UMLS^Liver") == [("Liver", "C0023884")]
    refused = here(*wanted, tmp_path / "absent", "--segment", "7=liver", expected=2)
    assert "no voxel of the label 7" in refused.stderr
    assert not (tmp_path / "absent").exists()
    assert segments("allowed", "--segment", "7=liver", "--allow-empty") == [("liver", "10200004")]
    assert "is not a code" in here(*wanted, tmp_path / "x", "--segment", "1=liver^SCT", expected=2).stderr
    again = here(*wanted, tmp_path / "names", "--segment", "5=liver", expected=1)
    assert "holds another result" in again.stderr
    assert len(lines(here(*wanted, tmp_path / "names", "--segment", "5=liver", "--replace", "--json"))) == 1


def test_a_label_map_becomes_a_structure_set_and_fused_pictures(tmp_path: Path) -> None:
    here("convert", sample_folder(), tmp_path)
    (nifti,) = tmp_path.glob("*.nii.gz")
    image = nibabel.nifti1.load(nifti)
    array = np.zeros(image.shape, np.uint8)
    array[2, 3, 1], array[3:5, 3, 1] = 1, 5
    labels = tmp_path / "labels.nii.gz"
    nibabel.nifti1.save(nibabel.nifti1.Nifti1Image(array, image.affine), labels)
    wanted = ("derive", labels, "--like", sample_folder(), "--kind", "rtstruct", "--out", tmp_path / "made", "--json")
    (made,) = lines(here(*wanted, "--segment", "1=spleen", "--segment", "5=liver"))
    dataset = pydicom.dcmread(made["path"])
    assert dataset.SOPClassUID == RTStructureSetStorage
    assert [each.ROIName for each in dataset.StructureSetROISequence] == ["spleen", "liver"]
    assert [len(each.ContourSequence) for each in dataset.ROIContourSequence] == [1, 1]
    wanted = ("derive", labels, "--like", sample_folder(), "--kind", "overlay", "--out", tmp_path / "fused", "--json")
    fused = lines(here(*wanted, "--segment", "1=spleen", "--segment", "5=liver", "--style", "fill", "--text", "draft"))
    assert len(fused) == 5
    assert pydicom.dcmread(fused[1]["path"]).PhotometricInterpretation == "RGB"


def test_a_node_is_asked_and_sent_to(scans: Path) -> None:
    with FakePacs() as pacs:
        assert "answers" in as_process("echo", pacs.peer.address).stdout
        assert "CT Image Storage" in as_process("probe", pacs.peer.address, "--json").stdout
        records = lines(as_process("send", scans / "deep", scans / "1.dcm", "--to", pacs.peer.address, "--json"))
        assert [record["outcome"] for record in records] == ["stored"] * 6
        assert len(pacs.received) == 6
        address = pacs.peer.address
    assert "does not answer" in here("echo", address, expected=3).stdout
    assert "nothing listens" in here("send", scans / "1.dcm", "--to", address, expected=3).stderr


def test_a_node_of_a_workspace_is_known_by_its_name(tmp_path: Path) -> None:
    place = ("--workspace", tmp_path / "w")
    with FakePacs() as pacs:
        here("run", "examples/async_report.py", "--sample", "--peer", f"PACS={pacs.peer.address}", *place)
        (node,) = lines(as_process("peers", "list", *place, "--json"))
        assert (node["name"], node["port"]) == ("PACS", pacs.peer.port)
        assert "answers" in as_process("peers", "echo", "PACS", *place).stdout
        assert "CT Image Storage" in here("peers", "probe", "PACS", *place, "--json").stdout
    assert "no DICOM peer is named 'CT'; known peers: PACS" in here("peers", "echo", "CT", *place, expected=1).stderr
    assert "DB-PROVIDER is not set" in as_process("peers", "list", expected=2).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("convert", "nowhere", "out"), "there is no folder 'nowhere'"),
        (("inspect", "examples", "--json"), "no DICOM file was found"),
        (("echo", "PACS"), "'PACS' is not a peer; give AET@HOST:PORT"),
        (("echo", "PACS@host:99999"), "a port lies between 1 and 65535"),
        (("derive", "missing.nii", "--like", "{sample}", "--out", "out"), "there is no NIfTI file 'missing.nii'"),
        (("pdf", "missing.pdf", "--like", "{sample}", "--out", "out"), "there is no file 'missing.pdf'"),
        (("derive", "README.md", "--like", "{sample}", "--out", "out"), "give a .nii or .nii.gz file"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    ran = run_here(*(argument.replace("{sample}", str(sample_folder())) for argument in arguments))
    assert ran.code in {1, 2}
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
