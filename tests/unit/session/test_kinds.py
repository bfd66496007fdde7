"""Each series has a kind by its content, and rules can ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dcm_processor_service import SeriesKind, SeriesRecord, SeriesRules
from dcm_processor_service.models.images.series_kinds import kind_of_class
from dcm_processor_service.testing import fake_context, synthetic_series

if TYPE_CHECKING:
    from pydicom import Dataset


def derived_series() -> list[Dataset]:
    """Returns a CT series of 4 slices, and objects derived from it."""
    images = synthetic_series(slices=4)
    derive = fake_context(series=images).session.dicom.derive
    mask = np.zeros((16, 16, 4), bool)
    mask[2:5, 3:9, 1:3] = True
    return [
        *images,
        derive.segmentation({"liver": mask}, like=images),
        derive.parametric_map(np.zeros((16, 16, 4), np.float32), like=images, role="map"),
        derive.measurement_report({"liver": {"Volume": (1.5, "ml")}}, like=images),
        derive.pdf(b"%PDF-1.4\n%%EOF\n", like=images),
    ]


def test_each_series_says_its_kind_by_its_record_and_by_its_files() -> None:
    found = fake_context(series=derived_series()).session.dicom.series()
    assert [(series.info.kind.value, series.inspect().kind.value) for series in found] == [
        ("image", "volume"),
        ("segmentation", "segmentation"),
        ("parametric map", "parametric map"),
        ("structured report", "structured report"),
        ("document", "document"),
    ]


@pytest.mark.parametrize(
    ("rules", "modalities"),
    [
        (SeriesRules(kind="segmentation"), ["SEG"]),
        (SeriesRules(kind="image"), ["CT"]),
        (SeriesRules(kind="volume"), ["CT"]),
        (SeriesRules(kind=("structured report", "document")), ["SR", "DOC"]),
        (SeriesRules(kind="non-image", modality=("SEG", "SR")), ["SEG", "SR"]),
        (SeriesRules(kind="image", min_slices=2), ["CT"]),
        (SeriesRules(min_slices=2, modality=("CT", "SEG")), ["CT"]),
        (SeriesRules(convertible=True, modality=("CT", "SEG")), ["CT"]),
    ],
)
def test_rules_choose_by_kind_and_no_rule_about_volumes_chooses_a_segmentation(
    rules: SeriesRules, modalities: list[str]
) -> None:
    choice = fake_context(series=derived_series()).session.dicom.select(rules)
    assert sorted(series.info.modality for series in choice.series) == sorted(modalities)


@pytest.mark.parametrize(
    ("uid", "modality", "kind"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "", SeriesKind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.1.1", "", SeriesKind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.128", "", SeriesKind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE", SeriesKind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.481.3", "", SeriesKind.STRUCTURE_SET),
        ("1.2.840.10008.5.1.4.1.1.481.5", "", SeriesKind.NON_IMAGE),
        ("1.2.840.10008.5.1.4.1.1.66.7", "SEG", SeriesKind.SEGMENTATION),
        ("1.2.840.10008.5.1.4.1.1.66.1", "REG", SeriesKind.NON_IMAGE),
        ("1.2.840.10008.5.1.4.1.1.88.59", "KO", SeriesKind.STRUCTURED_REPORT),
        ("1.2.840.10008.5.1.4.1.1.11.1", "PR", SeriesKind.PRESENTATION_STATE),
        ("1.2.3.4", "CT", SeriesKind.UNKNOWN),
        ("", "RTSTRUCT", SeriesKind.STRUCTURE_SET),
        ("", "MR", SeriesKind.IMAGE),
        ("", "", SeriesKind.UNKNOWN),
    ],
)
def test_a_class_or_else_a_modality_tells_the_kind(uid: str, modality: str, kind: SeriesKind) -> None:
    assert kind_of_class(uid, modality) is kind
    assert SeriesRecord(id="2" * 24, metadata={"SOPClassUID": uid, "Modality": modality}).kind is kind
