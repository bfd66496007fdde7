"""What a run shows: labels over the scan, other images by themselves, the scan where nothing was written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from dcm_processor_service import RuntimeContext  # noqa: TC001 annotations of callbacks are read when they run
from dcm_processor_service.imaging.pictures.key_slices import picture_of_scan
from dcm_processor_service.imaging.pictures.mosaic import LABEL_COLOURS
from dcm_processor_service.imaging.pictures.results import pictures_of_results
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.local.workspace import Workspace
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.local.workspace import LocalRun
    from dcm_processor_service.models.images.pictures import ResultPicture


@pytest.fixture
def scan(tmp_path: Path) -> list[Path]:
    (tmp_path / "scan").mkdir()
    return single_frame(Recipe(columns=24, rows=20, slices=8, rescale=("1", "-1024")), tmp_path / "scan")


def run(tmp_path: Path, function: Callable[[RuntimeContext], Any], **more: Any) -> LocalRun:
    place = Workspace(tmp_path / "work")
    filed, _catalogue = place.ingest([tmp_path / "scan"])
    return place.run(function, filed.series[0], filed=filed, job_name="show", params={}, **more)


def mask_of(volume: Volume) -> np.ndarray[Any, Any]:
    mask = np.zeros(volume.shape, np.uint8)
    mask[5:12, 5:12, 2:6] = 1
    return mask


def write_mask(ctx: RuntimeContext) -> None:
    volume = ctx.session.dicom.get_series().volume()
    labels = {"labels": {"1": "spleen"}}
    ctx.session.files.save("masks/mask.nii.gz", volume.like(mask_of(volume)).to_nifti(), metadata=labels)
    ctx.session.files.save("image.nii", volume.to_nifti())


def test_labels_lie_over_the_scan_and_images_stand_by_themselves(tmp_path: Path, scan: list[Path]) -> None:
    result = run(tmp_path, write_mask)
    assert {sheet.relative_to(result.folder) for sheet in result.sheets} == {
        Path("masks/mask.preview.png"),
        Path("image.preview.png"),
    }
    over, bare = (colours(result.folder / name) for name in ("masks/mask.preview.png", "image.preview.png"))
    assert OUTLINE in over
    assert OUTLINE not in bare
    mask, image = sorted(result.pictures, key=lambda one: one.name, reverse=True)
    assert (mask.caption[:4], [entry.name for entry in mask.legend], image.legend) == ("over", ["spleen"], ())
    voxel_ml = float(np.prod(read_volume(scan).spacing_mm)) / 1000
    assert mask.legend[0].volume_ml == pytest.approx(7 * 7 * 4 * voxel_ml, abs=1e-3)


OUTLINE = LABEL_COLOURS[0]


def colours(picture: Path) -> set[tuple[int, ...]]:
    pixels = np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")).reshape(-1, 3)
    return {tuple(map(int, one)) for one in np.unique(pixels, axis=0)}


def test_a_job_that_wrote_no_image_shows_its_scan(tmp_path: Path, scan: list[Path]) -> None:
    result = run(tmp_path, lambda ctx: ctx.session.data.set("value", 1))
    assert [sheet.name for sheet in result.sheets] == ["series.preview.png"]
    assert result.sheets[0].read_bytes() == picture_of_scan(scan, len(scan)).png


@pytest.mark.usefixtures("scan")
def test_pictures_of_an_earlier_run_go_and_none_are_drawn_when_none_are_wanted(tmp_path: Path) -> None:
    drawn = run(tmp_path, write_mask).sheets
    again = run(tmp_path, lambda ctx: ctx.session.data.set("value", 1), preview=False)
    assert again.sheets == ()
    assert not [sheet for sheet in drawn if sheet.exists()]
    run(tmp_path, lambda ctx: ctx.session.data.set("value", 1))
    run(tmp_path, write_mask, preview=False)
    assert not list((tmp_path / "work").rglob("*.png"))


@pytest.mark.usefixtures("scan")
def test_a_file_of_the_jobs_own_stays_and_what_is_no_image_has_no_picture(tmp_path: Path) -> None:
    def callback(ctx: RuntimeContext) -> None:
        write_mask(ctx)
        ctx.session.files.put("image.preview.png", b"the job's own")
        ctx.session.files.put("broken.nii.gz", b"no NIfTI")

    result = run(tmp_path, callback)
    assert [sheet.name for sheet in result.sheets] == ["mask.preview.png"]
    assert (result.folder / "image.preview.png").read_bytes() == b"the job's own"


def odd_images(folder: Path) -> list[Path]:
    colour = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.nifti1.Nifti1Image(colour, np.eye(4)), folder / "colour.nii")
    nib.save(nib.nifti1.Nifti1Image(np.zeros((4, 4), np.int16), np.eye(4)), folder / "flat.nii")
    nib.save(nib.nifti1.Nifti1Image(np.ones((30, 30, 30), np.float32), np.eye(4)), folder / "whole.nii.gz")
    packed = bytearray((folder / "whole.nii.gz").read_bytes())
    packed[12:40] = bytes(28)
    (folder / "damaged.nii.gz").write_bytes(packed)
    return [folder / "colour.nii", folder / "flat.nii", folder / "damaged.nii.gz"]


def test_an_odd_or_damaged_image_takes_no_picture_and_no_result_away(tmp_path: Path, scan: list[Path]) -> None:
    paths = odd_images(tmp_path)
    for series in (scan, []):
        found: dict[str, tuple[Path, dict[int, str]]] = {path.name: (path, {}) for path in paths}
        found["whole.nii.gz"] = (tmp_path / "whole.nii.gz", {})
        pictures = list(pictures_of_results(found, series))
        assert len(pictures) == 4
        assert (pictures[0], pictures[2]) == (None, None)
        assert pictures[3] is not None


@pytest.mark.usefixtures("scan")
def test_a_callback_that_failed_shows_its_scan_as_well(tmp_path: Path) -> None:
    def callback(_ctx: RuntimeContext) -> None:
        raise ValueError

    result = run(tmp_path, callback)
    assert not result.outcome.ok
    assert [sheet.name for sheet in result.sheets] == ["series.preview.png"]


@pytest.mark.parametrize("change", ["many values", "negative", "fractions", "far away"])
def test_what_is_no_mask_of_this_scan_is_drawn_by_itself(tmp_path: Path, scan: list[Path], change: str) -> None:
    volume = read_volume(scan)
    array, affine = mask_of(volume).astype(np.int16), volume.affine("RAS")
    if change == "far away":
        affine[0, 3] += 5000
    elif change == "many values":
        array = (np.arange(array.size) % 200).reshape(array.shape).astype(np.int16)
    elif change == "negative":
        array -= 1
    if change == "fractions":
        image = nib.nifti1.Nifti1Image(array.astype(np.float32) / 2, affine)
    else:
        image = nib.nifti1.Nifti1Image(array, affine)
    nib.save(image, tmp_path / "x.nii")
    over, alone = (drawn(tmp_path / "x.nii", series) for series in (scan, []))
    assert over == alone


def drawn(path: Path, series: list[Path]) -> ResultPicture:
    [picture] = pictures_of_results({path.name: (path, {})}, series)
    assert picture is not None
    return picture


@pytest.mark.parametrize("spacing", [2.5, 0.7])
def test_labels_on_another_grid_are_drawn_where_they_lie_in_the_scan(
    tmp_path: Path, scan: list[Path], spacing: float
) -> None:
    volume = read_volume(scan)
    same = volume.like(mask_of(volume))
    nib.save(same.to_nifti(), tmp_path / "same.nii")
    nib.save(same.resample(spacing, "nearest").reorient("SAR").to_nifti(), tmp_path / "other.nii")
    on_grid, elsewhere = drawn(tmp_path / "same.nii", scan), drawn(tmp_path / "other.nii", scan)
    assert elsewhere.caption.startswith("over")
    assert elsewhere.legend[0].volume_ml == pytest.approx(on_grid.legend[0].volume_ml, rel=0.6)
    edges = [outline(one.png) for one in (on_grid, elsewhere)]
    assert np.abs(edges[0] - edges[1]).max() < 15  # of 240 pixels a slice


def outline(png: bytes) -> np.ndarray[Any, Any]:
    """The box around all outlines of the first slice that has some, in pixels of its tile."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    rows, columns = np.nonzero((pixels[:, :238] == OUTLINE).all(axis=2))
    return np.array([rows.min(), rows.max(), columns.min(), columns.max()])
