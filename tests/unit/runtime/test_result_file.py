"""The worker's result file: which process has one, and what stands in it until the worker writes its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.runtime.execution.result_file import WorkerResult, worker_result
from dcm_processor_service.runtime.execution.time_limit import _WAITING_PROCESS, TimeLimit, last_words

if TYPE_CHECKING:
    from pathlib import Path


def running(monkeypatch: pytest.MonkeyPatch, file: Path | None, *names: str) -> None:
    """Has this process run a script, which has these names."""
    main = ModuleType("__main__")
    main.__dict__.update(dict.fromkeys(names))
    if file is not None:
        main.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "__main__", main)


OF_THE_WORKER = ("ARGS", "KWARGS", "from_json")


def test_the_worker_s_own_script_has_one_beside_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running(monkeypatch, tmp_path / "main.py", *OF_THE_WORKER)
    found = worker_result()
    assert found is not None
    assert found.path == tmp_path / "result.json"


@pytest.mark.parametrize(
    ("name", "names"),
    [("main.py", ()), ("main.py", OF_THE_WORKER[:2]), ("job.py", OF_THE_WORKER), (None, OF_THE_WORKER)],
)
def test_no_other_script_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str | None, names: tuple[str, ...]
) -> None:
    running(monkeypatch, tmp_path / name if name else None, *names)
    assert worker_result() is None


def message(path: Path) -> str:
    told: str = json.loads(path.read_text())["error"]["message"]
    return told


def test_it_says_that_the_process_was_killed_and_after_sigterm_that_it_was_asked(tmp_path: Path) -> None:
    result = WorkerResult(tmp_path / "result.json")
    with result.promised():
        assert "it was killed, for example for lack of memory" in message(result.path)
    assert "it was killed" in message(result.path)  # the worker's own script writes over it
    with pytest.raises(SystemExit), result.promised():
        raise SystemExit(143)
    assert message(result.path) == "the job was asked to end (SIGTERM) before it was done; run it again"


def test_a_place_that_cannot_be_written_is_reported_and_the_job_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with WorkerResult(tmp_path / "file" / "result.json").promised():
        assert "cannot be written before the job has ended" in caplog.text


def test_a_job_that_returns_in_time_leaves_no_last_words(tmp_path: Path) -> None:
    limit = TimeLimit(limit_s=3600, grace_s=0, began_s=time.monotonic())
    with last_words(tmp_path / "result.json", "too late", limit, "promised"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("held", "left"),
    [(None, "too late"), ("promised", "too late"), ('{"volume_ml": 5.0}', '{"volume_ml": 5.0}')],
)
def test_last_words_take_the_place_of_the_promise_alone(tmp_path: Path, held: str | None, left: str) -> None:
    result = tmp_path / "result.json"
    if held is not None:
        result.write_text(held)
    ends_s = str(time.monotonic() + 0.01)
    command = [sys.executable, "-I", "-S", "-c", _WAITING_PROCESS, str(result), "too late", "promised", ends_s]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as waiting:
        assert waiting.wait(50) == 0
    assert result.read_text() == left


def test_last_words_are_written_in_time_though_their_process_takes_long_to_start(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    ended_s = str(time.monotonic() - 1.0)  # as one that begins a second after the end of the grace
    command = [sys.executable, "-I", "-S", "-c", _WAITING_PROCESS, str(result), "too late", "promised", ended_s]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as waiting:
        assert waiting.wait(50) == 0
    assert result.read_text() == "too late"


def test_where_no_process_can_be_started_the_job_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    limit = TimeLimit(limit_s=3600, grace_s=0, began_s=time.monotonic())
    done = []
    with last_words(tmp_path / "result.json", "too late", limit, "promised"):
        done.append(True)
    assert done
    assert "no result can be written at the time limit of the job: FileNotFoundError" in caplog.text
