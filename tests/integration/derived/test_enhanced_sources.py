"""Results on real enhanced MR (Siemens XA, Philips, Agfa), whose frames have their pixel measures each on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dcm_processor_service.derived import (
    MapOptions,
    derive_image,
    parametric_map,
    save,
    segmentation,
    structure_set,
    validate,
)
from dcm_processor_service.derived.source import source_series
from dcm_processor_service.imaging.headers.folder import DicomFolders, files_below
from dcm_processor_service.imaging.headers.values import text
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.models import LeftOutFile
from tests.integration.derived.test_outside_validator import complaints
from tests.shared_data import shared_folder
from tests.unit.derived.sources import make_recipe

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = ("dcm_qa_enh", "dcm_qa_agfa")


def series_below(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for one in DicomFolders().read(files_below(folder)):
        if not isinstance(one, LeftOutFile):
            found.setdefault(text(one.header, "SeriesInstanceUID"), []).append(one.path)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_results_on_enhanced_mr_are_what_the_standard_asks_for(folder: str, tmp_path: Path) -> None:
    all_series = series_below(shared_folder("data") / folder)
    assert len(all_series) == 2
    for paths in all_series.values():
        volume = read_volumes(paths, "split")[0]
        array = volume.array[..., 0] if volume.array.ndim == 4 else volume.array
        source = source_series(paths)
        mask = array > np.percentile(array, 90)
        seg = segmentation({"brain": volume.like(mask)}, source, make_recipe("mask"))
        made = [
            seg,
            parametric_map(volume.like(array / 3), source, make_recipe("map"), options=MapOptions("mm2/s")),
            structure_set({"brain": volume.like(mask)}, source, make_recipe("outlines")),
            derive_image(volume.like(array // 2), source, make_recipe("image")).datasets[0],
        ]
        assert [each for dataset in made for each in validate(dataset) if each.about == "object"] == []
        for path in save(made, tmp_path):
            assert [each for each in complaints(path) if "Illegal root for UID" not in each] == []  # the source's
        assert int(np.unpackbits(np.frombuffer(seg.PixelData, np.uint8)).sum()) == int(mask.sum())
