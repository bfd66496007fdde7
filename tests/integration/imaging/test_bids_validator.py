"""A dataset of converted scans is checked by the BIDS validator, which may not use the network here."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.imaging.nifti.convert import AutoConverter
from tests.integration.imaging.test_reference_sets import MOSAIC, NIH, files

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION = {"Name": "Scans of a test", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["One", "Two"]}
README = (
    "Public scans, converted by the native engine, to see whether the validator accepts what it writes beside them.\n"
)
SCANS = {
    "func/sub-01_task-rest_run-1_bold.nii.gz": f"{NIH}6",
    "func/sub-01_task-rest_run-2_bold.nii.gz": f"{MOSAIC}3",
    "func/sub-01_task-rest_run-3_bold.nii.gz": "dcm_qa_enh/In/Siemens/XA10",
    "dwi/sub-01_dwi.nii.gz": "dcm_qa_philips_dwi/In/cl/DICOM",
}
FIELD_MAP = "dcm_qa_enh/In/Philips"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Functional, diffusion and field map scans of three makers, as BIDS names and arranges them."""
    root, unpacked = tmp_path / "dataset", tmp_path / "unpacked"
    subject = root / "sub-01"
    for folder in (subject / "func", subject / "dwi", subject / "fmap", unpacked):
        folder.mkdir(parents=True)
    for name, source in SCANS.items():
        paths = [path for path in files(source, unpacked) if not path.name.startswith(("DICOMDIR", "PS_", "XX_"))]
        AutoConverter().convert(paths, subject / name, engine="native")
    made = AutoConverter().convert(files(FIELD_MAP, unpacked), tmp_path / "map.nii.gz", engine="native", policy="split")
    for name, image, sidecar in zip(("fieldmap", "magnitude"), made.paths, made.sidecars, strict=True):
        image.rename(subject / f"fmap/sub-01_{name}.nii.gz")
        sidecar.rename(subject / f"fmap/sub-01_{name}.json")
    (root / "dataset_description.json").write_text(json.dumps(DESCRIPTION))
    (root / "task-rest_bold.json").write_text(json.dumps({"TaskName": "rest"}))
    (root / "README").write_text(README)
    return root


def errors_of(root: Path) -> list[dict[str, Any]]:
    deno = next(file for file in distribution("deno").files or () if file.stem == "deno" and "bin" in file.parts)
    validator = distribution("bids-validator-deno").locate_file("bids_validator_deno/bids-validator.js")
    command = [str(deno.locate()), "run", "--no-prompt", "--allow-read", "--allow-env", str(validator)]
    ran = subprocess.run(
        [*command, "--format", "json", str(root)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"DENO_DIR": str(root.parent / "deno"), "DENO_NO_UPDATE_CHECK": "1"},
    )
    assert ran.stdout, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["summary"]["subjects"] == ["01"]
    found: list[dict[str, Any]] = [one for one in answer["issues"]["issues"] if one["severity"] == "error"]
    assert bool(found) == (ran.returncode != 0)
    return found


def test_the_validator_accepts_what_was_converted(dataset: Path) -> None:
    assert errors_of(dataset) == []


def test_the_validator_would_say_what_is_wrong(dataset: Path) -> None:
    path = dataset / "sub-01/func/sub-01_task-rest_run-1_bold.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"PhaseEncodingDirection": "AP", "SliceTiming": [0, 99]}))
    wrong = {one["subCode"] for one in errors_of(dataset) if one["code"] == "JSON_SCHEMA_VALIDATION_ERROR"}
    assert "PhaseEncodingDirection" in wrong
