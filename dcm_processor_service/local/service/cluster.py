"""Hands subjects to an existing Dask cluster: each runs in a process of its own on one of the cluster's workers.

The cluster is the user's: this module starts and stops nothing in it but these processes. A worker needs this package
in the same version, the service at the same path, and the workspace. A workspace that is a folder with SQLite is safe
on one machine only, so workers on another machine are refused; workers on any machine may use a workspace in MongoDB.
"""

from __future__ import annotations

import uuid
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.chosen_store import ChosenStore
from dcm_processor_service.local.service.cluster_store import look_at, run_token, worker_problem
from dcm_processor_service.local.service.cluster_worker import Seen, end_subjects, look_around, run_subject
from dcm_processor_service.local.service.subject_process import LOOKED_EVERY_S, ProcessEnd
from dcm_processor_service.runtime.execution.cancellation import Cancellation, cancelled_by_sigterm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager


__all__ = ["Cluster", "scheduler_address"]

_SCHEME = "dask://"
_PATIENCE_S = 10


def scheduler_address(url: str) -> str:
    """Returns where the scheduler listens, in Dask's own form.

    Raises:
        ConfigurationError: It is not ``dask://HOST:PORT``.

    Example:
        >>> scheduler_address("dask://10.0.0.5:8786")
        'tcp://10.0.0.5:8786'
    """
    host, _, port = url.removeprefix(_SCHEME).rpartition(":")
    if not url.startswith(_SCHEME) or not host or not port.isdecimal():
        raise ConfigurationError(
            f"--on {url!r} names no cluster; give dask://HOST:PORT, the address that its scheduler prints"
        )
    return f"tcp://{host}:{port}"


@dataclass(frozen=True)
class Cluster:
    """A connection to a cluster, which can ask its workers what they see."""

    client: Any
    url: str

    @classmethod
    @contextmanager
    def connected(cls, url: str) -> Iterator[Cluster]:
        """Connects to the scheduler of a cluster; closes the connection at the end.

        Raises:
            ConfigurationError: The extra ``dask`` is not installed, or no scheduler answers.
        """
        address = scheduler_address(url)
        try:
            distributed = import_module("distributed")
        except ImportError as error:
            raise ConfigurationError(
                "--on needs the extra dask: pip install 'dcm-processor-service[dask]', here and on the workers"
            ) from error
        try:
            client = distributed.Client(address, timeout=_PATIENCE_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigurationError(
                f"no Dask scheduler answers at {url} ({type(error).__name__}); is it running, and of the same release?"
            ) from error
        with client:
            yield cls(client, url)

    def check(self, workspace: Path) -> None:
        """Asks every worker whether it can run subjects of a workspace.

        Raises:
            ConfigurationError: There is no worker, or one lacks this package, has another version of it, is on another
                machine, or does not see the workspace.
        """
        place = str(workspace.absolute())
        own = look_around(place)
        self._ask(lambda seen: _problem(seen, own), look_around, place)

    def check_store(
        self,
        store: ChosenStore,
        *,
        service: str | None,
        callback: str | None,
        data_dir: str | None,
        no_code: Sequence[str] = (),
    ) -> None:
        """Asks every worker whether it can run subjects of a workspace in a database.

        Args:
            store: The database.
            service: Folder of the service.
            callback: The callback, if there is no service.
            data_dir: The value of ``ctx.data_dir``.
            no_code: Folders whose files may differ between machines.

        Raises:
            ConfigurationError: There is no worker, or one lacks this package, has another version of it, does not reach
                the database, or does not find the same code.
        """
        run_id = _new_run_id()
        asked: dict[str, Any] = {"store": store.as_request(), "run_id": run_id, "folder": str(Path.cwd())}
        asked |= {"service": service, "callback": callback, "data_dir": data_dir, "no_code": [*no_code]}
        with run_token(store, run_id, 0):
            own = look_at(asked)
            self._ask(lambda seen: _without_package(seen) or worker_problem(seen, own, asked), look_at, asked)

    def _ask(self, problem_of: Callable[[Any], str], look: Callable[[Any], Any], asked: Any) -> None:
        answers: dict[str, Any] = self.client.run(look, asked, on_error="return")
        if not answers:
            raise ConfigurationError(f"the cluster at {self.url} has no workers; start one with: dask worker HOST:PORT")
        for worker, seen in sorted(answers.items()):
            problem = problem_of(seen)
            if problem:
                raise ConfigurationError(f"the worker {worker} {problem}")

    def run(self, requests: Sequence[dict[str, Any]]) -> Iterator[ProcessEnd]:
        """Hands each request to the cluster; yields how each ended, in the order in which they end.

        After SIGTERM it asks the processes to end, withdraws requests that have not begun, and waits for the others.
        """
        if not requests:
            return
        cancellation, run_id, folder = Cancellation(), _new_run_id(), str(Path.cwd())
        with _marks(requests, run_id) as marks, cancelled_by_sigterm(cancellation):
            executor = self.client.get_executor(pure=False)
            numbers: dict[Future[ProcessEnd | None], int] = {
                executor.submit(run_subject, run_id, number, request, folder, marks): number
                for number, request in enumerate(requests)
            }
            pending = set(numbers)
            try:
                while pending:
                    ended, pending = wait(pending, LOOKED_EVERY_S, FIRST_COMPLETED)
                    if cancellation.requested:
                        self._ask_to_end(run_id)
                    for one in ended:
                        end = _end_of(one, numbers[one])
                        if end is not None:
                            yield end
            finally:
                if pending:
                    self._ask_to_end(run_id)
                executor.shutdown(wait=False)

    def _ask_to_end(self, run_id: str) -> None:
        self.client.run(end_subjects, run_id, on_error="ignore")


def _new_run_id() -> str:
    return f"run-{uuid.uuid4().hex}"


def _marks(requests: Sequence[dict[str, Any]], run_id: str) -> AbstractContextManager[str | None]:
    """Makes the place where the workers mark each subject that they begin: a folder, or a value in the database."""
    store = ChosenStore.of_request(requests[0]["store"])
    if store is not None:
        return run_token(store, run_id, len(requests))
    workspace = Path(requests[0]["workspace"]).absolute()
    return TemporaryDirectory(prefix=".run-", dir=workspace, ignore_cleanup_errors=True)


def _without_package(seen: object) -> str:
    if not isinstance(seen, BaseException):
        return ""
    return (
        f"cannot load this package ({type(seen).__name__}); install dcm-processor-service[dask] "
        f"{version('dcm-processor-service')} there"
    )


def _problem(seen: Seen | BaseException, own: Seen) -> str:
    if isinstance(seen, BaseException):
        return _without_package(seen)
    if seen.version != own.version:
        return f"has dcm-processor-service {seen.version}, and this machine {own.version}; install the same there"
    if seen.machine != own.machine:
        return (
            "is on another machine: the workspace is a folder with SQLite, which several machines at once would damage;"
            " use workers on this machine, or a workspace in MongoDB: --store mongodb"
        )
    if seen.workspace != own.workspace:
        return "does not see the workspace at the same path; start it where that folder is mounted"
    return ""


def _end_of(future: Future[ProcessEnd | None], number: int) -> ProcessEnd | None:
    try:
        return future.result()
    except ConfigurationError as error:
        # a worker raises this before it runs a process: it cannot start one, or its environment names no database
        return ProcessEnd(number, [], str(error), cancelled=False, begun=False)
    except (Exception, CancelledError) as error:  # noqa: BLE001  whatever the reason for which a cluster loses a task
        return ProcessEnd(number, [], f"the cluster lost this subject ({type(error).__name__})", cancelled=False)
