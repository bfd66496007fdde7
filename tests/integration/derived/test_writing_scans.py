"""Real scans, and what is derived of them, are written byte by byte as pydicom writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.derived import save
from dcm_processor_service.derived.make import make_image
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.models.derived import ImageOptions
from tests.shared_data import shared_folder
from tests.unit.derived.sources import make_recipe
from tests.unit.derived.test_writing import by_pydicom, by_us

if TYPE_CHECKING:
    from pathlib import Path


def folders() -> list[Path]:
    """Every folder of scans with files in it."""
    return sorted({path.parent for path in shared_folder("data").rglob("*.dcm")})


@pytest.mark.filterwarnings("ignore")  # of pydicom, about what scanners write
def test_each_scan_is_written_as_pydicom_writes_it() -> None:
    found = folders()
    assert found
    for folder in found:
        dataset = dcmread(min(folder.glob("*.dcm")))
        assert by_us(dataset) == by_pydicom(dataset), folder.name


@pytest.mark.filterwarnings("ignore")
def test_what_is_derived_of_a_scan_is_written_as_pydicom_writes_it(tmp_path: Path) -> None:
    paths = sorted((shared_folder("data") / "dcm_qa_nih/In/20180918GE/mr_0004").glob("*.dcm"))
    volume = read_volume(paths)
    made = make_image(
        volume.like((volume.array // 2).astype(np.int16)), paths, make_recipe("half"), ImageOptions(), None
    )
    expected = [by_pydicom(dataset) for dataset in made]
    assert [path.read_bytes() for path in save(made, tmp_path)] == expected
