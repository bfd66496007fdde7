"""``derive`` of label maps: presentation states, other grids, and several time points."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, SegmentationStorage

from dcm_processor_service.testing import synthetic_series
from tests.command_line import run_here

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def stored(folder: Path, **series: Any) -> Path:
    folder.mkdir()
    for number, dataset in enumerate(synthetic_series(**series)):
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def label_map(folder: Path, target: Path, scale: int = 1) -> tuple[Path, NDArray[np.uint8]]:
    """Writes a label map on the grid of a series, or on one that is finer within the slices."""
    assert run_here("convert", str(folder), str(target / "scan.nii.gz")).code == 0
    image = nibabel.nifti1.load(target / "scan.nii.gz")
    shape = (image.shape[0] * scale, image.shape[1] * scale, *image.shape[2:])
    array = np.zeros(shape, np.uint8)
    array[2 * scale : 6 * scale, 3 * scale : 5 * scale, 1] = 5
    affine = np.array(image.affine)
    if scale > 1:
        shrink = np.diag([1 / scale, 1 / scale, 1.0, 1.0])
        shrink[:2, 3] = (1 / scale - 1) / 2
        affine = affine @ shrink
    path = target / "labels.nii.gz"
    nibabel.nifti1.save(nibabel.nifti1.Nifti1Image(array, affine), path)
    return path, array


def derived(labels: Path, like: Path, out: Path, *options: str) -> list[pydicom.Dataset]:
    ran = run_here("derive", str(labels), "--like", str(like), "--out", str(out), "--json", *options)
    assert ran.code == 0, ran.stderr
    return [pydicom.dcmread(each["path"]) for each in map(json.loads, ran.stdout.splitlines())]


def test_labels_become_outlines_that_a_viewer_draws_over_the_series(tmp_path: Path) -> None:
    like = stored(tmp_path / "scan", slices=3)
    labels, _ = label_map(like, tmp_path)
    options = ("--kind", "presentation", "--segment", "5=liver", "--text", "draft")
    (made,) = derived(labels, like, tmp_path / "made", *options)
    assert made.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
    assert [item.GraphicLayerDescription for item in made.GraphicLayerSequence] == ["liver"]
    texts = [t.UnformattedTextValue for a in made.GraphicAnnotationSequence for t in a.get("TextObjectSequence", ())]
    assert texts == ["draft"]


@pytest.mark.parametrize("kind", ["seg", "rtstruct", "presentation"])
def test_labels_of_another_grid_are_brought_to_the_slices_of_the_series(kind: str, tmp_path: Path) -> None:
    like = stored(tmp_path / "scan", slices=3)
    labels, _ = label_map(like, tmp_path, scale=3)
    options = ("--kind", kind, "--segment", "5=liver", "--to-source")
    (made,) = derived(labels, like, tmp_path / "made", *options)
    if kind == "seg":
        assert (made.Columns, made.Rows) == (16, 16)
        assert int(made.pixel_array.sum()) == 8


def test_other_kinds_are_not_brought_to_the_series(tmp_path: Path) -> None:
    like = stored(tmp_path / "scan", slices=3)
    labels, _ = label_map(like, tmp_path)
    ran = run_here("derive", str(labels), "--like", str(like), "--out", str(tmp_path / "o"), "--to-source")
    assert ran.code == 2
    assert "--to-source is for --kind seg" in ran.stderr


def test_a_file_of_several_time_points_becomes_a_segmentation_of_each(tmp_path: Path) -> None:
    like = stored(tmp_path / "scan", slices=3, kind="4d")
    labels, array = label_map(like, tmp_path)
    made = derived(labels, like, tmp_path / "made", "--kind", "seg", "--labels", "totalsegmentator")
    assert len(made) == array.shape[3] == 3
    assert {each.SOPClassUID for each in made} == {SegmentationStorage}
    assert len({each.SeriesNumber for each in made}) == len({each.SeriesInstanceUID for each in made}) == 3
    assert {int(each.pixel_array.sum()) for each in made} == {8}
