"""Asks a peer by QIDO-RS what it holds (PS3.18, section 10.6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
from pydicom import Dataset

from dcm_processor_service.dicom_network.dicomweb.web_client import AnswerTooLongError, certificate_wish, tls_failure
from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError, TooManyAnswersError
from dcm_processor_service.dicom_network.verification import COMPARED, MOST_INSTANCES, held
from dcm_processor_service.imaging.headers.containment import contained

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.dicomweb.web_client import WebClient
    from dcm_processor_service.dicom_network.verification import Held, SeriesKey

__all__ = ["answers", "ask_for_instances", "find_by_web"]

_PAGE = 1000
_FOUND, _NOTHING, _PARTLY = 200, 204, 206
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_HEADERS = {"Accept": "application/dicom+json"}


def ask_for_instances(client: WebClient, series: SeriesKey) -> Held:
    """Asks for the instances of a series, page by page, because a server may return fewer at a time than requested.

    Raises:
        NotAnsweredError: The peer does not answer, or its answer is not DICOM JSON.
    """
    path = f"studies/{series.study_instance_uid}/series/{series.series_instance_uid}/instances"
    fields = "&".join(f"includefield={keyword}" for keyword in COMPARED)
    found: Held = {}
    seen: set[str] = set()
    while True:
        page = answers(client, f"{path}?limit={_PAGE}&offset={len(seen)}&{fields}")
        uids = {str(one.get("SOPInstanceUID", "")) for one in page}
        if uids <= seen:  # the page is empty, or the server ignores the offset and returns the same page again
            return found
        seen |= uids
        found |= held(page, series)
        if len(seen) > MOST_INSTANCES:
            raise NotAnsweredError(f"the peer found more than {MOST_INSTANCES} in one series")


def find_by_web(client: WebClient, path: str, query: str, *, most: int) -> list[Dataset]:
    """Sends a query page by page, as :func:`ask_for_instances` does, and returns the data sets that match.

    Args:
        client: The client of the peer.
        path: The path below the peer's URL.
        query: The keys, which are not logged.
        most: The largest number of answers; if there are more, an error is raised.

    Raises:
        NotAnsweredError: The peer does not answer, or its answer is not DICOM JSON.
        TooManyAnswersError: The peer finds more than ``most``.
    """
    found: list[Dataset] = []
    seen: set[str] = set()
    while True:
        limit = min(_PAGE, most + 1 - len(found))
        page = answers(client, path, f"{query}&limit={limit}&offset={len(found)}")
        new = [one for one in page if one.to_json() not in seen]
        if not new:  # the page is empty, or the server ignores the offset and returns the same page again
            return found
        seen.update(one.to_json() for one in new)
        found += new
        if len(found) > most:
            raise TooManyAnswersError(f"the peer found more than {most}; ask for less")


def answers(client: WebClient, path: str, query: str = "") -> list[Dataset]:
    """Sends one query, and returns the data sets in the answer.

    Raises:
        NotAnsweredError: The peer does not answer, or its answer is not DICOM JSON.
    """
    try:
        response, content = client.request("GET", path, _HEADERS, query=query)
    except httpx.TimeoutException as error:
        raise NotAnsweredError("the peer did not answer in time", retryable=True) from error
    except httpx.RequestError as error:
        failure = tls_failure(error)
        raise NotAnsweredError(f"no connection ({failure or type(error).__name__})", retryable=not failure) from error
    except AnswerTooLongError as error:
        raise NotAnsweredError(str(error)) from error
    if response.status_code == _NOTHING:
        return []
    if wish := certificate_wish(response, content):
        raise NotAnsweredError(wish)
    if response.status_code not in {_FOUND, _PARTLY}:
        temporary = response.status_code in _TEMPORARY
        raise NotAnsweredError(f"the peer answered the query with HTTP {response.status_code}", retryable=temporary)
    try:
        with contained():
            return _data_sets(json.loads(content))
    except Exception as error:  # pydicom may raise any error for odd JSON
        raise NotAnsweredError("the peer's answer to the query is not DICOM JSON") from error


def _data_sets(decoded: object) -> list[Dataset]:
    if not isinstance(decoded, list):  # must not count as no answers: if nothing matches, the answer is an empty list
        raise TypeError(f"a {type(decoded).__name__} is not a list of answers")
    return [Dataset.from_json(one) for one in decoded]
