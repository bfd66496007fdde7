"""What a local run hands to registry functions and to entries of 0.0.1: the documents of the platform's own server."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from bson import json_util

from dcm_processor_service import Container, Job, Patient, SeriesRecord, Study, opened
from dcm_processor_service.local.service.worker_arguments import platform_document
from dcm_processor_service.local.workspace import Workspace, sample_folder, session_id_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mongodb

PEER_ID = "6" * 24
OWN = {"_id", "CreatedAt", "UpdatedAt", "Instances", "Series", "Studies"}
"""What differs between two databases by nature: ids and times."""

FILE = """
import pathlib, sys
import pydicom
from dcm_processor_db_provider import DBManager

url, folder, peer_id = sys.argv[1:]
manager = DBManager(dburl=url, dbname="local_documents", dbprovider="mongodb")
for path in sorted(pathlib.Path(folder).iterdir()):
    manager.upload_dicom_dataset(pydicom.dcmread(path), peer_id=peer_id)
found = {name: list(manager.db.find(name, {"query": {}})) for name in ("series", "studies", "patients")}
print("found", DBManager.to_json(found, "mongodb"))
"""


@pytest.fixture(scope="module")
def filed_there(platform_python: Path, mongo_url: str) -> dict[str, Any]:
    command = [str(platform_python), "-c", FILE, mongo_url, str(sample_folder()), PEER_ID]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    options = json_util.JSONOptions(tz_aware=False)
    found: dict[str, Any] = json_util.loads(ran.stdout.partition("found ")[2], json_options=options)
    return found


@pytest.mark.parametrize("level", ["series", "studies", "patients"])
def test_a_local_run_has_the_documents_of_the_platform(level: str, filed_there: dict[str, Any], tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    filed, _ = place.ingest([sample_folder()])
    subject: Patient | Study | SeriesRecord = getattr(filed, level)[0]
    session_id = session_id_of(subject)
    with opened(Container(settings=place.settings(session_id=session_id))) as container:
        container.current_job().preset(Job(id="1" * 24, session_id=session_id, subject=subject))
        ours = platform_document(container.session(), subject, PEER_ID)
    (theirs,) = filed_there[level]
    theirs.pop("Scheduled", None)  # set with the second instance, on the way to the scheduler
    assert ours.keys() == theirs.keys()
    assert {name: type(value) for name, value in ours.items()} == {name: type(value) for name, value in theirs.items()}
    assert {name: value for name, value in ours.items() if name not in OWN} == {
        name: value for name, value in theirs.items() if name not in OWN
    }
