"""What the report and the volume say about the order of slices and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread

from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume
from dcm_processor_service.models import OrderCertificate
from tests.unit.imaging.refusals import change, refused
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset


def certificate(paths: list[Path]) -> OrderCertificate:
    volume = read_volume(paths)
    assert volume.report is not None
    assert volume.order is not None
    assert volume.report.parts[0].order == volume.order
    return volume.order


def test_a_volume_numbered_along_its_slices(tmp_path: Path) -> None:
    assert certificate(single_frame(Recipe(reversed_numbers=True), tmp_path)) == OrderCertificate(
        plan="volume by volume"
    )


def test_a_volume_numbered_at_random_has_no_plan(tmp_path: Path) -> None:
    paths = change(
        single_frame(Recipe(slices=5), tmp_path), lambda ds, k: setattr(ds, "InstanceNumber", [3, 1, 4, 9, 2][k])
    )
    assert certificate(paths) == OrderCertificate()


@pytest.mark.parametrize("plan", ["volume by volume", "slice by slice", ""])
def test_volumes_distinguished_by_a_counter_and_ordered_by_time(tmp_path: Path, plan: str) -> None:
    recipe = Recipe(volumes=3, slices=4, modality="MR")
    for path in single_frame(recipe, tmp_path):
        ds = dcmread(path)
        t, k = divmod(int(ds.InstanceNumber) - 1, 4)
        ds.AcquisitionTime = f"1200{10 * t + k:02}"
        ds.InstanceNumber = {"volume by volume": ds.InstanceNumber, "slice by slice": k * 3 + t + 1, "": 7}[plan]
        ds.save_as(path)
    assert certificate(sorted(tmp_path.iterdir())) == OrderCertificate(
        volumes_by="TemporalPositionIdentifier", ordered_by="AcquisitionTime", plan=plan, varies=("AcquisitionTime",)
    )
    [finding] = inspect_series(sorted(tmp_path.iterdir())).findings
    assert "distinguished by TemporalPositionIdentifier, in the order of AcquisitionTime" in finding.message


@pytest.mark.parametrize("plan", ["volume by volume", "slice by slice"])
def test_a_plan_against_the_order_of_time_is_one(tmp_path: Path, plan: str) -> None:
    for path in single_frame(Recipe(volumes=3, slices=4, modality="MR"), tmp_path):
        ds = dcmread(path)
        t, k = divmod(int(ds.InstanceNumber) - 1, 4)
        ds.AcquisitionTime = f"1200{10 * t:02}"
        ds.InstanceNumber = (2 - t) * 4 + k + 1 if plan == "volume by volume" else k * 3 + (2 - t) + 1
        ds.save_as(path)
    found = certificate(sorted(tmp_path.iterdir()))
    assert (found.ordered_by, found.plan) == ("AcquisitionTime", plan)


def at_times(slice_s: Callable[[int], float], **changes: Any) -> Callable[[Dataset, int], None]:
    def edit(ds: Dataset, k: int) -> None:
        seconds = slice_s(k)
        ds.AcquisitionTime = f"12{int(seconds // 60):02}{seconds % 60:09.6f}"
        for keyword, value in changes.items():
            setattr(ds, keyword, value)

    return edit


@pytest.mark.parametrize(
    "slice_s", [lambda k: 90.0 * (k % 2), lambda k: 90.0 * (k % 2) + k], ids=["shared", "distinct"]
)
def test_passes_of_one_volume_are_called_an_assumption(tmp_path: Path, slice_s: Callable[[int], float]) -> None:
    recipe = Recipe(slices=8, modality="MR", extra={"RepetitionTime": "4000"})
    paths = change(single_frame(recipe, tmp_path), at_times(slice_s))
    found = certificate(paths)
    assert (found.passes_by, found.varies) == ("AcquisitionTime", ("AcquisitionTime",))
    [finding] = inspect_series(paths).findings
    assert (finding.code, finding.attribute, finding.blocking) == ("ASSUMED_PASSES", "AcquisitionTime", False)


@pytest.mark.parametrize(
    "slice_s",
    [
        pytest.param(lambda k: k / 2, id="one after the other"),
        pytest.param(lambda k: 1.5 * (k % 2) + 0.1 * k, id="in turns within one repetition"),
        pytest.param(lambda k: 90.0 * (k > 3), id="two blocks"),
    ],
)
def test_slices_that_are_excited_in_turns_assume_nothing(tmp_path: Path, slice_s: Callable[[int], float]) -> None:
    recipe = Recipe(slices=8, modality="MR", extra={"RepetitionTime": "4000"})
    paths = change(single_frame(recipe, tmp_path), at_times(slice_s))
    assert certificate(paths).passes_by == ""
    assert inspect_series(paths).findings == ()


def test_two_phases_of_a_ct_are_no_passes(tmp_path: Path) -> None:
    paths = change(single_frame(Recipe(slices=8), tmp_path), at_times(lambda k: 90.0 * (k % 2)))
    refused(paths, "INTERLEAVED_VOLUMES")


def test_volumes_distinguished_by_their_numbers(tmp_path: Path) -> None:
    def edit(ds: Dataset, _: int) -> None:
        del ds.TemporalPositionIdentifier

    assert certificate(change(single_frame(Recipe(volumes=3, slices=4), tmp_path), edit)) == OrderCertificate(
        volumes_by="InstanceNumber", ordered_by="InstanceNumber", plan="volume by volume"
    )


def test_what_differs_between_slices_is_named(tmp_path: Path) -> None:
    paths = change(single_frame(Recipe(slices=4), tmp_path), lambda ds, k: setattr(ds, "AcquisitionNumber", 1 + k // 2))
    assert certificate(paths).varies == ("AcquisitionNumber",)
