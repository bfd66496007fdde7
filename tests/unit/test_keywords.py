"""Values that a user constructs refuse a keyword that is not a field of theirs, and say what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import (
    Finding,
    Job,
    Patient,
    Peer,
    Segment,
    SendOptions,
    SeriesRecord,
    SeriesRules,
    Study,
    StudyIdentity,
)
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.keywords import unknown_name_sentence

if TYPE_CHECKING:
    from collections.abc import Callable

PACS = {"name": "PACS", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": 104}


@pytest.mark.parametrize(
    ("make", "given", "meant"),
    [
        (SendOptions, {"associatons": 2}, "associations"),
        (SeriesRules, {"modalty": "CT"}, "modality"),
        (Peer, {**PACS, "aetitle": "X"}, "ae_title"),
        (Peer, {**PACS, "calling_aetitle": "X"}, "calling_ae_title"),
        (Job, {"id": "1" * 24, "session_id": "5" * 24, "service": "liver"}, "service_name"),
        (Patient, {"id": "1" * 24, "studyids": ()}, "study_ids"),
        (Study, {"id": "1" * 24, "study_instanceuid": "1.2"}, "study_instance_uid"),
        (StudyIdentity, {"patientid": "17"}, "patient_id"),
        (Segment, {"mask": None, "colour_lab": (50, 0, 0)}, "color_lab"),
        (Finding, {"measurments": {}}, "measurements"),
        (SeriesRecord, {"id": "1" * 24, "seriesinstance_uid": "1.2"}, "series_instance_uid"),
    ],
)
def test_a_misspelt_keyword_is_refused_with_what_was_meant(
    make: Callable[..., Any], given: dict[str, Any], meant: str
) -> None:
    misspelt = list(given)[-1]
    with pytest.raises(ConfigurationError) as caught:
        make(**given)
    assert str(caught.value).startswith(f"{make.__name__} has no keyword {misspelt!r}; ")
    assert str(caught.value).endswith(f"did you mean {meant!r}?")


def test_a_stored_document_with_other_fields_is_still_read() -> None:
    assert Peer.model_validate({**PACS, "whitelist_aet": []}).name == "PACS"
    assert Job.model_validate({"id": "1" * 24, "session_id": "5" * 24, "attempts": 2}).id == "1" * 24


def test_all_misspelt_keywords_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"'associations'\?\n.*'attempts'\?"):
        SendOptions(associatons=2, atempts=3)  # type: ignore[call-arg]  # that is the point


def test_a_name_like_no_other_is_reported_with_all_there_are() -> None:
    assert unknown_name_sentence("X", "option", "zzz", ["b", "a"]) == "X has no option 'zzz'; it has: a, b"
    assert unknown_name_sentence("X", "option", "zzz", []) == "X has no option 'zzz'; it has: none"
