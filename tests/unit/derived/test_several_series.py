"""Results of a study's series together: references to all, the geometry of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.testing import fake_context, synthetic_series
from tests.unit.derived.sources import make_headers

if TYPE_CHECKING:
    from pydicom import Dataset

    from dcm_processor_service.session.images.dicom import Dicom


@pytest.fixture
def dicom() -> Dicom:
    first, second = synthetic_series(slices=4), synthetic_series(slices=3, rows=8, columns=8)
    for number, each in enumerate(second, start=1):
        each.SeriesInstanceUID, each.SOPInstanceUID = "2.25.777", f"2.25.777.{number}"
        each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID
        each.StudyInstanceUID, each.PatientID = first[0].StudyInstanceUID, first[0].PatientID
        each.FrameOfReferenceUID = first[0].FrameOfReferenceUID
    return fake_context(series=[*first, *second]).session.dicom


def referenced(dataset: Dataset) -> set[str]:
    return {str(each.value) for each in dataset.iterall() if each.keyword == "ReferencedSOPInstanceUID"}


def instances(series: Any) -> set[str]:
    return {header.SOPInstanceUID for header in series.headers()}


def test_a_mask_of_two_series_refers_to_both_and_lies_on_the_first_or_the_one_that_is_named(dicom: Dicom) -> None:
    both = sorted(dicom.series(), key=lambda each: -len(each.paths()))
    large, small = both
    for on, chosen in ((None, large), (small, small)):
        volume = chosen.volume()
        mask = volume.like(volume.array >= 0)
        made = dicom.derive.segmentation({"liver": mask}, like=both, role=f"mask of {len(chosen.paths())}", on=on)
        assert made.Rows == volume.array.shape[1]
        assert instances(chosen) <= referenced(made)
        assert instances(large) | instances(small) <= referenced(made)


def test_an_image_and_a_report_refer_to_both(dicom: Dicom) -> None:
    both = dicom.series()
    volume = both[0].volume()
    image = dicom.derive(volume, like=both, role="copy")[0]
    text = dicom.derive.text_report("words", like=both)
    assert referenced(image) & instances(both[1])
    assert instances(both[0]) | instances(both[1]) <= referenced(text)


def test_the_order_of_the_series_does_not_change_uids_but_their_number_does(dicom: Dicom) -> None:
    one, other = dicom.series()
    derive = dicom.derive
    uids = [derive.pdf(b"%PDF-1.7", like=like, role="x").SeriesInstanceUID for like in ([one, other], [one], one)]
    assert uids[0] != uids[1] == uids[2]


def test_a_series_that_is_not_among_them_is_refused(dicom: Dicom) -> None:
    one, other = dicom.series()
    with pytest.raises(UnsupportedValueError, match="none of the series"):
        dicom.derive.text_report("words", like=[one], on=other)
    with pytest.raises(UnsupportedValueError, match="like holds headers"):
        dicom.derive.text_report("words", like=make_headers(), on=other)
    mixture: Any = [one, *make_headers()]
    with pytest.raises(UnsupportedValueError, match="something else"):
        dicom.derive.text_report("words", like=mixture)


def test_a_bare_array_has_the_shape_of_the_named_series(dicom: Dicom) -> None:
    large, small = sorted(dicom.series(), key=lambda each: -len(each.paths()))
    made = dicom.derive.segmentation({"liver": np.ones((8, 8, 3), bool)}, like=[large, small], on=small)
    assert (made.Rows, made.NumberOfFrames) == (8, 3)
