"""The platform as an application that a test can start: its documents, its processes, and waiting for its database."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import time
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from gridfs import GridFSBucket
from pymongo import MongoClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Application", "Document"]

Document = dict[str, Any]

HERE = Path(__file__).resolve().parent
DRIVER = HERE / "drive.py"
DEVICE = "test-device"
POLL_S = 0.1
STOP_S = 10
COMMAND_S = 240


def _zipped(folder: Path, pattern: str = "*.py") -> bytes:
    """The content of a folder as the platform packs a component: without the folder itself."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob(pattern)):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


class Application:
    """One database with the platform's documents, and the processes that work on it."""

    def __init__(self, python: Path, url: str, database: str, folder: Path) -> None:
        self.python = python
        self.url = url
        self.name = database
        self.folder = folder
        self.client: MongoClient[Document] = MongoClient(url, tz_aware=True)
        self.database = self.client[database]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # documents, as the platform's command line files them

    def add_peer(self, name: str, ae_title: str, port: int, **more: Any) -> str:
        """Files a peer that images come from or results go to; gives its id."""
        peer = {"name": name, "host": "127.0.0.1", "port": port, "aet": ae_title, "tls": False, **more}
        return str(self.database.peers.insert_one(peer).inserted_id)

    def add_node(self, name: str, ae_title: str, port: int) -> None:
        """Files the platform's own listener."""
        self.database.dicomnodes.insert_one(
            {"name": name, "host": "127.0.0.1", "port": port, "aet": ae_title, "pdu": None, "tls": False}
            | {"device_id": DEVICE}
        )

    def add_worker(self, name: str, python: Path) -> None:
        """Files a virtual-environment worker, which runs the jobs of services that name it."""
        self.database.workers.insert_one(
            {
                "name": name,
                "version": "0.0.1",
                "type": "venv",
                "path": str(python.parent.parent.parent),
                "venv_path": python.parent.parent.name,
                "venv_python_path": str(python),
                "python_version": "3.10",
                "device_id": DEVICE,
                "params": {},
                "worker_files": {},
            }
        )

    def add_docker_worker(self, name: str, python: Path, folder: Path) -> None:
        """Files a docker worker with the scripts ``pre.py`` and ``post.py`` of a folder, and its ``data``.

        The scripts run outside of the container, with the worker's own interpreter.
        """
        bucket = GridFSBucket(self.database, "componentfiles")
        contents = {script: (folder / script).read_bytes() for script in ("pre.py", "post.py")}
        contents["data_dir"] = _zipped(folder / "data", "*")
        files = {part: bucket.upload_from_stream(part, content) for part, content in contents.items()}
        self.database.workers.insert_one(
            {
                "name": name,
                "version": "0.0.1",
                "type": "docker",
                "image": f"{name}:0.0.1",
                "path": str(python.parent.parent.parent),
                "venv_path": python.parent.parent.name,
                "venv_python_path": str(python),
                "device_id": DEVICE,
                "params": {"command": [], "run_kwargs": {}},
                "pre_scripts": ["pre.py"],
                "post_scripts": ["post.py"],
                "module_dir_mount": "/module",
                "data_dir_mount": "/data",
                "session_dir_mount": "/session",
                "worker_files": files,
            }
        )

    def add_setting(self, name: str, value: str) -> None:
        """Files a setting of the application."""
        now = datetime.now(timezone.utc)
        self.database.settings.insert_one({"name": name, "value": value, "createdAt": now, "updatedAt": now})

    def add_service(self, name: str, folder: Path, jobs: list[Document]) -> None:
        """Packs and files a service: ``module`` and ``registry`` of the folder, and its jobs."""
        bucket = GridFSBucket(self.database, "componentfiles")
        parts: dict[str, ObjectId] = {}
        for part in ("module", "registry"):
            metadata = {"name": name, "version": "1.0.0", "type": f"service_{part}"}
            parts[part] = bucket.upload_from_stream(f"{ObjectId()}.zip", _zipped(folder / part), metadata=metadata)
        self.database.services.insert_one({"name": name, "version": "1.0.0", "jobs": jobs, **parts})

    # processes

    def start(self, part: str, *arguments: str) -> None:
        """Starts a part of the platform that runs until :meth:`stop`."""
        with self.log(part).open("ab") as log:
            self._processes[part] = subprocess.Popen(
                [str(self.python), str(DRIVER), self.url, self.name, part, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.variables(),
                cwd=self.folder,
                start_new_session=True,  # so that a job that is running ends with the part that started it
            )

    def run(self, part: str, *arguments: str, **variables: str) -> str:
        """Runs a part of the platform to its end, or several with ``--`` between them; gives what it printed."""
        ended = subprocess.run(
            [str(self.python), str(DRIVER), self.url, self.name, part, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
            stdin=subprocess.DEVNULL,
            env={**self.variables(), **variables},
            cwd=self.folder,
        )
        assert ended.returncode == 0, f"{part} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout + ended.stderr

    @staticmethod
    def variables() -> dict[str, str]:
        """The variables of the platform's processes: the shell's, without what points Python to the tests."""
        return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}

    def log(self, part: str) -> Path:
        """The file that a part of the platform prints to."""
        return self.folder / f"{part}.log"

    def logs(self) -> str:
        """All that the parts of the platform have printed."""
        return "\n".join(f"==> {path.name} <==\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))

    def kill(self, part: str) -> None:
        """Ends a part, and what it runs, as the system does when memory runs out."""
        process = self._processes.pop(part)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)

    def wait_for_end(self, part: str, timeout_s: float) -> None:
        """Waits until a part has ended by itself; ends what it ran."""
        self._processes[part].wait(timeout_s)
        self.kill(part)

    def stop(self) -> None:
        """Ends every process that this application started."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_S)
        self._processes.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator[Application]:
        """Stops processes and drops the database at the end."""
        try:
            yield self
        finally:
            self.stop()
            self.client.drop_database(self.name)
            self.client.close()

    # waiting

    def wait_until(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        """Looks again and again until the condition holds; fails when a part has ended or time is up."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            for part, process in self._processes.items():
                assert process.poll() is None, f"the {part} ended with {process.returncode}\n{self.logs()}"
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}\n{self.state()}\n{self.logs()}"
            time.sleep(POLL_S)

    def wait_for_port(self, port: int, timeout_s: float) -> None:
        """Waits until somebody listens."""

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            return False

        self.wait_until(f"somebody listens on port {port}", listens, timeout_s)

    # what the platform has done

    def jobs(self, **query: Any) -> list[Document]:
        """The queue's jobs, oldest first."""
        return list(self.database.jobs.find({"item_type": "queue", **query}).sort("_id", 1))

    def state(self) -> str:
        """What each job has come to, for a failed test."""
        return "\n".join(
            f"{job['data']['function_name']} {job.get('job_event')} {job.get('job_name')}: done={job['done']} "
            f"error={job['error']} result={job.get('result')} message={job.get('errorMessage')}"
            for job in self.jobs()
        )

    def count(self, *collections: str) -> dict[str, int]:
        """How many documents each collection holds."""
        return {name: self.database[name].count_documents({}) for name in collections}
