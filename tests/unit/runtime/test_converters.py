"""Series through the functions of the 0.0.1 API."""

from __future__ import annotations

import json
import logging
import tempfile
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from bson import ObjectId
from pydicom import Dataset, dcmread

import dcm_processor_service as sdk
from dcm_processor_service.backends.memory import MemoryDicomRepository
from dcm_processor_service.errors import ConfigurationError, NiftiConversionError, StoredFileNotFoundError
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.models import Instance
from dcm_processor_service.runtime.own_session import serving
from dcm_processor_service.session.scratch import open_scratch
from dcm_processor_service.testing import fake_context, synthetic_series

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from dcm_processor_service.models import SeriesRecord
    from dcm_processor_service.models.images.nifti import Engine, NiftiFiles
    from dcm_processor_service.runtime.container import Container


@pytest.fixture
def container() -> Iterator[Container]:
    """A job about a series that arrived in reverse order."""
    made: list[Container] = []
    context = fake_context(series=synthetic_series(slices=5)[::-1], customise=made.append)
    assert context.session.dicom.get_series().instance_count() == 5
    with serving(made[0]):
        yield made[0]


@pytest.fixture
def series(container: Container) -> SeriesRecord:
    found: SeriesRecord = container.session().dicom.get_series().info
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "scan"
    made.mkdir()
    for dataset in synthetic_series(slices=5):
        dataset.save_as(made / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    (made / "note.txt").write_text("no DICOM file")
    return made


def numbers(datasets: Any) -> list[int]:
    return [int(dataset.InstanceNumber) for dataset in datasets]


@pytest.mark.parametrize("spell", [str, ObjectId, lambda text: {"$oid": text}], ids=["text", "ObjectId", "extended"])
def test_a_series_is_found_however_its_id_is_written(series: SeriesRecord, spell: Any) -> None:
    datasets = sdk.get_series_dicom(spell(series.id))
    assert datasets is not None
    assert numbers(datasets) == [1, 2, 3, 4, 5]  # though they arrived from the last to the first
    assert isinstance(datasets[0], Dataset)
    assert datasets[0].pixel_array.shape == (16, 16)


def test_a_series_is_written_under_the_ids_of_its_instances(series: SeriesRecord, tmp_path: Path) -> None:
    paths = sdk.get_series_dicom(series.id, tmp_path / "new" / "folder")
    assert paths == [str(tmp_path / "new" / "folder" / f"{one}.dcm") for one in series.instance_ids[::-1]]
    assert numbers(map(dcmread, paths or ())) == [1, 2, 3, 4, 5]


def test_temporary_files_are_in_the_scratch_of_the_job(
    container: Container, series: SeriesRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    with open_scratch(tmp_path) as scratch:
        container.scratch.override(scratch)
        datasets = sdk.get_series_dicom(series.id)
        image, _header, _array = sdk.get_series_nifti(series.id)
    assert datasets is not None
    assert len(datasets) == image.shape[2] == 5


@pytest.mark.parametrize("series_id", ["0" * 24, "no id", "", None])
def test_an_unknown_series_is_none_and_has_no_volume(container: Container, series_id: Any) -> None:
    assert sdk.get_series_dicom(series_id) is None
    with pytest.raises(ValueError, match=f"the series {series_id} are stored"):
        sdk.get_series_nifti(series_id)


def test_an_instance_whose_file_is_gone_is_reported(container: Container, series: SeriesRecord) -> None:
    class Emptied(MemoryDicomRepository):
        async def find(self, *_arguments: object) -> SeriesRecord:
            return series

        async def instances(self, _series: SeriesRecord) -> list[Instance]:
            return [Instance(id="aa" * 12)]

        async def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
            for instance in instances:
                if instance.size_bytes == 0:
                    raise StoredFileNotFoundError(f"the file of {instance.id} is no longer stored")
                yield instance, b""

    container.dicom_repository.override(Emptied())
    with pytest.raises(StoredFileNotFoundError, match="aaaa"):
        sdk.get_series_dicom(series.id)


@pytest.mark.parametrize("name", ["volume.nii.gz", "volume.nii"])
def test_a_series_becomes_a_file_with_a_json_beside_it(series: SeriesRecord, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "all.nii.files"
    target = str(folder / name)
    filename, json_filename, nothing = sdk.get_series_nifti(series.id, target)
    assert (filename, json_filename, nothing) == (target, str(folder / "volume.json"), None)
    assert ((folder / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert nib.load(target).shape == (16, 16, 5)  # type: ignore[attr-defined]  # nibabel is partly typed
    header = json.loads((folder / "volume.json").read_text(encoding="utf-8"))
    assert (header["Modality"], header["Slices"], header["PatientID"]) == ("CT", 5, "SYNTHETIC")


def test_voxel_axes_are_those_of_the_first_release(series: SeriesRecord) -> None:
    image, _header, _array = sdk.get_series_nifti(series.id)
    assert nib.aff2axcodes(image.affine) == ("L", "A", "S")  # dcm2niix turns the rows round


def test_what_dcm2niix_cannot_convert_is_converted_by_another_engine(
    container: Container, series: SeriesRecord, caplog: pytest.LogCaptureFixture
) -> None:
    real = container.converter()

    class WithoutDcm2niix:
        def convert(
            self, paths: Sequence[Path], destination: Path, *, engine: Engine = "auto", **more: Any
        ) -> NiftiFiles:
            if engine == "dcm2niix":
                raise NiftiConversionError("dcm2niix is not installed")
            return real.convert(paths, destination, engine=engine, **more)

    container.converter.override(WithoutDcm2niix())
    image, header, _array = sdk.get_series_nifti(series.id)
    assert image.shape == (16, 16, 5)
    assert isinstance(header, dict)
    assert header["Slices"] == 5
    assert "converted by the engine native" in caplog.text


def test_a_series_becomes_an_image_that_depends_on_no_file(series: SeriesRecord) -> None:
    image, header, array = sdk.get_series_nifti(series.id)
    assert isinstance(header, dict)
    assert header["Slices"] == 5
    assert array is not None
    assert (str(array.dtype), array.shape) == ("float32", (16, 16, 5))
    assert np.array_equal(np.asarray(image.dataobj, dtype=np.float32), array)
    assert sorted(array.reshape(-1, 5).min(axis=0)) == [1000 * number - 1024 for number in range(1, 6)]


@pytest.mark.parametrize("name", ["out.nii.gz", "out.nii"])
def test_a_folder_is_converted_without_a_job(folder: Path, tmp_path: Path, name: str) -> None:
    assert sdk.dicom_series_to_nifti(folder, str(tmp_path / name)) == 5
    assert nib.load(tmp_path / name).shape == (16, 16, 5)  # type: ignore[attr-defined]  # nibabel is partly typed
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "scan"])


def test_two_spellings_of_the_scratch_that_differ_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCM-PROCESSOR-SERVICE-SCRATCH", str(tmp_path / "a"))
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_SCRATCH", str(tmp_path / "b"))
    with pytest.raises(ConfigurationError, match="-SCRATCH and DCM_PROCESSOR_SERVICE_SCRATCH are both set and differ"):
        sdk.dicom_series_to_nifti(folder, tmp_path / "out.nii")
    assert not (tmp_path / "out.nii").exists()


@pytest.mark.parametrize("of_a_job", [True, False])
def test_a_folder_is_converted_in_the_scratch(
    request: pytest.FixtureRequest, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, of_a_job: bool
) -> None:
    (tmp_path / "scratch").mkdir()
    used: list[Path] = []
    real = AutoConverter.convert

    def noted(self: AutoConverter, paths: Sequence[Path], target: Path, **more: Any) -> NiftiFiles:
        used.append(target)
        return real(self, paths, target, **more)

    monkeypatch.setattr(AutoConverter, "convert", noted)
    with open_scratch(tmp_path / "scratch") as scratch:
        if of_a_job:
            request.getfixturevalue("container").scratch.override(scratch)
        else:
            monkeypatch.setenv("DCM-PROCESSOR-SERVICE-SCRATCH", str(tmp_path / "scratch"))
        assert sdk.dicom_series_to_nifti(folder, tmp_path / "out.nii") == 5
    assert used
    assert all(target.is_relative_to(tmp_path / "scratch") for target in used)
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.name.startswith("out")]


def test_of_several_series_in_a_folder_the_one_of_most_instances_is_taken(folder: Path, tmp_path: Path) -> None:
    for dataset in synthetic_series(slices=3):
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3", f"1.2.3.{dataset.InstanceNumber}"
        dataset.save_as(folder / f"other-{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    assert sdk.dicom_series_to_nifti(str(folder), tmp_path / "out.nii") == 5


def test_a_folder_without_images_gives_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    assert sdk.dicom_series_to_nifti(tmp_path / "empty", tmp_path / "out.nii") == 0
    (tmp_path / "other").mkdir()
    for dataset in synthetic_series(slices=2):
        del dataset.PixelData, dataset.Rows, dataset.Columns
        dataset.save_as(tmp_path / "other" / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    assert sdk.dicom_series_to_nifti(tmp_path / "other", tmp_path / "out.nii") == 0
    assert not (tmp_path / "out.nii").exists()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
