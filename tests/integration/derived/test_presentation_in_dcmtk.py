"""DCMTK shows a real image through a presentation state of ours: window, area and annotations are what it reads."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dcm_processor_service.derived import Marker, PresentationOptions, SourceSeries, presentation, save
from tests.missing import missing
from tests.unit.derived.sources import make_recipe

if TYPE_CHECKING:
    from pathlib import Path


def dcmp2pgm() -> str:
    program = shutil.which("dcmp2pgm")
    if program is None:
        reason = "dcmp2pgm is not installed (Debian package dcmtk)"
        missing(reason)
    return program


def test_dcmtk_renders_the_image_through_the_window_of_the_state(tmp_path: Path) -> None:
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    ct = dcmread(path)
    values = ct.pixel_array * float(ct.RescaleSlope) + float(ct.RescaleIntercept)
    mask = values.T > 300
    center, width = 100.0, 800.0
    marker = Marker(tuple(ct.ImagePositionPatient), "corner")
    options = PresentationOptions(window=(center, width), text="draft")
    source = SourceSeries.from_headers([ct])
    made = presentation({"bone": mask}, [marker], source, make_recipe(), options=options)
    (state,) = save(made, tmp_path)
    picture = tmp_path / "shown.pgm"
    run = subprocess.run(
        [dcmp2pgm(), "--pstate", str(state), path, str(picture)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    shown = np.asarray(Image.open(picture)).astype(float)
    expected = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1) * 255  # PS3.3, section C.11.2.1.2.1
    assert np.abs(shown - expected).max() <= 2
