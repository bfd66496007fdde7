"""Session data through the functions."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import dcm_processor_service as sdk

from .catalogue import case, clearer, defect

if TYPE_CHECKING:
    from .catalogue import Bench

ID_DIGITS = 24


@case
def first_set_gives_the_id_of_the_new_document(_bench: Bench) -> None:
    made = sdk.set_session_data("first", 1)
    assert isinstance(made, str)
    assert len(made) == ID_DIGITS


@case
def further_sets_give_how_many_documents_changed(_bench: Bench) -> None:
    sdk.set_session_data("again", 1)
    assert sdk.set_session_data("again", 2) == 1
    assert sdk.set_session_data("again", 2) == 0
    assert sdk.get_session_data("again") == 2


@case
def values_of_every_kind_come_back(_bench: Bench) -> None:
    value = {
        "text": "ä",
        "number": 1.5,
        "large": 2**62,
        "none": None,
        "list": [1, [2]],
        "bytes": b"\x00\xff",
        "yes": True,
    }
    sdk.set_session_data("kinds", value)
    assert sdk.get_session_data("kinds") == value


@case
def moments_come_back(_bench: Bench) -> None:
    moment = datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=timezone.utc)
    sdk.set_session_data("moment", moment)
    assert sdk.get_session_data("moment").replace(tzinfo=timezone.utc) == moment


@case
def tuples_come_back_as_lists(_bench: Bench) -> None:
    sdk.set_session_data("tuple", (1, (2, 3)))
    assert sdk.get_session_data("tuple") == [1, [2, 3]]


@case
def absent_data_give_the_default(_bench: Bench) -> None:
    assert sdk.get_session_data("absent") is None
    assert sdk.get_session_data("absent", 7) == 7
    assert sdk.get_session_data("absent", default="seven") == "seven"


@case
def a_stored_none_is_not_the_default(_bench: Bench) -> None:
    sdk.set_session_data("nothing", None)
    assert sdk.get_session_data("nothing", default=7) is None
    assert sdk.has_session_data("nothing") is True


@case
def data_are_there_until_removed(_bench: Bench) -> None:
    assert sdk.has_session_data("short-lived") is False
    sdk.set_session_data("short-lived", 1)
    assert sdk.has_session_data("short-lived") is True
    assert sdk.remove_session_data("short-lived") == 1
    assert sdk.has_session_data("short-lived") is False
    assert sdk.remove_session_data("short-lived") is None


@defect(2)
def data_of_another_job_are_read_by_its_name(_bench: Bench) -> None:
    assert sdk.get_session_data("series", job_name="producer") is not None
    assert sdk.has_session_data("series", job_name="producer") is True


@defect(3)
def data_of_another_job_are_those_of_the_own_series(bench: Bench) -> None:
    assert sdk.get_session_data("series", job_name="producer") == bench.headers["SeriesInstanceUID"]


@case
def absent_data_of_another_job_give_the_default(_bench: Bench) -> None:
    assert sdk.get_session_data("absent", default=7, job_name="producer") == 7
    assert sdk.has_session_data("absent", job_name="producer") is False


@case
def a_job_name_that_nobody_has_gives_the_default(_bench: Bench) -> None:
    assert sdk.get_session_data("series", default="default", job_name="no such job") == "default"
    assert sdk.has_session_data("series", job_name="no such job") is False


@clearer
def keys_that_are_no_text_are_refused_with_their_place(_bench: Bench) -> None:
    try:
        sdk.set_session_data("keys", {"outer": {1: "one"}})
    except TypeError as error:
        assert "outer" in str(error)  # noqa: PT017  a case runs where there is no pytest
    else:
        raise AssertionError("stored")
