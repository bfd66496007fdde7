"""Whole processes of jobs: how they end when they are told to, and that nothing keeps them alive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.models import Job, Patient
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.testing import FakePacs

if TYPE_CHECKING:
    from pathlib import Path

SESSION_ID, JOB_ID = "5e" * 12, "1b" * 12
PATIENCE_S = 50
"""Less than the minute for which an open association keeps a process alive."""

MODULE = """
import sys, threading, warnings
from dcm_processor_service import RuntimeContext, entrypoint

def patient(ctx: RuntimeContext) -> str:
    print("ready", flush=True)
    step = threading.Event()
    while not ctx.cancelled:
        step.wait(0.01)
    ctx.progress(0.5, "stopped between two steps")
    ctx.progress(0.6, "stopped between two steps")
    ctx.session.data["saved"] = True
    ctx.log.info("stopped")
    return "partial"

def careless(ctx: RuntimeContext) -> int:
    from pynetdicom import AE
    entity = AE("OURS")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", ctx.job.params["port"], ae_title=ctx.job.params["title"])
    return association.send_c_echo().Status

def talkative(ctx: RuntimeContext) -> None:
    from pydicom import Dataset
    name = ctx.session.dicom.subject().metadata["PatientName"]
    dataset = Dataset()
    dataset.PatientBirthDate = "1979-02-03 of John Roe"
    warnings.warn(f"reading {name}")
    raise ValueError(f"cannot read {name}")

patient_entry, careless_entry, talkative_entry = entrypoint(patient), entrypoint(careless), entrypoint(talkative)
"""

MAIN = """
import json, sys, traceback
from service_module import {entry}
from_json = json.loads
ARGS, KWARGS = [], from_json(sys.argv[1])
try:
    data = dict(result={entry}(*ARGS, **KWARGS))
except Exception as ex:
    data = dict(error=dict(message=str(ex), traceback=traceback.format_exc()))
with open("result.json", "w") as f:
    json.dump(data, f)
"""


class Service:
    """A folder with a service's module, a workspace with its job, and the environment of its process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "service_module.py").write_text(MODULE)
        self.values: dict[str, Any] = {
            "db_provider": "sqlite",
            "db_url": str(folder / "workspace"),
            "session_id": SESSION_ID,
            "job_id": JOB_ID,
        }
        self.environment = os.environ | {
            f"DCM-PROCESSOR-SERVICE-{name.upper().replace('_', '-')}": value for name, value in self.values.items()
        }

    def container(self) -> Container:
        return Container(settings=RuntimeSettings.without_environment(**self.values))

    def add_job(self, **fields: Any) -> None:
        with opened(self.container()) as container:
            job = Job(id=JOB_ID, session_id=SESSION_ID, name="job", **fields)
            run_inline(container.workspace_repository().add_job(job))

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_entry(self, entry: str, **arguments: Any) -> subprocess.Popen[str]:
        (self.folder / "main.py").write_text(MAIN.format(entry=entry))
        given = {"session_id": SESSION_ID, "job_id": JOB_ID, **arguments}
        return self.start("main.py", json.dumps(given))

    def recorded(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return found


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def terminated(process: subprocess.Popen[str], ready_in: str) -> tuple[str, str]:
    """Tells the process to end once it says that it is ready; gives what it printed after that."""
    stream = getattr(process, ready_in)
    while (line := stream.readline()) and line != "ready\n":
        pass
    assert line == "ready\n", process.communicate()
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return stdout, stderr


def assert_stopped_in_order(service: Service) -> None:
    with opened(service.container()) as container:
        session = container.session()
        (job,) = session.jobs()
        assert session.data["saved"] is True
        assert (job.progress_percent, job.progress_message) == (60, "stopped between two steps")


def test_an_entry_finishes_its_step_and_ends_with_143(service: Service) -> None:
    service.add_job()
    process = service.start_entry("patient_entry")
    _stdout, stderr = terminated(process, "stdout")
    assert process.returncode == 143, stderr
    assert '"message": "stopped"' in stderr
    assert "asked to end (SIGTERM)" in service.recorded()["error"]["message"]
    assert_stopped_in_order(service)


def test_exec_finishes_its_step_prints_the_result_and_ends_with_143(service: Service) -> None:
    service.add_job()
    process = service.start("-m", "dcm_processor_service", "exec", "service_module.py:patient")
    stdout, _stderr = terminated(process, "stderr")  # what a callback prints goes there
    assert process.returncode == 143
    assert json.loads(stdout)["result"] == "partial"
    assert_stopped_in_order(service)


def test_an_association_that_was_left_open_does_not_keep_the_process_alive(service: Service) -> None:
    with FakePacs() as pacs:
        params = {"port": pacs.peer.port, "title": pacs.peer.ae_title}
        process = service.start_entry("careless_entry", params=params)
        _stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert service.recorded() == {"result": 0}
    assert '"count": 1' in stderr


def test_no_patient_attribute_is_printed_or_recorded(service: Service) -> None:
    subject = Patient(id="aa" * 12, metadata={"PatientName": "Doe^Jane"})
    headers = {"_id": {"$oid": subject.id}, "Studies": [], "Metadata": subject.metadata}
    process = service.start_entry("talkative_entry", headers=headers)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    error = service.recorded()["error"]
    assert error["message"] == "cannot read [removed]"
    assert "in talkative" in error["traceback"]
    service.add_job(subject=subject)
    again = service.start("-m", "dcm_processor_service", "exec", "service_module.py:talkative")
    exec_stdout, exec_stderr = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 1
    assert json.loads(exec_stdout)["error"]["message"].endswith("ValueError: cannot read [removed]")
    printed = stdout + stderr + exec_stdout + exec_stderr + json.dumps(error)
    assert printed.count("reading [removed]") == 2
    for text in ("Doe", "Jane", "Roe", "1979-02-03"):
        assert text not in printed
