"""Masks of other grids on the slices of their source, at their place in the patient, and the objects made of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcm_processor_service.derived import (
    SourceSeries,
    StudyIdentity,
    derive_image,
    overlay,
    save,
    segmentation,
    structure_set,
    validate,
)
from dcm_processor_service.derived.drawings.named_masks import NamedMasks
from dcm_processor_service.derived.inputs import voxels_of
from dcm_processor_service.derived.placement import place
from dcm_processor_service.derived.source_grid import to_source
from dcm_processor_service.errors import DerivedObjectError, UnsupportedValueError
from dcm_processor_service.imaging.volumes.read import read_volumes
from dcm_processor_service.imaging.volumes.source_slices import SourceSlices
from dcm_processor_service.imaging.volumes.volume import Volume
from dcm_processor_service.models.derived import ImageOptions
from dcm_processor_service.testing import synthetic_series
from tests.desk import examples
from tests.unit.derived.drawn import drawn
from tests.unit.derived.sources import PLAIN, make_headers, make_recipe, make_source, stored
from tests.unit.derived.volumes import ORIENTATIONS, affines, turned

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

SHAPE = (8, 7, 5)
TILTED = np.array([[0.5, 0, 0, -30], [0, 0.7, 0.9, 12], [0, 0, 2.5, 3], [0, 0, 0, 1]])
HEIGHTS = (0.0, 2.0, 3.0, 7.5, 10.0)


def uneven() -> list[Dataset]:
    headers = make_headers(PLAIN, SHAPE)
    for header, height in zip(headers, HEIGHTS, strict=True):
        header.ImagePositionPatient = [0, 0, height]
    return headers


def blob(shape: tuple[int, ...] = (20, 22, 30), seed: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def looked_up(volume: Volume, header: Dataset) -> NDArray[Any]:
    """For each voxel of an image the value of the voxel of the volume at its place, one by one."""
    found = np.zeros((header.Columns, header.Rows), volume.array.dtype)
    row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = (float(part) for part in header.PixelSpacing)
    for i, j in np.ndindex(*found.shape):
        place = np.array(header.ImagePositionPatient, float) + row * between_columns * i + column * between_rows * j
        index = np.rint(np.linalg.solve(volume.affine_lps, [*place, 1])[:3]).astype(int)
        if (index >= 0).all() and (index < volume.array.shape).all():
            found[i, j] = volume.array[tuple(index)]
    return found


def around(headers: list[Dataset], step: float = 0.81) -> Volume:
    """A regular grid of its own around the middle of the headers' images."""
    middle = np.mean([np.array(header.ImagePositionPatient, float) for header in headers], axis=0)
    affine = np.diag([step * 0.4, step * 0.5, step, 1.0])
    affine[:3, 3] = middle - np.array([1.3, 0.7, 11 * step])
    return Volume(blob(), affine)


@pytest.mark.parametrize(
    "headers", [uneven(), make_headers(TILTED, SHAPE), make_headers(PLAIN, SHAPE)], ids=["uneven", "tilted", "plain"]
)
def test_every_voxel_has_the_value_at_its_place(headers: list[Dataset]) -> None:
    volume = around(headers)
    found = to_source(volume, SourceSeries.from_headers(headers))
    assert found.array.any()
    for index, header in enumerate(headers):
        assert np.array_equal(found.array[:, :, index], looked_up(volume, header))
        assert np.allclose(found.place_lps(0, 0, index), header.ImagePositionPatient)
        assert found.sources[index].sop_instance_uid == header.SOPInstanceUID


@settings(max_examples=examples(25), deadline=None)
@given(affine=affines(), seed=st.integers(0, 9), orientation=st.sampled_from(ORIENTATIONS))
def test_what_lies_on_the_slices_already_comes_back_as_it_is(
    affine: NDArray[np.float64], seed: int, orientation: Any
) -> None:
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 2] *= -1
    labels = blob(SHAPE, seed)
    array, own = turned(labels, affine, *orientation)
    found = to_source(Volume(array, own), make_source(affine, SHAPE))
    assert np.array_equal(found.array, labels)
    assert found.array.dtype == labels.dtype
    place = affine @ np.array([3.0, 2.0, 4.0, 1.0])
    assert np.allclose(found.place_lps(3, 2, 4), place[:3], atol=1e-6)


@pytest.mark.parametrize("affine", [PLAIN, TILTED], ids=["plain", "tilted"])
def test_a_resampled_mask_comes_back_to_its_slices(affine: NDArray[np.float64]) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:6, 1:5, 1:4] = 1
    fine = Volume(mask, affine).resample((0.25, 0.35, 0.5), "nearest")
    found = to_source(fine, make_source(affine, SHAPE))
    assert np.array_equal(found.array, mask)


def test_an_image_of_nibabel_is_brought_from_ras() -> None:
    headers = uneven()
    volume = around(headers)
    image = nib.nifti1.Nifti1Image(volume.array, np.diag([-1.0, -1, 1, 1]) @ volume.affine_lps)
    source = SourceSeries.from_headers(headers)
    assert np.array_equal(to_source(image, source).array, to_source(volume, source).array)


def test_a_segmentation_of_uneven_slices_has_every_frame_at_its_place() -> None:
    headers = uneven()
    source = SourceSeries.from_headers(headers)
    mask = to_source(around(headers), source)
    made = stored(segmentation({"liver": mask.like(mask.array > 0)}, source, make_recipe()))
    assert validate(made) == ()
    assert "SpacingBetweenSlices" not in made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    frames = made.pixel_array.reshape(-1, SHAPE[1], SHAPE[0])
    found = {}
    for groups, frame in zip(made.PerFrameFunctionalGroupsSequence, frames, strict=True):
        place = tuple(float(part) for part in groups.PlanePositionSequence[0].ImagePositionPatient)
        found[place] = frame.T
        references = groups.DerivationImageSequence[0].SourceImageSequence
        at = [header for header in headers if header.SOPInstanceUID == references[0].ReferencedSOPInstanceUID]
        assert place == tuple(at[0].ImagePositionPatient)
    for index, height in enumerate(HEIGHTS):
        plane = found.get((0.0, 0.0, height), np.zeros(SHAPE[:2]))
        assert np.array_equal(plane, mask.array[:, :, index] > 0)


def test_structures_pictures_and_images_of_uneven_slices_lie_on_them(tmp_path: Path) -> None:
    headers = uneven()
    source = SourceSeries.from_headers(headers)
    mask = to_source(around(headers), source)
    structures = structure_set(mask, source, make_recipe(), {1: "liver", 2: "spleen", 3: "pancreas"})
    found = drawn(structures, headers)
    for label, name in ((1, "liver"), (2, "spleen"), (3, "pancreas")):
        assert np.array_equal(found[name], mask.array == label)
    pictures = overlay(mask, mask, source, make_recipe("fused"), {1: "liver", 2: "spleen"})
    images = derive_image(mask, source, make_recipe("map"), options=ImageOptions(kind="sc")).datasets
    for made in (pictures, images):
        assert [float(dataset.ImagePositionPatient[2]) for dataset in made] == list(HEIGHTS)
        assert "SpacingBetweenSlices" not in made[0]
    assert np.array_equal(images[3].pixel_array.T, mask.array[:, :, 3])
    save([structures, *pictures, *images], tmp_path)


def test_the_volume_on_uneven_slices_counts_each_up_to_halfway_to_its_neighbours() -> None:
    headers = uneven()
    array = np.zeros(SHAPE, np.uint8)
    array[0, 0, 2], array[0, 0, 4] = 1, 1
    source = SourceSeries.from_headers(headers)
    whole = to_source(around(headers), source)
    masks = NamedMasks.of(whole.like(array), {1: "liver"}, source)
    assert masks.volumes_ml() == pytest.approx([0.5 * 0.75 * ((7.5 - 2.0) / 2 + 2.5) / 1000])


def test_uneven_slices_are_never_taken_for_an_even_volume_of_as_many() -> None:
    headers = uneven()
    source = SourceSeries.from_headers(headers)
    mask = to_source(around(headers), source)
    even = Volume(np.zeros(SHAPE, np.int16), place(voxels_of(mask), source).affine_lps)
    with pytest.raises(UnsupportedValueError, match="different grids"):
        overlay(even, mask, source, make_recipe(), {1: "liver"})


def test_a_mask_of_one_part_of_an_uneven_series_covers_that_part_alone(tmp_path: Path) -> None:
    datasets = synthetic_series(slices=8)
    for number, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [0, 0, number * 2.0 if number < 4 else 8 + (number - 4) * 5.0]
    paths = []
    for number, dataset in enumerate(datasets):
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    runs = read_volumes(paths, "split")
    assert len(runs) == 2
    source = SourceSeries.from_headers(datasets)
    for run in runs:
        found = to_source(run.like(np.ones(run.shape, np.uint8)), source)
        assert found.shape[2] == 8
        covered = {each.sop_instance_uid for each, mask in zip(found.sources, found.array.T, strict=True) if mask.any()}
        assert covered == {each.sop_instance_uid for each in run.sources[0]}
        turned_round = run.like(np.ones(run.shape, np.uint8)).reorient("RAI")
        assert np.array_equal(to_source(turned_round, source).array, found.array)
    even = read_volumes(paths, "resample", max_gap_mm=5.0)[0]
    labels = to_source(even.like((even.array > 0).astype(np.uint8)), source)
    assert [each.sop_instance_uid for each in labels.sources] == [dataset.SOPInstanceUID for dataset in datasets]


def test_labels_that_lie_between_slices_are_reported_of(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.zeros((8, 7, 25), np.uint8)
    labels[..., 0], labels[4, 4, 2] = 1, 7
    volume = Volume(labels, PLAIN @ np.diag([1, 1, 0.2, 1]))
    with caplog.at_level(logging.WARNING):
        to_source(volume, make_source(PLAIN, SHAPE))
    assert "labels [7]" in caplog.text


def coronal() -> list[Dataset]:
    affine = np.array([[0.5, 0, 0, 0], [0, 0, 2.0, 0], [0, -0.5, 0, 5], [0, 0, 0, 1]])
    headers = make_headers(affine, SHAPE)
    for header in headers:
        header.SOPInstanceUID += ".5"
    return headers


def test_of_several_stacks_the_name_of_the_volume_says_which() -> None:
    source = SourceSeries.from_headers([*make_headers(PLAIN, SHAPE), *coronal()])
    names = [stack.name for stack in source.stacks]
    assert len(set(names)) == 2
    for name in names:
        found = to_source(Volume(blob(), PLAIN @ np.diag([0.3, 0.3, 0.5, 1]), name=name), source)
        (stack,) = (stack for stack in source.stacks if stack.name == name)
        assert [each.sop_instance_uid for each in found.sources] == [
            frame.instance.sop_instance_uid for frame in stack.grid[0]
        ]
    with pytest.raises(DerivedObjectError, match="several stacks"):
        to_source(Volume(blob(), PLAIN), source)


def test_a_mask_of_a_4d_series_refers_to_all_its_volumes() -> None:
    source = make_source(PLAIN, SHAPE, volumes=3)
    mask = to_source(Volume(np.ones(SHAPE, np.uint8), PLAIN), source)
    made = segmentation({"liver": mask}, source, make_recipe())
    assert made.NumberOfFrames == SHAPE[2]
    assert len(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 3 * SHAPE[2]


def test_what_cannot_be_brought_to_the_slices_is_refused_with_its_remedy() -> None:
    source = make_source(PLAIN, SHAPE)

    def refused(voxels: Any, match: str, like: Any = source) -> None:
        with pytest.raises(DerivedObjectError, match=match):
            to_source(voxels, like)

    refused(np.zeros(SHAPE), "does not say where it lies")
    refused(Volume(np.zeros((*SHAPE, 2), np.uint8), PLAIN), "not a single volume")
    away = PLAIN.copy()
    away[2, 3] = -400
    refused(Volume(blob(), away), "no slice of the series goes through")
    refused(Volume(blob(), PLAIN, frame_of_reference_uid="1.2.3.4"), "another frame of reference")
    refused(Volume(blob(), PLAIN), "no slices", StudyIdentity(patient_id="P", study_instance_uid="1.2"))
    mask = to_source(Volume(blob(), PLAIN), source)
    others = make_headers(PLAIN, SHAPE)
    for header in others:
        header.SOPInstanceUID += ".9"
    with pytest.raises(DerivedObjectError, match="belong to another series"):
        segmentation({"liver": mask.like(mask.array > 0)}, SourceSeries.from_headers(others), make_recipe())
    with pytest.raises(UnsupportedValueError, match="the slices"):
        mask.like(mask.array[:2])
    with pytest.raises(UnsupportedValueError, match="a source and an affine for each"):
        SourceSlices(mask.array, mask.sources[1:], mask.affines_lps)
