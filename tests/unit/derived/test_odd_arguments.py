"""Arguments that make no sense are refused where they are given, and flaws of a source that can be mended are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom.valuerep import IS

from dcm_processor_service import Marker, Segment
from dcm_processor_service.derived.source import SourceSeries
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.testing import fake_context, synthetic_series

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service import RuntimeContext

WINDOWS: dict[str, Any] = {
    "no width": (40, 0),
    "negative": (40, -1),
    "no number": (float("nan"), 1),
    "infinite": (40, float("inf")),
    "words": ("a", 1),
    "three": (1, 2, 3),
    "text": "45",
    "beyond numbers": (40, 10**400),
}


def context() -> RuntimeContext:
    return fake_context(series=synthetic_series(slices=2))


@pytest.mark.parametrize("window", WINDOWS.values(), ids=[*WINDOWS])
@pytest.mark.parametrize("kind", ["image", "overlay", "presentation", "map"])
def test_a_window_that_shows_nothing_is_refused(kind: str, window: Any) -> None:
    ctx = context()
    series, derive = ctx.session.dicom.get_series(), ctx.session.dicom.derive
    volume = series.volume()
    masks = {"liver": volume.like(volume.array > 900)}
    makers: dict[str, Callable[[], Any]] = {
        "image": lambda: derive(volume, like=series, role="r", window=window),
        "overlay": lambda: derive.overlay(volume, masks, like=series, window=window),
        "presentation": lambda: derive.presentation(masks, like=series, window=window),
        "map": lambda: derive.parametric_map(volume, like=series, role="r", window=window),
    }
    with pytest.raises(DerivedObjectError, match="width of a window"):
        makers[kind]()


@pytest.mark.parametrize("revision", [-1, 1.5, "1", True, None])
def test_a_revision_is_a_whole_number(revision: Any) -> None:
    ctx = context()
    with pytest.raises(DerivedObjectError, match="whole number"):
        ctx.session.dicom.derive.text_report("x", like=ctx.session.dicom.get_series(), revision=revision)


@pytest.mark.parametrize("role", ["", " ", None, 5])
def test_a_role_is_a_text(role: Any) -> None:
    ctx = context()
    with pytest.raises(DerivedObjectError, match="no role"):
        ctx.session.dicom.derive.text_report("x", like=ctx.session.dicom.get_series(), role=role)


def test_text_that_no_encoding_holds_is_refused() -> None:
    ctx = context()
    with pytest.raises(DerivedObjectError, match="not text"):
        ctx.session.dicom.derive.text_report("half of a character: \ud800", like=ctx.session.dicom.get_series())


def test_a_number_is_no_pdf() -> None:
    ctx = context()
    content: Any = 5
    with pytest.raises(DerivedObjectError, match="not a PDF"):
        ctx.session.dicom.derive.pdf(content, like=ctx.session.dicom.get_series())


@pytest.mark.parametrize(
    ("field", "value"),
    [("series_number", 1.5), ("series_number", "7"), ("series_number", -1), ("series_number", True), ("created", None),
     ("created", "today"), ("series_description", 5), ("derivation", ["x"])],
)  # fmt: skip
def test_a_field_of_the_recipe_of_another_type_is_refused(field: str, value: Any) -> None:
    ctx = context()
    recipe: Any = {field: value}
    with pytest.raises(DerivedObjectError, match=f"{field}|time of making"):
        ctx.session.dicom.derive.text_report("x", like=ctx.session.dicom.get_series(), recipe=recipe)


@pytest.mark.parametrize("color", [(0.5, 0.2, 0.1), (255, 0), 5, "red", (256, 0, 0), ("1", 2, 3)], ids=repr)
def test_a_colour_is_three_whole_numbers(color: Any) -> None:
    ctx = context()
    series = ctx.session.dicom.get_series()
    segment = Segment(series.volume().array > 900, color_rgb=color)
    with pytest.raises(DerivedObjectError, match="whole numbers from 0 to 255"):
        ctx.session.dicom.derive.segmentation({"liver": segment}, like=series)


@pytest.mark.parametrize("unit", [2, None, ["ml"]], ids=["number", "none", "list"])
def test_a_unit_is_a_text_or_a_code(unit: Any) -> None:
    ctx = context()
    with pytest.raises(DerivedObjectError, match="a unit is a text"):
        ctx.session.dicom.derive.measurement_report(
            {"liver": {"Volume": (1.0, unit)}}, like=ctx.session.dicom.get_series()
        )


@pytest.mark.parametrize("place", [("a", 1, 2), (1, 2), None, (float("nan"), 1, 2)], ids=["word", "two", "none", "nan"])
def test_a_marker_is_at_three_numbers(place: Any) -> None:
    ctx = context()
    with pytest.raises(DerivedObjectError, match="outside of all slices"):
        ctx.session.dicom.derive.presentation(markers=[Marker(place, "nodule")], like=ctx.session.dicom.get_series())


def test_whole_numbers_of_numpy_and_headers_and_colours_of_whole_floats_are_taken() -> None:
    ctx = context()
    derive, series = ctx.session.dicom.derive, ctx.session.dicom.get_series()
    for number in (np.int64(7), IS("7")):
        recipe: Any = {"series_number": number}
        made = derive.text_report("x", like=series, recipe=recipe, revision=np.int64(1))
        assert made.SeriesNumber == 7
    palette: Any = tuple(255 * np.array([1.0, 0.0, 0.0]))
    mask = series.volume().array > 900
    colors = []
    for rgb in (palette, (255, 0, 0)):
        made = derive.segmentation({"liver": Segment(mask, color_rgb=rgb)}, like=series)
        colors.append(made.SegmentSequence[0].RecommendedDisplayCIELabValue)
    assert colors[0] == colors[1]


@pytest.mark.parametrize("units", [["HU"], {"HU": 1}], ids=["list", "mapping"])
def test_units_are_a_text(units: Any) -> None:
    ctx = context()
    series = ctx.session.dicom.get_series()
    with pytest.raises(DerivedObjectError, match="units"):
        ctx.session.dicom.derive(series.volume(), like=series, role="r", units=units)


def test_further_instances_of_another_patient_are_refused() -> None:
    with pytest.raises(DerivedObjectError, match="several patients") as refused:
        SourceSeries.from_headers(synthetic_series(slices=2), further=synthetic_series(slices=2, patient=2))
    assert "SYNTHETIC" not in str(refused.value)


def test_a_patient_whom_two_hospitals_number_may_be_one() -> None:
    others = synthetic_series(slices=2, patient=2)
    own = synthetic_series(slices=2)
    for header, issuer in [*((each, "A") for each in own), *((each, "B") for each in others)]:
        header.IssuerOfPatientID = issuer
    assert len(SourceSeries.from_headers(own, others).uids) == 4


@pytest.mark.parametrize(("stated", "written"), [("dx", "DX"), ("X-ray", "OT"), ("", "OT")])
def test_a_modality_that_is_no_code_string_is_mended(stated: str, written: str) -> None:
    (radiograph,) = synthetic_series(kind="dx")
    radiograph.add_new(0x00080060, "LO", stated)  # as nobody may write it, and some do
    array = radiograph.pixel_array.T
    (made,) = fake_context().session.dicom.derive(array, like=[radiograph], role="r")
    assert made.Modality == written
