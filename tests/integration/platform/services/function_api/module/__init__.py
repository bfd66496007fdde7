"""A service in the 0.0.1 API's style whose second job tries every function that the 0.0.1 API has."""

from __future__ import annotations

import os
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from pymongo import MongoClient

import dcm_processor_service as sdk

from . import data_cases, derived_cases, document_cases, file_cases, peer_cases, sending_cases, series_cases
from .catalogue import CASES, Bench, Case

__all__ = [
    "data_cases",
    "derived_cases",
    "document_cases",
    "file_cases",
    "peer_cases",
    "producer",
    "sending_cases",
    "series_cases",
    "suite",
]


def producer(*, headers: dict[str, Any], **_arguments: Any) -> str:
    """Leaves a value and a file for the job after it; there is one such job for each series."""
    uid = str(headers["SeriesInstanceUID"])
    sdk.set_session_data("series", uid)
    sdk.upload_session_file(uid.encode(), "series.txt", content_type="text/plain")
    return uid


def suite(*, headers: dict[str, Any], params: dict[str, Any], **_arguments: Any) -> dict[str, str]:
    """Runs every case; gives the traceback of each by name, empty where it holds."""
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["DCM-PROCESSOR-SERVICE-DB-URL"])
    with client:
        database = client[os.environ["DCM-PROCESSOR-SERVICE-DB-NAME"]]
        outcomes = {}
        for name, one in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                outcomes[name] = _outcome(one, Bench(headers, params, Path(folder), database))
    return outcomes


def _outcome(one: Case, bench: Bench) -> str:
    before = set(threading.enumerate())
    try:
        one.function(bench)
    except Exception:  # noqa: BLE001  whatever it was, the test that asks for this case shows it
        return traceback.format_exc()
    finally:
        # an association that was left open would hold up the end of this process for a minute
        for thread in set(threading.enumerate()) - before:
            if hasattr(thread, "abort"):
                thread.abort()
    return ""
