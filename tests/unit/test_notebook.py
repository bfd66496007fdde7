"""What a notebook shows of a volume, a series, its report and a sending."""

from __future__ import annotations

import numpy as np
import pytest

from dcm_processor_service import SendReport, SeriesReport, Volume
from dcm_processor_service.imaging.pictures.contact_sheet import preview_volume
from dcm_processor_service.models import InstanceRecord, Outcome, SeriesFinding
from dcm_processor_service.testing import fake_context, synthetic_series
from tests.unit.test_hypertext import Seen


def test_a_volume_shows_its_place_and_a_contact_sheet() -> None:
    volume = fake_context(series=synthetic_series(slices=6)).session.dicom.get_series().volume()
    seen = Seen(volume._repr_html_())
    assert "16 × 16 × 6 of 1 × 1 × 2 mm, LPS" in seen.words
    assert "int16 HU" in seen.words
    assert seen.tags.count("img") == 1
    assert volume._repr_png_() == volume.preview()


def test_a_volume_of_four_axes_shows_its_middle_volume() -> None:
    array = np.zeros((8, 8, 4, 3), np.float32)
    array[..., 1] = np.arange(8)[:, None, None]
    four = Volume(array, np.eye(4))
    assert four._repr_png_() == preview_volume(four, index=1)
    assert four._repr_png_() != preview_volume(four, index=0)


def test_a_series_shows_what_it_is_without_its_patient() -> None:
    series = fake_context(series=synthetic_series(slices=6)).session.dicom.get_series()
    seen = Seen(series._repr_html_())
    assert "one clean volume" in seen.words
    assert "Synthetic" not in seen.words
    assert seen.tags.count("img") == 1
    assert series._repr_png_() == series.preview()


def test_a_series_without_an_image_shows_its_report_alone() -> None:
    made = synthetic_series(slices=1)
    del made[0].PixelData, made[0].Rows
    series = fake_context(series=made).session.dicom.get_series()
    assert series._repr_png_() is None
    assert "img" not in Seen(series._repr_html_()).tags


@pytest.mark.parametrize("blocking", [True, False])
def test_a_report_escapes_its_findings(blocking: bool) -> None:  # noqa: FBT001 a parameter of the test
    finding = SeriesFinding(code="ODD", message="<b>slice</b> & more", blocking=blocking)
    seen = Seen(SeriesReport(series_instance_uid="1.2", findings=(finding,))._repr_html_())
    assert "<b>slice</b> & more" in seen.words
    assert "b" not in seen.tags


def test_a_sending_shows_each_instance_and_how_many_are_not_listed() -> None:
    records = tuple(
        InstanceRecord(sop_instance_uid=f"1.2.{number}", outcome=Outcome.STORED, status=0) for number in range(205)
    )
    refused = InstanceRecord(sop_instance_uid="1.3", outcome=Outcome.REFUSED, status=0x0122, meaning="<no>")
    words = Seen(SendReport(peer="PACS@h:104", records=(refused, *records))._repr_html_()).words
    for part in ("205 of 206 instances stored at PACS@h:104", "0122 <no>", "6 more instances are not listed here"):
        assert part in words
