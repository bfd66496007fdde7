"""Runs one part of the platform, in the platform's own environment, with the classes that it publishes.

The platform's application starts the same parts as threads of one process; here each can be a process of its own::

    python drive.py URL DATABASE listener AE_TITLE PORT      # takes in images over C-STORE
    python drive.py URL DATABASE scheduler DEVICE            # makes sessions and jobs of complete patients
    python drive.py URL DATABASE worker DEVICE               # works through the queue
    python drive.py URL DATABASE ingest PEER_ID FOLDER       # what the listener does with files, without DIMSE
    python drive.py URL DATABASE schedule DEVICE             # what the scheduler does, once and without its wait
    python drive.py URL DATABASE run DEVICE [JOB_ID…]        # what the worker does, for these jobs or for all in turn
    python drive.py URL DATABASE without-docker PYTHON S     # from here on this interpreter, with a grace, is the image

Several parts, with ``--`` between them, run one after the other.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROVIDER = "mongodb"


def listen(url: str, database: str, ae_title: str, port: str) -> None:
    from dcm_processor_dicom_server.dicom_server import (  # type: ignore[import-not-found]  # the platform's environment
        DicomServer,
    )

    server = DicomServer(ae_title=ae_title, dburl=url, dbname=database, dbprovider=PROVIDER)
    server.start(host="127.0.0.1", port=int(port))


def watch_for_patients(url: str, database: str, device: str) -> None:
    from dcm_processor_job_scheduler.job_scheduler import (  # type: ignore[import-not-found]  # the platform's environment
        JobScheduler,
    )

    shortest_wait_s = 5
    JobScheduler(dburl=url, dbname=database, dbprovider=PROVIDER, device_id=device, timeout=shortest_wait_s).start()


def work(url: str, database: str, device: str) -> None:
    from mqas import main  # type: ignore[import-not-found]  # the platform's environment

    # the options are those that the platform's application passes
    main(
        [
            "worker",
            device,
            f"--conn={url}",
            f"--dbname={database}",
            "--colname=jobs",
            "--logger=dcm_processor_worker.logger",
            "--verbosity=errorcompletedprogress",
            "--no-sub-process",
        ]
    )


def ingest(url: str, database: str, peer_id: str, folder: str) -> None:
    from dcm_processor_db_provider import DBManager  # type: ignore[import-not-found]  # the platform's environment
    from pydicom import dcmread

    manager = DBManager(dburl=url, dbname=database, dbprovider=PROVIDER)
    for path in sorted(Path(folder).iterdir()):
        manager.upload_dicom_dataset(dataset=dcmread(path), peer_id=peer_id)


def schedule(url: str, database: str, device: str) -> None:
    from dcm_processor_job_scheduler.job_scheduler import JobScheduler

    scheduler = JobScheduler(dburl=url, dbname=database, dbprovider=PROVIDER, device_id=device)
    complete_now = -60  # seconds since the last image; in the future, so that none is waited for
    while patient := scheduler.db_mgr.get_completed_patient(timeout=complete_now):
        scheduler.process_patient(patient)


def run(url: str, database: str, device: str, *job_ids: str) -> None:
    from mqas import Queue
    from mqas.worker import WorkerThread  # type: ignore[import-not-found]  # the platform's environment

    queue = Queue(url, channel=device, db_name=database, col_name="jobs", db_conn=url)
    for job_id in job_ids or itertools.repeat(None):
        job = queue.dequeue(job_id=job_id)
        if job is None:
            break
        thread = WorkerThread(
            job.payload["function_name"],
            args=job.payload["args"],
            kwargs=job.payload["kwargs"],
            job=job,
            as_subprocess=False,
        )
        thread.run()
        output = thread.get_output()
        if "error" in output:
            job.error(output["error"])
        else:
            job.complete(output["result"])


def without_docker(_url: str, _database: str, python: str, grace_s: str) -> None:
    import docker  # type: ignore[import-untyped]  # the platform's environment
    from containers import Docker  # type: ignore[import-not-found]  # beside this script

    docker.from_env = lambda: Docker(python, {"DCM_PROCESSOR_SERVICE_GRACE_S": grace_s})


PARTS: dict[str, Callable[..., None]] = {
    "listener": listen,
    "scheduler": watch_for_patients,
    "worker": work,
    "ingest": ingest,
    "schedule": schedule,
    "run": run,
    "without-docker": without_docker,
}


def main(url: str, database: str, *words: str) -> None:
    text = "\0".join(words)
    for part in text.split("\0--\0"):
        name, *arguments = part.split("\0")
        PARTS[name](url, database, *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
