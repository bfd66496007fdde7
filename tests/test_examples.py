"""Every example runs over a real scan, by the command that its docstring names."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_rescale
from pydicom.uid import SegmentationStorage

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.workspace import sample_folder
from dcm_processor_service.ports import Backend, StoreLocation, inline
from dcm_processor_service.testing import FakePacs, MemoryStore
from dcm_processor_service.testing.contracts import DataContract, StoreUnderTest, store_under_test
from tests.command_line import ROOT, run_here, run_process

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
RUN_HERE = [path for path in EXAMPLES if path.stem != "monai_bundle"]
"""That of MONAI runs in ``tests/integration/monai``, which has an environment of its own."""
NEEDS = {"onnx_network": ("onnx", "onnxruntime")}
MIGRATED = ROOT / "examples" / "migrated_service"
MOST_LINES = 80


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    """Starts a PACS with an earlier scan of the sample's patient, in whose upper half nothing is darker than water."""
    with FakePacs(holds=[earlier(pydicom.dcmread(path)) for path in sorted(sample_folder().iterdir())]) as archive:
        yield archive


def earlier(dataset: pydicom.Dataset) -> pydicom.Dataset:
    dataset.StudyDate = "19991231"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        dataset[keyword].value += ".1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    half = dataset.pixel_array.copy()
    half[: half.shape[0] // 2] = np.maximum(half[: half.shape[0] // 2], int(-intercept / slope))
    dataset.PixelData = half.tobytes()
    return dataset


@pytest.mark.parametrize("path", RUN_HERE, ids=lambda path: path.stem)
def test_the_command_in_the_docstring_works(path: Path, tmp_path: Path, pacs: FakePacs) -> None:
    for library in NEEDS.get(path.stem, ()):
        pytest.importorskip(library, reason=f"pip install {library}, or the extra dev")
    text = path.read_text(encoding="utf-8")
    commands = re.findall(r"^    ((?:dcm-processor-service|python) .*)$", text, flags=re.MULTILINE)
    assert commands, f"{path.name} does not say how to run it"
    for command in commands:
        program, *arguments = shlex.split(command.replace("ORTHANC@127.0.0.1:4242", pacs.peer.address))
        if program == "python":
            subprocess.run([sys.executable, "-W", "error", *in_repository(arguments)], cwd=tmp_path, check=True)
            continue
        ran = run_here(*in_repository(arguments), "--workspace", tmp_path, "--json", folder=tmp_path)
        assert ran.code == 0, ran.stderr
        assert all(json.loads(line)["exit_code"] == 0 for line in ran.stdout.splitlines())


def in_repository(arguments: list[str]) -> list[str]:
    return [str(ROOT / one) if one.startswith("examples/") else one for one in arguments]


@pytest.mark.parametrize("path", [*EXAMPLES, *sorted(MIGRATED.rglob("*.py"))], ids=lambda path: path.stem)
def test_an_example_is_read_at_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def run_json(arguments: str, workspace: Path) -> dict[str, Any]:
    ran = run_process(*shlex.split(arguments), "--json", "--workspace", workspace)
    assert ran.code == 0, ran.stderr
    (line,) = ran.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_the_series_report_says_what_is_in_the_series(tmp_path: Path) -> None:
    report = run_json("run examples/series_report.py --sample", tmp_path)
    assert report["result"] == {"slice_count": 5}
    assert report["data"]["modality"] == "CT"
    numbers = [entry["instance_number"] for entry in report["data"]["slices"]]
    assert numbers in (sorted(numbers), sorted(numbers, reverse=True))
    assert len(set(numbers)) == 5
    files = {entry["name"]: Path(entry["path"]) for entry in report["files"]}
    assert set(files) == {"slices.json", "volume.nii.gz"}
    assert files["volume.nii.gz"].read_bytes()[:2] == b"\x1f\x8b"


def test_a_study_job_reads_what_the_series_jobs_found(tmp_path: Path) -> None:
    options = "--param threshold=-50 --param structure=Tissue"
    series = run_json(f"run examples/threshold_segmentation.py --sample {options}", tmp_path)
    study = run_json("run examples/study_summary.py --sample --event stable-study", tmp_path)
    assert series["result"]["volume_ml"] > 0
    assert study["result"] == {"series": 1, "total_ml": series["result"]["volume_ml"]}
    files = {entry["name"]: Path(entry["path"]) for entry in series["files"]}
    segmentation = pydicom.dcmread(files["segmentation.dcm"])
    assert segmentation.SOPClassUID == SegmentationStorage
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(files["mask.nii.gz"].read_bytes()))
    found_ml = np.asarray(mask.dataobj).sum() * np.prod(mask.header.get_zooms()) / 1000
    assert found_ml == pytest.approx(series["result"]["volume_ml"], rel=1e-5)


def test_simpleitk_smooths_a_series_on_its_own_slices(tmp_path: Path) -> None:
    found = run_json("run examples/simpleitk_smoothing.py --sample --param iterations=3", tmp_path)
    assert found["result"]["slices"] == 5
    assert found["result"]["mean_change"] > 0
    files = {entry["name"]: Path(entry["path"]) for entry in found["files"]}
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(files["smoothed.nii.gz"].read_bytes()))
    slices = [pydicom.dcmread(path) for name, path in files.items() if name.endswith(".dcm")]
    slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    stored = np.stack([apply_rescale(ds.pixel_array, ds).T for ds in slices], axis=2)
    np.testing.assert_array_equal(stored, np.asarray(image.dataobj))
    overview = nibabel.Nifti1Image.from_bytes(gzip.decompress(files["overview.nii.gz"].read_bytes()))
    assert overview.header.get_zooms()[:3] == (2.0, 2.0, 2.0)
    np.testing.assert_allclose(overview.affine[:3, 3], image.affine[:3, 3], atol=1e-4)


def test_an_asynchronous_callback_says_what_the_series_is(tmp_path: Path) -> None:
    report = run_json("run examples/async_report.py --sample", tmp_path)["result"]
    assert report == {"kind": "volume", "shape": [16, 16, 5], "findings": []}


def test_the_lung_is_measured_and_its_objects_are_verified_at_the_pacs(tmp_path: Path, pacs: FakePacs) -> None:
    arguments = f"run examples/lung_volume.py --sample --peer PACS={pacs.peer.address} --param send_to=PACS"
    held = set(pacs.received)
    ran = run_here(*shlex.split(arguments), "--workspace", tmp_path)
    assert ran.code == 0, ran.stderr
    assert "3 of 3 instances stored" in ran.stdout
    sent = {made.SOPClassUID.name: made for made in pacs.datasets() if made.SOPInstanceUID not in held}
    names = {"Segmentation Storage", "Secondary Capture Image Storage", "Encapsulated PDF Storage"}
    assert set(sent) == names
    assert sent["Encapsulated PDF Storage"].EncapsulatedDocument.startswith(b"%PDF")
    voxels = sum(sent["Segmentation Storage"].pixel_array.ravel().tolist())
    (line,) = [one for one in ran.stdout.splitlines() if "volume_ml" in one and "data" in one]
    assert float(line.split()[-2]) == pytest.approx(voxels * ml_of_a_voxel())


def ml_of_a_voxel() -> float:
    headers = [pydicom.dcmread(path) for path in sample_folder().iterdir()]
    step = np.diff(sorted(float(one.ImagePositionPatient[2]) for one in headers))[0]
    return float(np.prod(headers[0].PixelSpacing) * step / 1000)


def test_a_ct_is_compared_with_the_prior_of_the_pacs(tmp_path: Path, pacs: FakePacs) -> None:
    peer = f"--peer PACS={pacs.peer.address}"
    result = run_json(f"run examples/prior_comparison.py --sample {peer}", tmp_path)["result"]
    rescaled = [apply_rescale(one.pixel_array, one) for one in pacs.datasets()]
    assert result["before_ml"] == pytest.approx((np.stack(rescaled) < -400).sum() * ml_of_a_voxel())
    assert 0 < result["before_ml"] < result["now_ml"]
    assert result["change_percent"] == pytest.approx((result["now_ml"] / result["before_ml"] - 1) * 100)


def test_a_ct_without_a_prior_is_measured_alone(tmp_path: Path) -> None:
    with FakePacs() as empty:
        peer = f"--peer PACS={empty.peer.address}"
        result = run_json(f"run examples/prior_comparison.py --sample {peer}", tmp_path)["result"]
    assert result["now_ml"] > 0
    assert (result["before_ml"], result["change_percent"]) == (None, None)


def test_series_of_a_study_are_measured_side_by_side_and_a_scout_is_refused(tmp_path: Path) -> None:
    arguments = "run examples/async_fan_out.py --event stable-study --param at_once=2"
    found = run_json(f"{arguments} --dicom {sample_folder().parent}", tmp_path)
    assert found["result"] == {"measured": 1, "refused": 1}
    by_name = {one["description"]: one for one in found["data"]["results"]}
    assert by_name["Scout"]["mean"] is None
    assert "is refused" in by_name["Scout"]["refused"]


def test_the_migrated_service_finds_what_it_found_before(tmp_path: Path) -> None:
    assert run_here("check", MIGRATED).code == 0
    ran = run_here("run", MIGRATED, "--sample", "--json", "--workspace", tmp_path)
    assert ran.code == 0, ran.stderr
    before, after = [json.loads(line) for line in ran.stdout.splitlines()]
    assert before["result"]["mean"] == after["result"]["mean"] != 0
    assert after["result"]["difference"] == 0
    assert [one["files"][0]["name"] for one in (before, after)] == ["mean.json", "mean.json"]


def custom_backend() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "custom_backend.py"))


class TestAuditedData(DataContract):
    @pytest.fixture(params=["blocking", "async"])
    def store(self, request: pytest.FixtureRequest) -> Iterator[StoreUnderTest]:
        inner = MemoryStore().backend()
        audited: Backend = dataclasses.replace(inner, data=custom_backend()["AuditedData"](inner.data, len))
        with store_under_test({"db_provider": "memory"}, mode=request.param, shared=audited) as store:
            yield store


def test_the_journal_of_the_custom_store_names_what_was_written_and_no_value(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with (
        custom_backend()["open_store"](StoreLocation(str(journal), "", 4, "blocking"), inline) as backend,
        store_under_test({"db_provider": "memory"}, shared=backend) as store,
    ):
        data = store.container().session().data
        data["name"] = "A secret"
        data.increment("runs")
        assert not data.delete("nothing")
        assert data.delete("name")
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert [(line["what"], line["name"]) for line in lines] == [
        ("put", "name"),
        ("increment", "runs"),
        ("delete", "name"),
    ]
    assert "secret" not in journal.read_text(encoding="utf-8")


def test_the_custom_store_says_that_it_needs_a_journal() -> None:
    with (
        pytest.raises(ConfigurationError, match="DCM_PROCESSOR_SERVICE_DB_URL"),
        custom_backend()["open_store"](StoreLocation("", "", 4, "blocking"), inline),
    ):
        pass


def test_a_network_segments_on_a_grid_of_its_own_and_its_answer_lies_on_the_scan(tmp_path: Path) -> None:
    for library in NEEDS["onnx_network"]:
        pytest.importorskip(library, reason=f"pip install {library}, or the extra dev")
    example = runpy.run_path(str(ROOT / "examples" / "onnx_network.py"))
    example["make_network"](tmp_path / "model" / example["NETWORK"])
    found = run_json(f"run examples/onnx_network.py --sample --data-dir {tmp_path / 'model'}", tmp_path)
    scan = np.stack([apply_rescale(one.pixel_array, one) for one in map(pydicom.dcmread, sample_folder().iterdir())])
    threshold_ml = (scan < -400).sum() * ml_of_a_voxel()
    assert found["result"]["volume_ml"] == pytest.approx(threshold_ml, rel=0.25)  # a mean of 27 voxels blurs the border
    files = {entry["name"]: Path(entry["path"]) for entry in found["files"]}
    segmentation = pydicom.dcmread(files["segmentation.dcm"])
    assert (segmentation.Rows, segmentation.Columns) == scan.shape[1:]
    on_scan_ml = segmentation.pixel_array.sum() * ml_of_a_voxel()
    assert on_scan_ml == pytest.approx(threshold_ml, rel=0.25)
