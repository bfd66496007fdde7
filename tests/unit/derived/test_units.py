"""What the values of an image are: a mask of a CT is not in HU, and an SUV is not in BQML."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom.uid import PositronEmissionTomographyImageStorage

from dcm_processor_service.derived import ImageOptions, derive_image
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.volumes.volume import Rescale, Volume
from dcm_processor_service.testing import synthetic_series
from tests.unit.derived.sources import PLAIN, make_recipe, make_source

if TYPE_CHECKING:
    from pydicom import Dataset

HOUNSFIELD = np.linspace(-1000, 900, 60).reshape(5, 4, 3).astype(np.int16)


def ct(**more: Any) -> SourceSeries:
    return make_source(RescaleType="HU", WindowCenter=[40, 600], WindowWidth=[400, 1500], **more)


def pet() -> SourceSeries:
    return make_source(
        SOPClassUID=PositronEmissionTomographyImageStorage, Modality="PT", Units="BQML", SUVType="BW",
        CountsSource="EMISSION", DecayCorrection="START",
    )  # fmt: skip


def of_unit(array: Any, unit: str) -> Volume:
    volume = Volume(array, PLAIN, modality="CT")
    return replace(volume, rescale=replace(Rescale(), unit=unit))


def image(array: Any, source: SourceSeries, unit: str = "", **options: Any) -> Dataset:
    voxels = of_unit(array, unit) if unit else array
    return derive_image(voxels, source, make_recipe(), options=ImageOptions(**options)).datasets[0]


def test_a_transformed_ct_volume_stays_in_hu_and_opens_with_the_window_of_the_source() -> None:
    made = image(HOUNSFIELD // 2, ct(), "HU")
    assert (made.RescaleType, made.WindowCenter, made.WindowWidth) == ("HU", 40, 400)


@pytest.mark.parametrize(
    "array",
    [HOUNSFIELD > 0, (HOUNSFIELD > 0).astype(np.uint8), np.linspace(0, 1, 60).reshape(5, 4, 3), np.abs(HOUNSFIELD) % 9],
    ids=["mask", "mask of integers", "probability", "labels"],
)
def test_what_is_no_hounsfield_value_is_not_called_one(array: Any) -> None:
    made = image(array, ct(), "HU")
    assert made.RescaleType == "US"
    assert made.WindowCenter != 40


def test_an_array_computed_from_a_ct_is_in_hu_where_it_has_air() -> None:
    made = image(HOUNSFIELD / 2, ct())
    assert (made.RescaleType, made.WindowCenter, made.WindowWidth) == ("HU", 40, 400)


def test_scores_of_a_ct_are_in_hu_when_that_is_said_alone() -> None:
    scores = HOUNSFIELD / 300
    assert image(scores, ct()).RescaleType == "US"
    assert image(scores, ct(), units="source").RescaleType == "HU"
    assert image(scores, ct(), units="HU").WindowWidth == 400


def test_the_units_of_a_pet_result_are_asked_for() -> None:
    values = np.linspace(0, 12, 60).reshape(5, 4, 3)
    for unit in ("", "BQML"):
        with pytest.raises(DerivedObjectError, match="units='GML'"):
            image(values, pet(), unit)
    assert image(values, pet(), units="GML").Units == "GML"
    assert "SUVType" not in image(values, pet(), units="GML")
    kept = image(values, pet(), units="source")
    assert (kept.Units, kept.SUVType) == ("BQML", "BW")


def test_a_mask_of_a_pet_has_no_units() -> None:
    made = image(HOUNSFIELD > 0, pet(), "BQML")
    assert made.Units == "NONE"
    assert "SUVType" not in made


def test_units_of_a_source_that_states_none_cannot_be_taken_over() -> None:
    with pytest.raises(DerivedObjectError, match="name it instead of 'source'"):
        image(HOUNSFIELD, make_source(Modality="MR"), units="source", kind="mr")


COLOURS = np.arange(180, dtype=np.uint8).reshape(5, 4, 3, 3)


def test_fused_colours_are_rgb_on_the_planes_of_the_source() -> None:
    source = ct()
    made = derive_image(COLOURS, source, make_recipe()).datasets
    assert len(made) == 3
    assert [each.ImagePositionPatient[2] for each in made] == [0, 2.5, 5]
    for index, each in enumerate(made):
        assert each.SOPClassUID.name == "Secondary Capture Image Storage"
        assert (each.PhotometricInterpretation, each.SamplesPerPixel) == ("RGB", 3)
        assert each.FrameOfReferenceUID == source.frame_of_reference_uid
        assert "TemporalPositionIdentifier" not in each
        assert "RescaleSlope" not in each
        assert "WindowCenter" not in each
        assert each.SourceImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.1.{index + 1}"
        assert np.array_equal(each.pixel_array, COLOURS[:, :, index].transpose(1, 0, 2))


def test_colours_are_refused_where_the_class_has_none() -> None:
    with pytest.raises(DerivedObjectError, match="have no units"):
        image(COLOURS, ct(), units="HU")


def test_three_volumes_of_bytes_are_volumes_when_the_kind_is_said() -> None:
    made = derive_image(COLOURS, ct(volumes=3), make_recipe(), options=ImageOptions(kind="ct")).datasets
    assert len(made) == 9
    assert made[0].PhotometricInterpretation == "MONOCHROME2"


def test_a_rescale_has_a_type_where_its_class_has_one_alone() -> None:
    values = np.linspace(-3, 5, 60, dtype=np.float32).reshape(5, 4, 3)
    assert image(values, ct(), kind="ct", units="HU").RescaleType == "HU"
    assert image(values, ct(), kind="ct", units="").RescaleType
    assert image(values, make_source(), kind="mr", units="ms").RescaleType == "ms"
    assert image(values, make_source(), kind="mr").RescaleType == "US"
    assert not image(np.abs(values), pet(), kind="pt", units="source").get("RescaleType")


@pytest.mark.parametrize("unit", ["bananas", "g/ml", "HU", "%", "gml", "BQML\\GML"])
def test_units_that_a_pet_cannot_state_are_refused(unit: str) -> None:
    with pytest.raises(DerivedObjectError, match=r"not a unit of a PET|not a line of text"):
        image(np.linspace(0, 12, 60).reshape(5, 4, 3), pet(), units=unit)


def test_a_unit_of_two_values_is_refused() -> None:
    with pytest.raises(DerivedObjectError, match="units is not a line of text"):
        image(HOUNSFIELD, ct(), units="HU\\US")


def test_bytes_with_an_opacity_are_not_called_four_volumes() -> None:
    opaque = np.zeros((5, 4, 3, 4), np.uint8)
    with pytest.raises(DerivedObjectError, match=r"array\[\.\.\., :3\]"):
        image(opaque, ct())
    assert len(derive_image(opaque, ct(volumes=4), make_recipe()).datasets) == 12
    assert len(derive_image(opaque, ct(), make_recipe(), options=ImageOptions(kind="ct")).datasets) == 12


def test_the_colours_of_one_projection_are_rgb() -> None:
    radiograph = synthetic_series(kind="dx", rows=4, columns=5)
    (made,) = derive_image(COLOURS[:, :, 0], SourceSeries.from_headers(radiograph), make_recipe()).datasets
    assert (made.PhotometricInterpretation, made.Rows, made.Columns) == ("RGB", 4, 5)
    assert np.array_equal(made.pixel_array, COLOURS[:, :, 0].transpose(1, 0, 2))
