"""Every example runs over a real scan, by the command that its docstring names."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_rescale
from pydicom.uid import SegmentationStorage

from tests.command_line import ROOT, run_here, run_process

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_command_in_the_docstring_works(path: Path, tmp_path: Path) -> None:
    commands = re.findall(r"^    (dcm-processor-service .*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert commands, f"{path.name} does not say how to run it"
    for command in commands:
        ran = run_here(*shlex.split(command)[1:], "--workspace", tmp_path, "--json")
        assert ran.code == 0, ran.stderr
        assert all(json.loads(line)["exit_code"] == 0 for line in ran.stdout.splitlines())


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
