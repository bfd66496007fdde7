"""``DicomSeries``: the source of its files, the arguments that it passes on, and the files that an export keeps."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import SeriesRules
from dcm_processor_service.backends.memory import MemoryDicomRepository
from dcm_processor_service.errors import ConfigurationError, InvalidSeriesError, LocalFileError
from dcm_processor_service.models.images.nifti import NiftiFiles
from dcm_processor_service.session.images.dicom_async import AsyncDicom
from dcm_processor_service.session.scratch import Scratch, open_scratch
from dcm_processor_service.testing import fake_context, synthetic_series

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service import Container, RuntimeContext
    from dcm_processor_service.models import Instance, SeriesRecord
    from dcm_processor_service.session.images.series_async import AsyncDicomSeries


def numbers(headers: Sequence[Dataset]) -> list[int]:
    return [int(header.InstanceNumber) for header in headers]


def test_what_a_store_gives_as_bytes_is_brought_into_the_scratch_folder_once_and_goes_with_it(tmp_path: Path) -> None:
    fetched = []

    class Counted(MemoryDicomRepository):
        def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
            fetched.append(len(instances))
            return super().fetch(instances)

    containers: list[Container] = []

    def customise(container: Container) -> None:
        containers.append(container)
        backend = container.backend()
        store: Any = backend.dicom
        container.backend.override(replace(backend, dicom=Counted(store._store)))

    ctx = fake_context(series=synthetic_series(slices=4), customise=customise, scratch=tmp_path)
    series = ctx.session.dicom.get_series()
    assert not list(tmp_path.iterdir())
    paths = series.paths()
    assert numbers(series.headers()) == numbers(list(series.datasets())) == [1, 2, 3, 4]
    assert fetched == [4]
    (folder,) = tmp_path.iterdir()
    assert {path.parent for path in paths} == {folder / series.id}
    assert {path.name for path in paths} == {f"{instance.id}.dcm" for instance in series.instances()}
    assert os.stat(folder).st_mode & 0o077 == 0  # noqa: PTH116  nobody else's
    containers[0].shutdown_resources()
    assert not list(tmp_path.iterdir())


def test_a_series_that_the_disk_has_no_room_for_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    class Huge(MemoryDicomRepository):
        async def instances(self, series: SeriesRecord) -> list[Instance]:
            found = await super().instances(series)
            return [instance.model_copy(update={"size_bytes": 2**60}) for instance in found]

        async def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
            async for instance, content in super().fetch(instances):
                assert instance.sop_instance_uid.endswith(".1"), "the room is looked at before the second is fetched"
                yield instance, content

    def customise(container: Container) -> None:
        backend = container.backend()
        store: Any = backend.dicom
        container.backend.override(replace(backend, dicom=Huge(store._store)))

    series = fake_series(customise=customise, scratch=tmp_path).session.dicom.get_series()
    with pytest.raises(ConfigurationError, match=rf"bytes free, {3 * 2**60} are needed; .*SCRATCH"):
        series.paths()
    with pytest.raises(ConfigurationError, match="are needed"):
        Scratch(tmp_path).folder("a", 2**62)
    assert Scratch(tmp_path).folder("a", 1).is_dir()


def fake_series(slices: int = 3, **keywords: Any) -> RuntimeContext:
    made: RuntimeContext = fake_context(series=synthetic_series(slices=slices), **keywords)
    return made


def test_the_scratch_folder_is_made_once_and_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    with open_scratch(tmp_path) as scratch:
        assert list(tmp_path.iterdir()) == []
        first = scratch.folder("a")
        (first / "file").write_bytes(b"x")
        assert scratch.folder("a") == first
        assert scratch.folder("b").parent == first.parent
        assert first.parent.name.startswith("dcm-processor-")
        assert first.parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    scratch.remove()  # nothing is left to remove
    with pytest.raises(ConfigurationError), open_scratch(tmp_path) as scratch:
        scratch.folder("a", 2**62)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_that_cannot_be_made_or_used_is_a_matter_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no temporary folder can be made: .*SCRATCH") as caught:
        Scratch(tmp_path / "missing").folder("a")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    scratch = Scratch(tmp_path)
    (scratch.folder("a").parent / "taken").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="no temporary folder can be made: File exists"):
        scratch.folder("taken")
    (tmp_path / scratch.folder("a").parent).rename(tmp_path / "moved")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        scratch.folder("a")


def test_a_store_that_gives_fewer_instances_than_it_lists_is_reported() -> None:
    class Losing(MemoryDicomRepository):
        async def fetch(self, instances: Sequence[Instance]) -> AsyncIterator[tuple[Instance, Path | bytes]]:
            async for item in super().fetch(instances[1:]):
                yield item

    def customise(container: Container) -> None:
        backend = container.backend()
        store: Any = backend.dicom
        container.backend.override(replace(backend, dicom=Losing(store._store)))

    series = fake_series(customise=customise).session.dicom.get_series()
    with pytest.raises(InvalidSeriesError, match=f"gave 2 of 3 instances of the series {series.series_instance_uid}"):
        series.paths()


def test_an_export_keeps_what_is_there_already_and_replaces_what_differs(tmp_path: Path) -> None:
    series = fake_series().session.dicom.get_series()
    target = tmp_path / "a" / "b"
    paths = series.export(str(target))
    assert [path.name for path in paths] == ["0001.dcm", "0002.dcm", "0003.dcm"]
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in series.paths()]
    paths[1].write_bytes(b"cut off")
    before = [path.stat().st_ino for path in paths]
    assert series.export(target) == paths
    assert [path.stat().st_ino == inode for path, inode in zip(paths, before, strict=True)] == [True, False, True]
    assert paths[1].read_bytes() == series.paths()[1].read_bytes()
    assert sorted(target.iterdir()) == paths
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalFileError, match="cannot be written"):
        series.export(tmp_path / "file")


def test_all_arguments_of_a_conversion_reach_the_converter(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    answer = NiftiFiles(paths=(), engine="none", reason="a fake")

    class Noting:
        def convert(self, paths: Sequence[Path], destination: Path, **options: Any) -> NiftiFiles:
            asked.append({"paths": list(paths), "destination": destination, **options})
            return answer

    def customise(container: Container) -> None:
        container.converter.override(Noting())

    series = fake_series(customise=customise).session.dicom.get_series()
    target = tmp_path / "v.nii"
    assert series.to_nifti(str(target), engine="native", policy="split", sidecar="none") is answer
    series.to_nifti(target, verify=True)
    rest = {"max_gap_mm": None, "verify": False}
    given = {"paths": series.paths(), "destination": target}
    assert asked == [
        {**given, "engine": "native", "policy": "split", "sidecar": "none", **rest},
        {**given, "engine": "auto", "policy": "strict", "sidecar": "bids", **rest, "verify": True},
    ]


def test_a_series_is_inspected_shown_and_read_under_each_policy() -> None:
    gap = [dataset for dataset in synthetic_series(slices=6) if dataset.InstanceNumber != 2]
    series = fake_context(series=gap).session.dicom.get_series()
    report = series.inspect()
    assert (report.instance_count, report.modality) == (5, "CT")
    assert "MISSING_SLICES" in report.codes
    assert series.preview()[1:4] == b"PNG"
    with pytest.raises(InvalidSeriesError):
        series.volume()
    assert series.volume("resample").shape[2] == 6
    assert len(series.volumes()) == len(series.volumes("split"))
    with pytest.raises(InvalidSeriesError):
        series.volumes("strict")


def test_several_volumes_are_refused_by_name() -> None:
    first, second = synthetic_series(slices=4), synthetic_series(slices=4)
    for number, dataset in enumerate(second):
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        dataset.ImagePositionPatient = [2 * number, 0, 0]
    series = fake_context(series=[*first, *second]).session.dicom.get_series()
    names = [volume.name for volume in series.volumes()]
    assert len(set(names)) == 2
    with pytest.raises(InvalidSeriesError, match=rf"holds 2 volumes \({', '.join(names)}\); .*policy='largest'"):
        series.volume("split")


def test_a_choice_holds_the_series_that_meet_the_rules_the_largest_first() -> None:
    small, large, other = synthetic_series(slices=3), synthetic_series(slices=6), synthetic_series(modality="MR")
    for uid, datasets in (("1.2.1", small), ("1.2.2", large), ("1.2.3", other)):
        for number, dataset in enumerate(datasets):
            dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uid, f"{uid}.{number}"
    dicom = fake_context(series=[*small, *large, *other]).session.dicom
    choice = dicom.select(SeriesRules(modality="CT"))
    assert [series.series_instance_uid for series in choice.series] == ["1.2.2", "1.2.1"]
    assert [series.instance_count() for series in choice.series] == [6, 3]
    assert choice.explain() == "1.2.2: chosen\n1.2.1: chosen\n1.2.3: modality is MR, not CT"
    assert dicom.select(SeriesRules(modality="PT")).series == ()
    assert [series.series_instance_uid for series in dicom.series()] == ["1.2.1", "1.2.2", "1.2.3"]


def test_both_series_of_one_uid_are_chosen_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """If two peers send a patient's series, the platform stores it twice, under one UID."""
    dicom, other = (fake_context(series=synthetic_series(slices=slices)).session.dicom for slices in (3, 6))
    both = [dicom.get_series()._async, other.get_series()._async]
    assert both[0].series_instance_uid == both[1].series_instance_uid

    async def series(_self: AsyncDicom) -> list[AsyncDicomSeries]:
        return both

    monkeypatch.setattr(AsyncDicom, "series", series)
    choice = dicom.select(SeriesRules(modality="CT"))
    assert [series.instance_count() for series in choice.series] == [6, 3]
    choice = dicom.select(SeriesRules(min_slices=5))
    assert [series.instance_count() for series in choice.series] == [6]
