"""One result, one UID: what keeps two results of one job, of two jobs or of two services apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydicom import dcmread

from dcm_processor_service.derived import derive_image, encapsulated_pdf, save
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.models import Peer
from dcm_processor_service.testing import fake_context
from tests.unit.derived.sources import make_headers, make_recipe, make_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.session.images.derive import Derive

MASK = np.zeros((5, 4, 3), bool)
MASK[1:3, 1, :2] = True
VALUES = np.arange(60, dtype=np.int16).reshape(5, 4, 3)


def derive_of(**settings: Any) -> Derive:
    return fake_context(**{"session_id": "5" * 24, **settings}).session.dicom.derive


def mask_of(derive: Derive, mask: Any = MASK, **options: Any) -> Dataset:
    return derive.segmentation({"liver": mask}, like=make_headers(), **options)


def test_two_jobs_of_a_service_make_different_uids_and_a_retry_makes_the_same() -> None:
    first, again, other = (mask_of(derive_of(job_name=name)) for name in ("segment", "segment", "measure"))
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID != other.SeriesInstanceUID


def test_another_result_under_the_key_of_one_that_the_job_made_is_refused() -> None:
    derive = derive_of()
    first = mask_of(derive)
    assert mask_of(derive).SOPInstanceUID == first.SOPInstanceUID  # the same result once more
    with pytest.raises(DerivedObjectError, match="a role of its own"):
        mask_of(derive, ~MASK)
    assert mask_of(derive, ~MASK, role="background").SOPInstanceUID != first.SOPInstanceUID


def test_another_image_of_the_same_role_is_refused() -> None:
    derive = derive_of()
    derive(VALUES, like=make_headers(), role="smoothed")
    with pytest.raises(DerivedObjectError, match="next revision"):
        derive(VALUES + 1, like=make_headers(), role="smoothed")


def test_a_revision_stands_beside_the_first_result_and_names_it_as_replaced() -> None:
    derive = derive_of()
    first, second = mask_of(derive), mask_of(derive, ~MASK, revision=1)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    assert second.SeriesNumber != first.SeriesNumber
    (replaced,) = second.ReferencedInstanceSequence
    assert replaced.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert replaced.ReferencedSOPClassUID == first.SOPClassUID
    assert "ReferencedInstanceSequence" not in first


def test_each_slice_of_a_revised_image_names_the_slice_that_it_replaces() -> None:
    derive = derive_of()
    first = derive(VALUES, like=make_headers(), role="smoothed")
    second = derive(VALUES + 1, like=make_headers(), role="smoothed", revision=1)
    named = [each.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID for each in second]
    assert named == [each.SOPInstanceUID for each in first]


@pytest.mark.parametrize("kind", ["text", "measurements", "document"])
def test_a_revised_report_names_its_predecessor(kind: str) -> None:
    derive = derive_of()

    def make(revision: int) -> Dataset:
        if kind == "text":
            return derive.text_report(f"words {revision}", like=make_headers(), revision=revision)
        if kind == "document":
            return derive.pdf(b"%%PDF-1.7 %d" % revision, like=make_headers(), revision=revision)
        found = {"liver": {"Volume": (1.0 + revision, "ml")}}
        return derive.measurement_report(found, like=make_headers(), revision=revision)

    first, second = make(0), make(1)
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in first


def test_a_revision_below_zero_is_refused() -> None:
    with pytest.raises(DerivedObjectError, match="counts corrected results"):
        mask_of(derive_of(), revision=-1)


def test_kinds_of_one_role_have_different_series_numbers() -> None:
    derive = derive_of()
    like = make_headers()
    made = [
        derive(VALUES, like=like, role="one")[0],
        derive(VALUES, like=like, role="one", kind="sc")[0],
        derive([np.zeros((3, 3), np.uint8)], like=like, role="one")[0],
        derive.segmentation({"liver": MASK}, like=like, role="one"),
        derive.parametric_map(VALUES / 2, like=like, role="one"),
        derive.measurement_report({"liver": {"Volume": (1.0, "ml")}}, like=like, role="one"),
        derive.text_report("words", like=like, role="one"),
        derive.pdf(b"%PDF-1.7", like=like, role="one"),
    ]
    assert len({each.SeriesNumber for each in made}) == len(made)


def test_services_have_different_series_numbers() -> None:
    numbers = {mask_of(derive_of(service_name=name)).SeriesNumber for name in ("liver", "spleen", "lung", "brain")}
    assert len(numbers) == 4


def test_two_datasets_of_one_uid_are_not_sent_together() -> None:
    context = fake_context(session_id="5" * 24)
    first, other = mask_of(derive_of()), mask_of(derive_of(), ~MASK)
    with pytest.raises(DerivedObjectError, match="would keep one of them"):
        context.session.dicom.send([first, other], Peer(name="PACS", ae_title="A", host="127.0.0.1", port=104))


def test_a_file_that_holds_another_result_is_replaced_when_asked_only(tmp_path: Path) -> None:
    source = make_source()
    first, other = (encapsulated_pdf(b"%PDF-1." + end, source, make_recipe()) for end in (b"4", b"7"))
    (path,) = save([first], tmp_path, replace=False)
    assert save([first], tmp_path, replace=False) == [path]
    with pytest.raises(DerivedObjectError, match="holds another result"):
        save([other], tmp_path, replace=False)
    assert dcmread(path).EncapsulatedDocument == b"%PDF-1.4"
    save([other], tmp_path)
    assert dcmread(path).EncapsulatedDocument == b"%PDF-1.7"


def test_images_that_are_there_already_are_the_same_result(tmp_path: Path) -> None:
    made = derive_image(VALUES / 3, make_source(), make_recipe()).datasets
    assert save(made, tmp_path) == save(made, tmp_path, replace=False)


TWO_RESULTS: dict[str, Callable[[Derive, int], Any]] = {
    "image": lambda derive, n: derive(VALUES + n, like=make_headers(), role="r"),
    "multi-frame image": lambda derive, n: derive(
        VALUES + n, like=make_headers(), role="r", kind="sc", multi_frame=True
    ),
    "colours": lambda derive, n: derive(np.full((5, 4, 3, 3), n, np.uint8), like=make_headers(), role="r"),
    "pages": lambda derive, n: derive([np.full((8, 6, 3), n, np.uint8)], like=make_headers(), role="r"),
    "segmentation": lambda derive, n: derive.segmentation({"liver": np.roll(MASK, n, 1)}, like=make_headers()),
    "label map": lambda derive, n: derive.segmentation(
        np.roll(MASK, n, 1).astype(np.uint8), labels={1: "liver"}, like=make_headers()
    ),
    "name of a segment": lambda derive, n: derive.segmentation({("liver", "spleen")[n]: MASK}, like=make_headers()),
    "structure set": lambda derive, n: derive.rtstruct({"liver": np.roll(MASK, n, 1)}, like=make_headers()),
    "overlay": lambda derive, n: derive.overlay(VALUES, {"liver": np.roll(MASK, n, 1)}, like=make_headers()),
    "presentation": lambda derive, n: derive.presentation({"liver": np.roll(MASK, n, 1)}, like=make_headers()),
    "map": lambda derive, n: derive.parametric_map(VALUES.astype(np.float32) + n, like=make_headers(), role="r"),
    "measurements": lambda derive, n: derive.measurement_report({"liver": {"Volume": (n, "ml")}}, like=make_headers()),
    "text": lambda derive, n: derive.text_report(f"{n} nodules.", like=make_headers()),
    "PDF": lambda derive, n: derive.pdf(b"%%PDF-1.%d" % n, like=make_headers()),
}


@pytest.mark.parametrize("kind", TWO_RESULTS)
def test_no_kind_of_result_is_made_twice_under_one_uid(kind: str, tmp_path: Path) -> None:
    make = TWO_RESULTS[kind]
    derive = derive_of()
    first = make(derive, 0)
    make(derive, 0)  # the same result once more
    with pytest.raises(DerivedObjectError, match="a role of its own"):
        make(derive, 1)
    other = make(derive_of(), 1)  # of another process, which knows nothing of the first
    one, two = ([*each] if isinstance(each, list) else [each] for each in (first, other))
    save(one, tmp_path)
    with pytest.raises(DerivedObjectError, match="holds another result"):
        save(two, tmp_path, replace=False)
    with pytest.raises(DerivedObjectError, match="would keep one of them"):
        save([*one, *two], tmp_path / "together")
