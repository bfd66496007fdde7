"""Peers and the values of the environment through the functions."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import dcm_processor_service as sdk
from dcm_processor_service import env_vars
from dcm_processor_service.dicom_network import DicomSender

from .catalogue import case

if TYPE_CHECKING:
    from .catalogue import Bench


@case
def the_peer_is_that_of_the_session(bench: Bench) -> None:
    peer = sdk.get_peer()
    assert peer is not None
    assert peer["name"] == "scanner"
    assert str(peer["_id"]) == bench.headers["PeerUID"]


@case
def a_peer_is_found_by_name(bench: Bench) -> None:
    peer = sdk.get_peer("archive")
    assert peer is not None
    assert peer["aet"] == "ARCHIVE"
    assert peer["host"] == "127.0.0.1"
    assert peer["port"] == bench.params["archive_port"]


@case
def a_sender_is_made_for_a_peer(_bench: Bench) -> None:
    assert isinstance(sdk.get_dicom_sender("archive"), DicomSender)
    assert isinstance(sdk.get_dicom_sender(), DicomSender)


@case
def the_environment_has_its_getters(bench: Bench) -> None:
    provider, url, name = env_vars.get_db_info()
    assert provider == "mongodb"
    assert url == os.environ["DCM-PROCESSOR-SERVICE-DB-URL"]
    assert name == bench.database.name
    assert env_vars.get_job_id() == os.environ["DCM-PROCESSOR-SERVICE-JOB-ID"]
    assert env_vars.get_session_id() == os.environ["DCM-PROCESSOR-SERVICE-SESSION-ID"]
    assert env_vars.get_job_event() == "stable-series"
    assert env_vars.get_job_name() == "suite"
    assert env_vars.get_job_service_name() == "function-api"
    assert env_vars.get_peer_id() == bench.headers["PeerUID"]


@case
def the_names_of_the_modules_are_kept(_bench: Bench) -> None:
    homes = {
        "converters": ["get_series_dicom", "get_series_nifti"],
        "db_manager": ["get_peer", "get_session_data", "set_session_data", "upload_session_file", "get_dicom_sender"],
        "dicom_conversion": ["dicom_series_to_nifti", "get_simplified_json"],
        "dicom_network": ["DicomSender", "make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"],
        "dicom_network.utils": ["make_pdf_dicom", "make_series_dicom", "nifti_to_dicom"],
        "post_services": ["callback"],
        "pre_services": ["callback"],
    }
    for module, names in homes.items():
        home = importlib.import_module(f"dcm_processor_service.{module}")
        assert [name for name in names if not callable(getattr(home, name, None))] == [], module
