"""Every name that 0.0.1 had is where it was, or docs/migrating.md says what became of it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

MIGRATING = Path(__file__).resolve().parents[1] / "docs" / "migrating.md"

NAMES = {
    "": [
        "download_session_file",
        "dicom_series_to_nifti",
        "get_dicom_sender",
        "get_peer",
        "get_series_dicom",
        "get_series_nifti",
        "get_session_data",
        "get_session_file",
        "get_simplified_json",
        "has_session_data",
        "has_session_file",
        "make_pdf_dicom",
        "make_series_dicom",
        "nifti_to_dicom",
        "remove_session_data",
        "remove_session_file",
        "run_post_services",
        "run_pre_services",
        "set_session_data",
        "upload_session_file",
    ],
    "converters": [
        "dicom_series_to_nifti",
        "get_mgr",
        "get_series_dicom",
        "get_series_nifti",
        "get_simplified_json",
    ],
    "db_manager": [
        "DBMGR",
        "DicomSender",
        "download_session_file",
        "get_db_info",
        "get_dicom_sender",
        "get_job_event",
        "get_job_id",
        "get_mgr",
        "get_peer",
        "get_session_data",
        "get_session_file",
        "get_session_id",
        "has_session_data",
        "has_session_file",
        "remove_session_data",
        "remove_session_file",
        "set_session_data",
        "upload_session_file",
    ],
    "dicom_conversion": ["dicom_series_to_nifti", "get_simplified_json"],
    "dicom_network": [
        "DicomSender",
        "generate_dicom_from_pdf",
        "make_pdf_dicom",
        "make_series_dicom",
        "nifti_to_dicom",
    ],
    "dicom_network.dicom_sender": [
        "DicomSender",
        "REQUESTED_SOP_CLASSES",
        "REQUESTED_TRANSFER_SYNTAXES",
        "STATUS_CONTEXT_NOT_ACCEPTED",
    ],
    "dicom_network.utils": [
        "COPY_TAGS",
        "format_patient_age",
        "generate_dicom_from_pdf",
        "get_orientation",
        "get_patient_orientation",
        "get_slope_and_intercept_pydicom",
        "make_pdf_dicom",
        "make_series_dicom",
        "nifti_to_dicom",
        "post_process_all_ds",
        "write_dicom_slice",
    ],
    "env_vars": [
        "get_db_info",
        "get_job_event",
        "get_job_id",
        "get_job_name",
        "get_job_service_name",
        "get_peer_id",
        "get_session_id",
    ],
    "post_services": ["callback", "get_mgr", "run_clean_up_service"],
    "pre_services": ["callback"],
}
"""By module of the published wheel, the names that it defines or imports from the package's other modules."""


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_a_name_is_where_it_was_or_the_guide_says_what_became_of_it(module: str, name: str) -> None:
    found = importlib.import_module(f"dcm_processor_service.{module}".rstrip("."))
    if not hasattr(found, name):
        rows = [line for line in MIGRATING.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        assert any(re.search(rf"`{name}`", row) for row in rows), f"{module}.{name} is gone without a word"
