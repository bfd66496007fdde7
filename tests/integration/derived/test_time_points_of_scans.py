"""Masks of a real 4D scan: a SEG for each time point, valid, and read back at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.derived import save
from dcm_processor_service.derived.reading.segments import read_segments
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.testing import fake_context
from tests.integration.derived.object_matrix import SOURCES
from tests.integration.derived.test_outside_validator import complaints

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["MR, GE, 4D"])
def test_a_real_scan_has_a_segmentation_for_each_of_its_volumes(name: str, tmp_path: Path) -> None:
    paths = SOURCES[name]()
    headers = [dcmread(path, stop_before_pixels=True) for path in paths]
    volume = read_volumes(paths, "split")[0]
    count = volume.shape[3]
    mask = np.zeros(volume.shape, bool)
    for time in range(count):
        mask[10 + time : 20 + time, 12:30, : volume.shape[2] // 2, time] = True
    made = fake_context().session.dicom.derive.segmentations({"brain": volume.like(mask)}, like=headers)
    assert len({each.SeriesNumber for each in made}) == len(made) == count > 1
    for time, (each, line) in enumerate(zip(made, volume.sources, strict=True)):
        (path,) = save([each], tmp_path)
        assert complaints(path) == []
        (segment,) = read_segments([path], paths, paths)
        assert np.array_equal(segment.mask().array != 0, mask[..., time])
        groups = each.PerFrameFunctionalGroupsSequence
        used = {g.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID for g in groups}
        assert used <= {one.sop_instance_uid for one in line}
