"""Questions by QIDO-RS to a fake service: pages, what each answer means, and where a search ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydicom import Dataset

from dcm_processor_service.dicom_network.dicomweb import web_query
from dcm_processor_service.dicom_network.dicomweb.web_client import AnswerTooLongError
from dcm_processor_service.dicom_network.dicomweb.web_query import answers, ask_for_instances, find_by_web
from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError, TooManyAnswersError
from dcm_processor_service.dicom_network.verification import COMPARED, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIES = SeriesKey("1", "1.1")


def instance(number: int) -> dict[str, Any]:
    dataset = Dataset()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = SERIES.study_instance_uid, SERIES.series_instance_uid
    dataset.SOPInstanceUID, dataset.InstanceNumber = f"1.1.{number}", number
    found: dict[str, Any] = dataset.to_json_dict()
    return found


class Service:
    """A fake client of a service that holds so many instances, and returns a page of them at a time."""

    def __init__(self, count: int = 0, *, page: int = 1000, ignores_offset: bool = False) -> None:
        self.count, self.page, self.ignores_offset = count, page, ignores_offset
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.status = 200
        self.content: bytes | None = None
        self.error: Exception | None = None

    def request(
        self, method: str, path: str, headers: Mapping[str, str], *, query: str = ""
    ) -> tuple[httpx.Response, bytes]:
        assert (method, headers) == ("GET", {"Accept": "application/dicom+json"})
        if self.error is not None:
            raise self.error
        path, _, in_path = path.partition("?")
        keys = parse_qs(query or in_path)
        self.asked.append((path, keys))
        content = self.content
        if content is None:
            begin = 0 if self.ignores_offset else int(keys["offset"][0])
            end = min(self.count, begin + min(self.page, int(keys["limit"][0])))
            content = json.dumps([instance(number) for number in range(begin, end)]).encode()
        return httpx.Response(self.status), content

    @property
    def pages(self) -> list[tuple[int, int]]:
        """The limit and the offset of each question."""
        return [(int(keys["limit"][0]), int(keys["offset"][0])) for _, keys in self.asked]


def find(service: Any, most: int = 5) -> list[str]:
    return [str(one.SOPInstanceUID) for one in find_by_web(service, "instances", "Modality=CT", most=most)]


def held(service: Any) -> dict[str, dict[str, str]]:
    return ask_for_instances(service, SERIES)


def test_a_search_asks_page_by_page_until_nothing_is_left() -> None:
    service = Service(5, page=2)
    assert find(service) == [f"1.1.{number}" for number in range(5)]
    assert service.pages == [(6, 0), (4, 2), (2, 4), (1, 5)]
    assert all((path, keys["Modality"]) == ("instances", ["CT"]) for path, keys in service.asked)


@pytest.mark.parametrize("page", [1000, 2])
def test_more_than_the_limit_is_refused(page: int) -> None:
    with pytest.raises(TooManyAnswersError, match="more than 4; ask for less"):
        find(Service(5, page=page), most=4)
    assert len(find(Service(4, page=page), most=4)) == 4


def test_a_service_that_repeats_itself_is_asked_once_more_and_no_longer() -> None:
    service = Service(3, ignores_offset=True)
    assert find(service) == ["1.1.0", "1.1.1", "1.1.2"]
    assert len(service.asked) == 2


def test_a_page_of_a_search_has_at_most_a_thousand() -> None:
    service = Service(0)
    assert find(service, most=5000) == []
    assert service.pages == [(1000, 0)]


def test_the_instances_of_a_series_are_asked_for_page_by_page_with_what_is_compared() -> None:
    service = Service(5, page=2)
    told = held(service)
    assert list(told) == [f"1.1.{number}" for number in range(5)]
    assert told["1.1.3"]["InstanceNumber"] == "3"
    assert service.pages == [(1000, 0), (1000, 2), (1000, 4), (1000, 5)]
    for path, keys in service.asked:
        assert (path, keys["includefield"]) == ("studies/1/series/1.1/instances", list(COMPARED))
    assert list(held(Service(3, ignores_offset=True))) == ["1.1.0", "1.1.1", "1.1.2"]


def test_a_series_of_too_many_instances_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_query, "MOST_INSTANCES", 4)
    assert len(held(Service(4, page=2))) == 4
    with pytest.raises(NotAnsweredError, match="more than 4 in one series"):
        held(Service(5, page=2))


def test_a_part_of_the_answers_is_an_answer_and_no_content_is_none() -> None:
    service: Any = Service(2)
    service.status = 206
    assert len(answers(service, "studies", "limit=9&offset=0")) == 2
    service.status = 204
    assert answers(service, "studies", "limit=9&offset=0") == []


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (429, True), (404, False), (403, False), (301, False)])
def test_a_refusal_says_whether_asking_again_may_help(status: int, *, retryable: bool) -> None:
    service: Any = Service(2)
    service.status, service.content = status, b""
    with pytest.raises(NotAnsweredError, match=f"HTTP {status}") as caught:
        answers(service, "studies")
    assert caught.value.retryable is retryable


@pytest.mark.parametrize(
    ("error", "said", "retryable"),
    [
        (httpx.ReadTimeout("late"), "the peer did not answer in time", True),
        (httpx.ConnectError("refused"), "no connection (ConnectError)", True),
        (AnswerTooLongError("the peer's answer does not end"), "the peer's answer does not end", False),
    ],
    ids=["late", "refused", "endless"],
)
def test_a_question_without_an_answer_has_its_reason(error: Exception, said: str, *, retryable: bool) -> None:
    service: Any = Service()
    service.error = error
    with pytest.raises(NotAnsweredError) as caught:
        answers(service, "studies")
    assert (str(caught.value), caught.value.retryable) == (said, retryable)


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b'[{"0020000D": 7}]', b"null", b"[7]"])
def test_what_is_no_list_of_data_sets_is_no_answer(content: bytes) -> None:
    service: Any = Service()
    service.content = content
    with pytest.raises(NotAnsweredError, match="not DICOM JSON"):
        answers(service, "studies")


def test_a_service_that_wants_a_certificate_is_told_so() -> None:
    service: Any = Service()
    service.status, service.content = 400, b"No required SSL certificate was sent"
    with pytest.raises(NotAnsweredError, match="cert_file"):
        answers(service, "studies")
