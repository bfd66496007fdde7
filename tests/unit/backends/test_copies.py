"""A UID of several subjects is refused with the ids that distinguish them."""

from __future__ import annotations

import pytest

from dcm_processor_service.backends.copies import refuse_copies
from dcm_processor_service.errors import AmbiguousSeriesError
from dcm_processor_service.models import SubjectLevel


@pytest.mark.parametrize(
    ("level", "whose"),
    [
        (SubjectLevel.PATIENT, "patient have that identity"),  # which is not a UID: it may be made of a name
        (SubjectLevel.STUDY, "study have the UID 1.2"),
        (SubjectLevel.SERIES, "series have the UID 1.2"),
    ],
)
def test_subjects_of_one_uid_are_named_by_their_ids(level: SubjectLevel, whose: str) -> None:
    with pytest.raises(
        AmbiguousSeriesError, match=rf"^2 documents of a {whose}, since several peers sent it; .*: aa, bb$"
    ):
        refuse_copies(level, "1.2", ["aa", "bb"])
    for ids in ([], ["aa"]):
        refuse_copies(level, "1.2", ids)
