"""``run --on dask://…``: the subjects of a run on a real cluster of two workers."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.service import cluster
from dcm_processor_service.local.service.cluster_worker import Seen, run_subject
from tests.command_line import Ran, run_here, run_process
from tests.dask_cluster import running_cluster
from tests.integration.cli.test_exec import HEAD, write
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from collections.abc import Iterator

MEASURE = HEAD + (
    "import os\n"
    "def run(ctx: RuntimeContext):\n"
    "    count = ctx.session.dicom.get_series().instance_count()\n"
    "    ctx.session.data['count'] = count\n"
    "    ctx.session.files.put('out/count.txt', str(count).encode())\n"
    "    print('printed by a callback')\n"
    "    return {'count': count, 'params': ctx.job.params}\n"
)
ENDING = HEAD + (
    "import os, signal\n"
    "def run(ctx: RuntimeContext):\n"
    "    count = ctx.session.dicom.get_series().instance_count()\n"
    "    if count == 3:\n"
    "        open(f'began-{{os.getpid()}}', 'w').close()\n"
    "        os.kill({victim}, signal.SIGKILL)\n"
    "    return count\n"
)
WAITING = HEAD + (
    "import time\nfrom pathlib import Path\n"
    "def run(ctx: RuntimeContext):\n"
    "    count = ctx.session.dicom.get_series().instance_count()\n"
    "    while count == 2 and not Path('told').exists():\n"
    "        time.sleep(0.05)\n"
    "    return count\n"
)
ASKED = HEAD + (
    "import time\nfrom pathlib import Path\n"
    "def run(ctx: RuntimeContext):\n"
    "    Path(f'began-{ctx.job.id}').touch()\n"
    "    while not ctx.cancelled:\n"
    "        time.sleep(0.05)\n"
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_cluster() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Scans of three series, which differ in their number of slices."""
    for number in (2, 3, 4):
        save(make_series(number, slices=number), tmp_path / "scans")
    return tmp_path


def run(folder: Path, code: str, *arguments: str) -> Ran:
    write(folder, code)
    return run_here("run", "callback.py", "--dicom", "scans", "--no-preview", "--json", *arguments, folder=folder)


def told(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_the_results_are_those_of_processes_of_this_machine(folder: Path, url: str) -> None:
    write(folder, MEASURE)
    common = ["run", "callback.py", "--dicom", "scans", "--json", "--param", "t=1", "--workspace", folder / "w"]
    there = run_process(*common, "--on", url, folder=folder)
    assert (there.code, len(told(there))) == (0, 3), there.stderr
    here = run_here(*common, "--workers", "2", folder=folder)
    kept = ("job", "subject", "exit_code", "data", "result", "pictures", "error")
    results = [
        sorted(([one.get(name) for name in kept] for one in told(ran)), key=lambda one: str(one[1]))
        for ran in (there, here)
    ]
    assert results[0] == results[1]
    assert sorted(one["data"]["count"] for one in told(there)) == [2, 3, 4]
    assert (folder / "w" / "report.html").is_file()


def test_each_result_is_reported_when_its_subject_ends(folder: Path, url: str) -> None:
    write(folder, WAITING)
    command = [sys.executable, "-m", "dcm_processor_service", "run", "callback.py", "--dicom", "scans", "--json"]
    with subprocess.Popen([*command, "--on", url], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        (folder / "told").touch()  # without this line no other series would end
        rest = [json.loads(line) for line in process.stdout]
    assert first["result"] in {3, 4}
    assert {one["result"] for one in (first, *rest)} == {2, 3, 4}


@pytest.mark.parametrize(
    ("victim", "sentence"),
    [
        ("os.getpid()", "the process of this subject was ended by SIGKILL"),
        ("os.getppid()", "the cluster's worker died while it ran this subject"),
    ],
)
def test_what_is_lost_is_reported_of_its_subject_alone_and_begun_once(
    folder: Path, url: str, victim: str, sentence: str
) -> None:
    ran = run(folder, ENDING.format(victim=victim), "--on", url, "--workspace", "w")
    assert ran.code == 1
    failed = [one for one in told(ran) if one["exit_code"]]
    assert len(told(ran)) == 3
    assert [sentence in one["error"]["message"] for one in failed] == [True]
    assert sorted(one["result"] for one in told(ran) if not one["exit_code"]) == [2, 4]
    assert len([*folder.glob("began-*")]) == 1
    assert not [*(folder / "w").glob(".run-*")]


def test_what_a_cluster_loses_otherwise_is_reported() -> None:
    lost: Future[Any] = Future()
    lost.set_exception(RuntimeError("KilledWorker"))
    end = cluster._end_of(lost, 1)
    assert end is not None
    assert (end.number, end.problem) == (1, "the cluster lost this subject (RuntimeError)")
    assert end.begun


def test_a_subject_for_which_no_process_can_be_started_was_not_begun() -> None:
    refused: Future[Any] = Future()
    refused.set_exception(ConfigurationError("no process can be started"))
    end = cluster._end_of(refused, 1)
    assert end is not None
    assert (end.problem, end.begun) == ("no process can be started", False)


def test_a_subject_of_a_run_that_is_over_is_not_begun(tmp_path: Path) -> None:
    assert run_subject("run", 0, {}, str(tmp_path), str(tmp_path / "removed")) is None


def test_a_run_that_is_asked_to_end_asks_the_processes_and_begins_no_other(folder: Path, url: str) -> None:
    write(folder, ASKED)
    command = [sys.executable, "-m", "dcm_processor_service", "run", "callback.py", "--dicom", "scans", "--json"]
    with subprocess.Popen([*command, "--on", url], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        while len([*folder.glob("began-*")]) < 2:  # as many as there are workers
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    assert process.returncode == 143
    assert [one["exit_code"] for one in lines] == [143, 143]
    assert len([*folder.glob("began-*")]) == 2


def test_a_cluster_without_workers_is_refused(folder: Path) -> None:
    with running_cluster(0) as empty:
        ran = run(folder, MEASURE, "--on", empty)
    assert ran.code == 2
    assert "has no workers; start one with: dask worker HOST:PORT" in ran.stderr


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:8786", "dask://127.0.0.1", "dask://:8786", "dask://host:port"])
def test_what_is_no_address_is_reported(folder: Path, text: str) -> None:
    ran = run(folder, MEASURE, "--on", text)
    assert (ran.code, ran.stdout) == (2, "")
    assert "names no cluster; give dask://HOST:PORT" in ran.stderr


def test_a_scheduler_that_does_not_answer_is_reported(
    folder: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_S", 1)
    ran = run(folder, MEASURE, "--on", f"dask://127.0.0.1:{closed_port}")
    assert ran.code == 2
    assert f"no Dask scheduler answers at dask://127.0.0.1:{closed_port}" in ran.stderr


def test_processes_of_two_kinds_are_refused(folder: Path) -> None:
    ran = run(folder, MEASURE, "--on", "dask://127.0.0.1:1", "--workers", "2")
    assert ran.code == 2
    assert "give one" in ran.stderr


def test_without_the_extra_is_reported_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install 'dcm-processor-service\[dask\]'"),
        cluster.Cluster.connected("dask://127.0.0.1:1"),
    ):
        pass
    assert importlib.util.find_spec("dask")


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (ModuleNotFoundError("dcm_processor_service"), "cannot load this package (ModuleNotFoundError); install"),
        (Seen("0.0.9", "m", (1, 2)), "has dcm-processor-service 0.0.9, and this machine 0.1.0; install the same"),
        (Seen("0.1.0", "other", (1, 2)), "is on another machine: the workspace is a folder with SQLite"),
        (Seen("0.1.0", "m", (0, 0)), "does not see the workspace at the same path"),
        (Seen("0.1.0", "m", (1, 2)), ""),
    ],
)
def test_a_worker_that_cannot_run_subjects_is_refused(seen: Seen | BaseException, sentence: str) -> None:
    class Client:
        """A cluster whose second worker sees something else."""

        def run(self, *_arguments: object, **_options: object) -> dict[str, object]:
            return {"tcp://127.0.0.1:1": own, "tcp://127.0.0.1:2": seen}

    own = Seen("0.1.0", "m", (1, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "look_around", lambda _place: own)
        connection = cluster.Cluster(Client(), "dask://127.0.0.1:0")
        if not sentence:
            connection.check(Path("workspace"))
            return
        with pytest.raises(ConfigurationError) as refused:
            connection.check(Path("workspace"))
    assert str(refused.value).startswith(f"the worker tcp://127.0.0.1:2 {sentence}")
