"""The registry of engines: exactly the listed engines can be asked for, and one entry adds an engine."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

import pytest

from dcm_processor_service.errors import NiftiConversionError
from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.nifti.engines import ENGINES, EngineChoice, NiftiEngine
from dcm_processor_service.models import Engine, NiftiFiles
from dcm_processor_service.testing import synthetic_series

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.imaging.nifti.task import ConversionTask
    from dcm_processor_service.models import SeriesReport

TOY = "toy_engine"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for number, dataset in enumerate(synthetic_series(slices=3)):
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.fixture(autouse=True)
def toy_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one file of an engine."""

    def convert(task: ConversionTask, reason: str) -> NiftiFiles:
        if task.policy == "largest":
            raise NiftiConversionError("the toy is broken")
        task.destination.write_bytes(b"toy")
        return NiftiFiles((task.destination,), "toy", reason)

    module: Any = ModuleType(TOY)
    module.convert = convert
    monkeypatch.setitem(sys.modules, TOY, module)


def small(report: SeriesReport, _policy: str) -> EngineChoice | None:
    return EngineChoice("it is small", "small, and the toy failed") if report.instance_count < 4 else None


def test_every_engine_that_can_be_named_is_registered_and_no_other() -> None:
    assert set(get_args(Engine)) == {"auto", *ENGINES}


def test_one_entry_adds_an_engine_that_can_be_asked_for(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "toy", NiftiEngine(TOY))
    engine: Any = "toy"
    made = AutoConverter().convert(files, tmp_path / "x.nii", engine=engine)
    assert (made.engine, made.reason, (tmp_path / "x.nii").read_bytes()) == ("toy", "asked for", b"toy")
    assert AutoConverter().convert(files, tmp_path / "y.nii").engine == "native"


def test_an_engine_is_chosen_when_its_entry_says_so_and_the_next_takes_over_when_it_fails(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = dict(ENGINES)
    monkeypatch.setattr(
        "dcm_processor_service.imaging.nifti.convert.ENGINES", {"toy": NiftiEngine(TOY, small), **others}
    )
    assert AutoConverter().convert(files, tmp_path / "x.nii").reason == "it is small"
    made = AutoConverter().convert(files, tmp_path / "y.nii", policy="largest")
    assert (made.engine, made.reason) == ("native", "small, and the toy failed, because: the toy is broken")


def test_a_failure_is_raised_where_no_other_may_take_over(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = NiftiEngine(TOY, lambda _report, _policy: EngineChoice("always"))
    monkeypatch.setattr("dcm_processor_service.imaging.nifti.convert.ENGINES", {"toy": alone, **ENGINES})
    with pytest.raises(NiftiConversionError, match="the toy is broken"):
        AutoConverter().convert(files, tmp_path / "x.nii", policy="largest")
