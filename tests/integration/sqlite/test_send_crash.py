"""A process killed in the middle of a sending: the next one sends the rest, and each instance arrives once."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import Container, RuntimeSettings, opened
from dcm_processor_service.testing import FakePacs, synthetic_series

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 9
JOB: dict[str, Any] = {"session_id": "5" * 24, "job_id": "1" * 24}

SENDER = """
import os, sys
from dcm_processor_service import Container, Peer, RuntimeSettings, opened

workspace, folder, peer, killed_after = sys.argv[1:5]
settings = RuntimeSettings.without_environment(
    db_provider="sqlite", db_url=workspace, session_id="5" * 24, job_id="1" * 24)
left = int(killed_after)

def count():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)

with opened(Container(settings=settings)) as container:
    container.session().dicom.send(folder, to=Peer.model_validate_json(peer), on_record=count)
"""


@pytest.mark.parametrize("killed_after", [1, 4, COUNT])
def test_killed_in_a_sending(killed_after: int, tmp_path: Path) -> None:
    folder, workspace = tmp_path / "series", tmp_path / "workspace"
    folder.mkdir()
    datasets = synthetic_series(slices=COUNT)
    for dataset in datasets:
        dataset.save_as(folder / f"{dataset.InstanceNumber}.dcm", enforce_file_format=True)
    settings = RuntimeSettings.without_environment(db_provider="sqlite", db_url=str(workspace), **JOB)
    with FakePacs() as pacs:
        arguments = [str(workspace), str(folder), pacs.peer.model_dump_json(), str(killed_after)]
        ran = subprocess.run([sys.executable, "-c", SENDER, *arguments], capture_output=True, text=True, check=False)
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        with opened(Container(settings=settings)) as container:
            session = container.session()
            report = session.dicom.send(folder, to=pacs.peer)
            assert (report.ok, report.stored) == (True, COUNT)
            assert session.data.keys() == []
        assert sorted(pacs.arrivals) == sorted(dataset.SOPInstanceUID for dataset in datasets)
