"""QIDO-RS: what a peer holds of a series (PS3.18, section 10.6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
from pydicom import Dataset

from dcm_processor_service.dicom_network.dicomweb.web_client import AnswerTooLongError, tls_failure
from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError
from dcm_processor_service.dicom_network.verification import COMPARED, MOST_INSTANCES, held

if TYPE_CHECKING:
    from dcm_processor_service.dicom_network.dicomweb.web_client import WebClient
    from dcm_processor_service.dicom_network.verification import Held, SeriesKey

__all__ = ["ask_for_instances"]

_PAGE = 1000
_FOUND, _NOTHING, _PARTLY = 200, 204, 206
_HEADERS = {"Accept": "application/dicom+json"}


def ask_for_instances(client: WebClient, series: SeriesKey) -> Held:
    """Asks, page by page: a server may give fewer at a time than asked for.

    Raises:
        NotAnsweredError: The peer does not tell, or not in DICOM JSON.
    """
    path = f"studies/{series.study_instance_uid}/series/{series.series_instance_uid}/instances"
    fields = "&".join(f"includefield={keyword}" for keyword in COMPARED)
    found: Held = {}
    while True:
        page = _page(client, f"{path}?limit={_PAGE}&offset={len(found)}&{fields}")
        if page.keys() <= found.keys():  # empty; or a server that knows no offset repeats itself
            return found
        found |= page
        if len(found) > MOST_INSTANCES:
            raise NotAnsweredError(f"the peer found more than {MOST_INSTANCES} in one series")


def _page(client: WebClient, path: str) -> Held:
    try:
        response, content = client.request("GET", path, _HEADERS)
    except httpx.TimeoutException as error:
        raise NotAnsweredError("the peer did not answer in time") from error
    except httpx.RequestError as error:
        raise NotAnsweredError(f"no connection ({tls_failure(error) or type(error).__name__})") from error
    except AnswerTooLongError as error:
        raise NotAnsweredError(str(error)) from error
    if response.status_code == _NOTHING:
        return {}
    if response.status_code not in {_FOUND, _PARTLY}:
        raise NotAnsweredError(f"the peer answered the query with HTTP {response.status_code}")
    try:
        return held(Dataset.from_json(one) for one in json.loads(content))
    except Exception as error:  # pydicom raises whatever odd JSON leads to
        raise NotAnsweredError("the peer's answer to the query is no DICOM JSON") from error
