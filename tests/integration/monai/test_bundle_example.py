"""The example with a bundle of MONAI, over a real scan, by the commands that its docstring names.

As for the other file of this folder, ``.ci/run`` has an environment with MONAI, where none may be missing.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_rescale

from dcm_processor_service.local.workspace import sample_folder
from tests.command_line import ROOT

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that MONAI loads
        import highdicom  # noqa: F401  makes the segmentation
        import monai.bundle  # noqa: F401
except ImportError:
    if os.environ.get("DCM_PROCESSOR_TEST_MONAI"):
        raise
    pytest.skip("MONAI is not installed: pip install -e '.[monai,highdicom]'", allow_module_level=True)

EXAMPLE = ROOT / "examples" / "monai_bundle.py"


def run_line(line: str, folder: Path, *more: str) -> str:
    program, *arguments = shlex.split(line.replace("examples/", f"{EXAMPLE.parent}/"))
    own = [] if program == "python" else ["-m", "dcm_processor_service"]
    command = [sys.executable, *own, *arguments, *more]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_bundle_segments_a_scan_and_its_answer_lies_on_the_scan(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    make, run = re.findall(r"^    ((?:dcm-processor-service|python) .*)$", text, flags=re.MULTILINE)
    run_line(make, tmp_path)
    found = json.loads(run_line(run, tmp_path, "--json"))
    slices = sorted(map(pydicom.dcmread, sample_folder().iterdir()), key=lambda one: one.ImagePositionPatient[2])
    scan = np.stack([apply_rescale(one.pixel_array, one) for one in slices])
    (height, width), depth = slices[0].PixelSpacing, 2.5
    is_lung = scan < -400
    voxel_ml = height * width * depth / 1000
    # the network's grid is coarser, and its mean of 27 voxels blurs the border
    assert found["result"]["volume_ml"] == pytest.approx(is_lung.sum() * voxel_ml, rel=0.25)
    (path,) = [Path(entry["path"]) for entry in found["files"]]
    made = pydicom.dcmread(tmp_path / path)
    mask = np.zeros(scan.shape, bool)
    places = [float(one.ImagePositionPatient[2]) for one in slices]
    frames = made.pixel_array.reshape(-1, *scan.shape[1:])
    for item, frame in zip(made.PerFrameFunctionalGroupsSequence, frames, strict=True):
        mask[places.index(float(item.PlanePositionSequence[0].ImagePositionPatient[2]))] = frame > 0
    assert mask.sum() * voxel_ml == pytest.approx(found["result"]["volume_ml"])
    assert (mask & is_lung).sum() / (mask | is_lung).sum() > 0.7  # where it lies, not only how much it is
