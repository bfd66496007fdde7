"""A volume from every policy, derived and read back, has the source's frame of reference and lies where it lay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from dcm_processor_service.derived import ImageOptions, derive_image, parametric_map, save, segmentation
from dcm_processor_service.derived.objects.highdicom_bridge import released
from dcm_processor_service.derived.source import source_series
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.series.policies import open_findings
from dcm_processor_service.imaging.volumes.read import read_volumes
from tests.unit.derived.sources import make_recipe, stored
from tests.unit.imaging.synthetic import Recipe, multi_frame, new_instance, single_frame
from tests.unit.imaging.synthetic import save as save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.imaging.volumes.volume import Volume
    from dcm_processor_service.models.images.nifti import Policy

TILTED = Recipe(slices=6, shear=(0.0, 0.9, 0.0))


def edited(paths: list[Path], change: Callable[[Dataset], None]) -> list[Path]:
    for path in paths:
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path)
    return paths


def gap(folder: Path) -> list[Path]:
    paths = single_frame(Recipe(slices=8), folder)
    return [path for path in paths if dcmread(path).InstanceNumber != 4]


def tilted_gap(folder: Path) -> list[Path]:
    paths = single_frame(replace(TILTED, slices=8), folder)
    return [path for path in paths if dcmread(path).InstanceNumber != 4]


def two_echoes(folder: Path) -> list[Path]:
    def change(dataset: Dataset) -> None:
        dataset.EchoTime = 10.0 * dataset.TemporalPositionIdentifier
        del dataset.TemporalPositionIdentifier

    return edited(single_frame(Recipe(volumes=2, modality="MR"), folder), change)


def localizer_first(folder: Path) -> list[Path]:
    """A coronal localizer of another size before an axial stack, all of one series."""
    axial = single_frame(Recipe(), folder)
    first = dcmread(axial[0])

    def change(dataset: Dataset) -> None:
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = first.SeriesInstanceUID, first.StudyInstanceUID
        dataset.FrameOfReferenceUID, dataset.ImageType = first.FrameOfReferenceUID, ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    coronal = Recipe(slices=1, rows=7, orientation=(1, 0, 0, 0, 0, -1))
    return [*edited(single_frame(coronal, folder), change), *axial]


def film(folder: Path, modality: str, sop_class: str, **attributes: Any) -> list[Path]:
    recipe = Recipe(slices=4, modality=modality, signed=False, bits_stored=12)
    dataset = new_instance(recipe, generate_uid(), sop_class)
    dataset.NumberOfFrames, dataset.PixelSpacing = recipe.slices, [recipe.row_distance, recipe.column_distance]
    dataset.PixelData = recipe.stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return [save_file(dataset, folder / "film.dcm")]


def dose(folder: Path) -> list[Path]:
    place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [-12.5, 40.25, -7.0]}
    scaled = {"GridFrameOffsetVector": [0, 3, 6, 9], "DoseGridScaling": "0.001", "DoseUnits": "GY"}
    return film(folder, "RTDOSE", "1.2.840.10008.5.1.4.1.1.481.2", **place, **scaled)


def tomogram(folder: Path) -> list[Path]:
    detector = Dataset()
    detector.ImageOrientationPatient, detector.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-12.5, 40.25, -7.0]
    return film(
        folder,
        "NM",
        "1.2.840.10008.5.1.4.1.1.20",
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        SliceVector=[4, 3, 2, 1],
        SpacingBetweenSlices=-4.0,
        DetectorInformationSequence=[detector],
    )


def negative_spacing(folder: Path) -> list[Path]:
    return single_frame(Recipe(slices=1, extra={"SpacingBetweenSlices": -3.0, "SliceThickness": 3.0}), folder)


SOURCES: dict[str, Callable[[Path], list[Path]]] = {
    "plain": lambda folder: single_frame(Recipe(), folder),
    "coronal": lambda folder: single_frame(Recipe(orientation=(1, 0, 0, 0, 0, -1), reversed_numbers=True), folder),
    "gap": gap,
    "tilted": lambda folder: single_frame(TILTED, folder),
    "tilted with a gap": tilted_gap,
    "4D": lambda folder: single_frame(Recipe(volumes=3, modality="MR"), folder),
    "two echoes": two_echoes,
    "localizer first": localizer_first,
    "dose": dose,
    "tomogram": tomogram,
    "enhanced": lambda folder: multi_frame(Recipe(modality="MR"), folder),
    "enhanced 4D": lambda folder: multi_frame(Recipe(modality="MR", volumes=2), folder),
    "negative spacing": negative_spacing,
}
POLICIES: dict[str, list[Policy]] = {
    "plain": ["strict", "split", "largest", "resample"],
    "coronal": ["strict", "split", "largest", "resample"],
    "gap": ["split", "largest", "resample"],
    "tilted": ["split", "largest", "resample"],
    "tilted with a gap": ["split", "largest", "resample"],
    "4D": ["strict", "split", "largest", "resample"],
    "two echoes": ["split", "largest"],
    "localizer first": ["split", "largest"],
    "dose": ["strict", "split", "largest", "resample"],
    "tomogram": ["strict", "split", "largest", "resample"],
    "enhanced": ["strict", "split", "largest", "resample"],
    "enhanced 4D": ["strict", "split", "largest", "resample"],
    "negative spacing": ["split", "largest"],
}
"""For each source the policies that make volumes of it; the others refuse it."""
CASES = [(name, policy) for name, policies in POLICIES.items() for policy in policies]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    folder = tmp_path_factory.mktemp("sources")
    made = {}
    for name, make in SOURCES.items():
        (folder / name).mkdir()
        made[name] = make(folder / name)
    return made


def frame_of_reference(paths: list[Path]) -> str:
    (found,) = {str(dcmread(path, stop_before_pixels=True).FrameOfReferenceUID) for path in paths}
    return found


def values_at(volume: Volume) -> dict[tuple[float, ...], list[float]]:
    """The values over time at each place, LPS mm to a hundredth."""
    indices = np.indices(volume.shape[:3]).reshape(3, -1)
    places = (volume.affine_lps @ np.vstack([indices, np.ones(indices.shape[1])]))[:3].T
    values = volume.array.reshape(*volume.shape[:3], -1)[tuple(indices)]
    return {tuple(np.round(place, 2) + 0.0): list(own) for place, own in zip(places, values.tolist(), strict=True)}


def mask_of(volume: Volume) -> Volume:
    """A mask without symmetry, with voxels in the first and the last slice."""
    mask = np.zeros(volume.shape[:3], bool)
    mask[0, 1, 0] = mask[1, 0, 0] = mask[2, 1, -1] = mask[3, 3, -1] = True
    return volume.like(mask)


def segment_places(dataset: Dataset) -> set[tuple[float, ...]]:
    """The places of the first segment's voxels, by highdicom's reading of the pixels and each frame's own position."""
    read = hd.seg.Segmentation.from_dataset(stored(dataset))
    shared = read.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = set()
    for frame, groups in zip(np.atleast_3d(read.pixel_array.T).T, read.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for j, i in np.argwhere(frame):
            found.add(tuple(np.round(origin + i * between_columns * row + j * between_rows * column, 2) + 0.0))
    released(read)
    return found


def test_the_list_of_policies_is_complete(files: dict[str, list[Path]]) -> None:
    for name, paths in files.items():
        inspection = examine(paths)
        policies: list[Policy] = ["strict", "split", "largest", "resample"]
        assert [policy for policy in policies if not open_findings(inspection, policy)] == POLICIES[name], name


@pytest.mark.parametrize(("name", "policy"), CASES)
def test_an_image_lies_where_its_volume_lay(
    name: str, policy: Policy, files: dict[str, list[Path]], tmp_path: Path
) -> None:
    source = source_series(files[name])
    for volume in read_volumes(files[name], policy, max_gap_mm=10):
        made = derive_image(volume, source, make_recipe())
        assert {each.FrameOfReferenceUID for each in made.datasets} == {frame_of_reference(files[name])}
        paths = save(made.datasets, tmp_path / volume.name)
        (again,) = read_volumes(paths, "largest")
        assert again.frame_of_reference_uid == volume.frame_of_reference_uid
        assert again.shape == volume.shape
        found, expected = values_at(again), values_at(volume)
        assert found.keys() == expected.keys()
        for place, values in expected.items():
            assert found[place] == pytest.approx(values, abs=made.mapping.error_bound + 1e-4)


@pytest.mark.parametrize(("name", "policy"), CASES)
def test_a_segmentation_lies_where_its_mask_lay(name: str, policy: Policy, files: dict[str, list[Path]]) -> None:
    source = source_series(files[name])
    for volume in read_volumes(files[name], policy, max_gap_mm=10):
        mask = mask_of(volume)
        made = segmentation({"liver": mask}, source, make_recipe())
        assert made.FrameOfReferenceUID == frame_of_reference(files[name])
        expected = {place for place, values in values_at(mask).items() if any(values)}
        assert segment_places(made) == expected


@pytest.mark.parametrize(("name", "policy"), CASES)
def test_a_map_lies_where_its_volume_lay(name: str, policy: Policy, files: dict[str, list[Path]]) -> None:
    source = source_series(files[name])
    for volume in read_volumes(files[name], policy, max_gap_mm=10):
        one = volume.like(volume.array if volume.array.ndim == 3 else volume.array[..., 0])
        made = stored(parametric_map(one, source, make_recipe()))
        assert made.FrameOfReferenceUID == frame_of_reference(files[name])
        frames = np.atleast_3d(made.pixel_array.T)  # (columns, rows, slices)
        origins = [
            np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            for groups in made.PerFrameFunctionalGroupsSequence
        ]
        expected = values_at(one)
        for k, origin in enumerate(origins):
            assert expected[tuple(np.round(origin, 2) + 0.0)] == pytest.approx([float(frames[0, 0, k])])
        assert len(origins) == one.shape[2]


def test_each_slice_of_a_tilted_volume_refers_to_its_own_frame(files: dict[str, list[Path]]) -> None:
    (volume,) = read_volumes(files["tilted"], "split")
    made = derive_image(volume.reorient("RAS"), source_series(files["tilted"]), make_recipe())
    assert made.on_source_grid
    refers = [each.SourceImageSequence[0].ReferencedSOPInstanceUID for each in made.datasets]
    assert refers == [volume.source(k).sop_instance_uid for k in range(6)]


def test_a_volume_of_one_echo_refers_to_that_echo_alone(files: dict[str, list[Path]]) -> None:
    source = source_series(files["two echoes"])
    for volume in read_volumes(files["two echoes"], "split"):
        own = {slice_.sop_instance_uid for slice_ in volume.sources[0]}
        image = derive_image(volume, source, make_recipe())
        made = segmentation({"liver": mask_of(volume)}, source, make_recipe())
        assert {each.SourceImageSequence[0].ReferencedSOPInstanceUID for each in image.datasets} == own
        assert {each.ReferencedSOPInstanceUID for each in made.SourceImageSequence} == own


def test_an_array_on_the_planes_of_two_echoes_refers_to_both(files: dict[str, list[Path]]) -> None:
    made = derive_image(np.zeros((5, 4, 6), np.int16), source_series(files["two echoes"]), make_recipe())
    assert {len(each.SourceImageSequence) for each in made.datasets} == {2}


def test_a_mask_of_a_4d_volume_refers_to_all_its_times(files: dict[str, list[Path]]) -> None:
    (volume,) = read_volumes(files["4D"])
    made = derive_image(mask_of(volume), source_series(files["4D"]), make_recipe())
    for k, dataset in enumerate(made.datasets):
        refers = {each.ReferencedSOPInstanceUID for each in dataset.SourceImageSequence}
        assert refers == {line[k].sop_instance_uid for line in volume.sources}


def test_a_localizer_before_the_images_does_not_say_what_the_result_is(files: dict[str, list[Path]]) -> None:
    source = source_series(files["localizer first"])
    (largest,) = read_volumes(files["localizer first"], "largest")
    assert derive_image(largest, source, make_recipe()).datasets[0].ImageType[2] == "AXIAL"


def test_the_unit_of_a_volume_goes_with_it(files: dict[str, list[Path]]) -> None:
    (volume,) = read_volumes(files["dose"])
    made = derive_image(volume, source_series(files["dose"]), make_recipe()).datasets[0]
    assert (volume.rescale.unit, made.RescaleType) == ("GY", "GY")
    given = derive_image(volume, source_series(files["dose"]), make_recipe(), options=ImageOptions(units="CGY"))
    assert given.datasets[0].RescaleType == "CGY"


def test_another_volume_of_the_patient_stays_in_its_own_frame_of_reference(files: dict[str, list[Path]]) -> None:
    (volume,) = read_volumes(files["plain"])
    other = source_series(files["4D"])
    image = derive_image(volume, other, make_recipe()).datasets[0]
    assert image.FrameOfReferenceUID == volume.frame_of_reference_uid
    with pytest.raises(DerivedObjectError, match="frame of reference of the voxels"):
        segmentation({"liver": mask_of(volume)}, other, make_recipe())
    registered = replace(volume, frame_of_reference_uid=frame_of_reference(files["4D"]), sources=())
    moved = replace(registered, affine_lps=np.diag([0.6, 0.8, 2.5, 1.0]))
    made = segmentation({"liver": mask_of(moved)}, other, make_recipe())
    assert made.FrameOfReferenceUID == frame_of_reference(files["4D"])
    assert segment_places(made) == {place for place, values in values_at(mask_of(moved)).items() if any(values)}


def test_a_sheared_volume_of_another_series_is_refused(files: dict[str, list[Path]]) -> None:
    (volume,) = read_volumes(files["tilted"], "split")
    with pytest.raises(DerivedObjectError, match="give the series that its slices come from as the source"):
        derive_image(volume, source_series(files["plain"]), make_recipe())


def test_an_affine_that_was_changed_counts_and_not_the_planes_that_the_slices_came_from(
    files: dict[str, list[Path]],
) -> None:
    (volume,) = read_volumes(files["plain"])
    shifted = volume.affine_lps.copy()
    shifted[2, 3] += 0.3
    moved = replace(volume, affine_lps=shifted)
    made = derive_image(moved, source_series(files["plain"]), make_recipe())
    assert not made.on_source_grid
    assert [float(each.ImagePositionPatient[2]) for each in made.datasets] == pytest.approx(
        [-6.7 + 2.5 * k for k in range(6)]
    )
