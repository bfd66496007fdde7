"""Synthetic series are what they are called, tell patients and studies apart, and never share a UID."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
import pytest

from dcm_processor_service.testing import SyntheticKind, fake_context, synthetic_series

KINDS = get_args(SyntheticKind)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ct", ("volume", "CT", True, (16, 16, 4))),
        ("mr", ("volume", "MR", True, (16, 16, 4))),
        ("pet", ("volume", "PT", True, (16, 16, 4))),
        ("4d", ("4D", "MR", True, (16, 16, 4, 3))),
        ("enhanced", ("volume", "MR", True, (16, 16, 4))),
        ("dx", ("projection", "DX", False, None)),
        ("localizer", ("localizer", "CT", False, (16, 16, 1))),
    ],
)
def test_each_kind_is_what_it_is_called(kind: SyntheticKind, expected: tuple[Any, ...]) -> None:
    report = fake_context(series=synthetic_series(kind=kind)).session.dicom.get_series().inspect()
    assert (report.kind.value, report.modality, report.is_convertible, report.shape) == expected


@pytest.mark.parametrize("kind", ["ct", "mr", "4d", "enhanced"])
def test_values_tell_the_order_of_slices_and_volumes(kind: SyntheticKind) -> None:
    volume = fake_context(series=synthetic_series(kind=kind, slices=5)).session.dicom.get_series().volume()
    offset = -1024 if kind == "ct" else 0
    first = volume.array[0, 0, :] - offset if volume.array.ndim == 3 else volume.array[0, 0, :, 0]
    assert first.tolist() == [1000, 2000, 3000, 4000, 5000]
    assert volume.spacing_mm == (1.0, 1.0, 2.0)
    if kind == "4d":
        assert volume.array[0, 0, 0, :].tolist() == [1000, 1001, 1002]
        assert volume.volume_step_s == 5


def test_each_slice_of_a_pet_has_a_scale_of_its_own() -> None:
    volume = fake_context(series=synthetic_series(kind="pet", slices=3)).session.dicom.get_series().volume()
    assert volume.rescale.varies
    assert volume.rescale.unit == "BQML"
    assert np.allclose(volume.array[0, 0, :], [500, 1500, 3000])


def test_no_two_series_share_a_uid() -> None:
    made = [
        dataset
        for kind, patient, study, number in itertools.product(KINDS, (1, 2), (1, 2), (1, 2))
        for dataset in synthetic_series(kind=kind, patient=patient, study=study, series=number, slices=2)
    ]
    assert len({dataset.SOPInstanceUID for dataset in made}) == len(made)
    assert len({dataset.SeriesInstanceUID for dataset in made}) == len(KINDS) * 8
    assert len({dataset.StudyInstanceUID for dataset in made}) == 4
    assert len({dataset.PatientID for dataset in made}) == 2
    frames = {dataset.get("FrameOfReferenceUID") for dataset in made}
    assert not frames & {dataset.SeriesInstanceUID for dataset in made}


def test_two_patients_are_two_in_a_context() -> None:
    both = [*synthetic_series(), *synthetic_series(patient=2)]
    first, second = (fake_context(series=both, subject=None).session.dicom.series(), synthetic_series(patient=2))
    assert len(first) == 1
    assert second[0].PatientID == "SYNTHETIC2"
    study = [*synthetic_series(kind="ct"), *synthetic_series(kind="pet")]
    assert [one.info.modality for one in fake_context(series=study).session.dicom.series()] == ["CT", "PT"]


def test_what_was_made_before_kinds_is_made_still() -> None:
    [first, *_] = synthetic_series(slices=3)
    assert first.SOPInstanceUID == "1.2.826.0.1.3680043.8.498.1.1.1"
    assert first.StudyInstanceUID == "1.2.826.0.1.3680043.8.498.1"
    assert synthetic_series(modality="MR")[0].SeriesInstanceUID == first.SeriesInstanceUID


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(ValueError, match="one of ct, mr, pet, 4d, enhanced, dx, localizer, not 'us'"):
        synthetic_series(kind="us")  # type: ignore[arg-type]  # what the message is for
