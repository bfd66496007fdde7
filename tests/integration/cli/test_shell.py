"""``shell``: Python on a session of a workspace."""

from __future__ import annotations

import io
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.backends.sqlite.database import DATABASE_NAME
from dcm_processor_service.local import opened_session
from tests.command_line import Ran, run_here, run_process
from tests.integration.cli.test_exec import HEAD, write
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from pathlib import Path

COUNT = HEAD + (
    "def run(ctx: RuntimeContext):\n"
    "    count = ctx.session.dicom.get_series().instance_count()\n"
    "    ctx.session.data['count'] = count\n"
)
PATIENT = ("Synthetic", "SYNTHETIC")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a workspace in which one callback ran over two series of one patient."""
    for number in (1, 2):
        save(make_series(number), tmp_path / "scans")
    write(tmp_path, COUNT)
    assert run_here("run", "callback.py", "--dicom", "scans", folder=tmp_path).code == 0
    return tmp_path


def shell(folder: Path, *arguments: object, typed: str | None = None) -> Ran:
    if typed is None:
        return run_here("shell", *arguments, folder=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(typed))
        return run_here("shell", *arguments, folder=folder)


def sessions(folder: Path) -> set[str]:
    return {job["session_id"] for job in json.loads((folder / "dcm-workspace" / "run.json").read_text())["jobs"]}


def test_code_sees_the_context_and_the_session_of_the_last_run(place: Path) -> None:
    ran = run_process("shell", "-c", "print(ctx.job.name, session.data['count'], session is ctx.session)", folder=place)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "callback 2 True\n", "")


def test_a_session_is_named_and_what_is_written_stays(place: Path) -> None:
    (session,) = sessions(place)
    named = ["--workspace", "dcm-workspace", "--job", "callback", session]
    assert shell(place, *named, "--code", "session.data['note'] = 'seen'").code == 0
    assert shell(place, *named, "--code", "print(session.data['note'])").stdout == "seen\n"
    assert (
        shell(place, session, "-c", "print(session.dicom.get_series().volume().array.shape)").stdout == "(16, 16, 2)\n"
    )


def test_lines_are_typed_below_a_banner_without_the_patient(place: Path) -> None:
    ran = shell(place, typed="session.data['count'] * 21\n")
    assert ran.code == 0
    assert "42" in ran.stdout
    assert "ctx      the context of the job callback (done), about series CT" in ran.stderr
    assert ": 2 jobs." in ran.stderr
    assert not any(value in ran.stderr for value in PATIENT)


def test_ipython_is_taken_at_a_terminal_without_a_history(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    called: list[dict[str, Any]] = []
    ipython = ModuleType("IPython")
    ipython.start_ipython = lambda **options: called.append(options)  # type: ignore[attr-defined]
    ipython.__spec__ = pytest.__spec__
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert run_here("shell", folder=place).code == 0
    (options,) = called
    assert {"ctx", "session"} <= options["user_ns"].keys()
    assert "--HistoryManager.enabled=False" in options["argv"]


def test_an_error_of_the_code_is_distinguished_from_its_own_line_on(place: Path) -> None:
    ran = shell(place, "-c", "x = 1\nsession.data['none']")
    assert ran.code == 1
    assert ran.stderr.startswith('Traceback (most recent call last):\n  File "<code>", line 2')
    assert "DataNotFoundError" in ran.stderr
    assert shell(place, "-c", "raise SystemExit(7)").code == 7
    assert "SyntaxError" in shell(place, "-c", "1 +").stderr


def test_of_several_sessions_one_must_be_named(place: Path) -> None:
    other = make_series(3)
    for one in other:
        one.PatientID, one.PatientName = "SYN-OTHER", "Other^Synthetic"
    save(other, place / "scans")
    run_here("run", "callback.py", "--dicom", "scans", folder=place)
    ran = shell(place, "-c", "1")
    assert ran.code == 2
    assert "2 sessions, one for each patient" in ran.stderr
    assert len(sessions(place)) == 2
    assert all(f"{one} (callback)" in ran.stderr for one in sessions(place))
    assert "SYN-OTHER" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["5" * 24], "dcm-workspace has no job of the session 555"),
        (["no-id"], "the session's id is not well-formed: it has 24 hex digits"),
        (["--job", "segment"], "the session has no job 'segment'; it has callback"),
        (["--workspace", "scans"], "scans is not a workspace; run … --workspace scans makes one"),
        (["--workspace", "scans", "5" * 24], "scans is not a workspace; run … --workspace scans makes one"),
    ],
)
def test_what_is_not_there_is_reported(place: Path, arguments: list[str], sentence: str) -> None:
    before = sorted(place.rglob("*"))
    ran = shell(place, *arguments, "-c", "print('ran')")
    assert (ran.code, ran.stdout) == (2, "")
    assert sentence in ran.stderr
    assert [one for one in sorted(place.rglob("*")) if "-wal" not in one.name and "-shm" not in one.name] == [
        one for one in before if "-wal" not in one.name and "-shm" not in one.name
    ]


def test_a_workspace_without_the_record_of_a_run_needs_a_session(place: Path) -> None:
    (place / "dcm-workspace" / "run.json").unlink()
    ran = shell(place, "-c", "1")
    assert ran.code == 2
    assert "dcm-workspace holds no record of a run (run.json), which would name a session" in ran.stderr


def test_a_workspace_whose_store_is_elsewhere_is_not_called_missing(place: Path) -> None:
    (session,) = sessions(place)
    (place / "dcm-workspace" / DATABASE_NAME).unlink()  # as run --store mongodb://… leaves it
    ran = shell(place, session, "-c", "1")
    assert ran.code == 2
    assert "dcm-workspace holds the results of a run with --store alone" in ran.stderr


def test_a_workspace_is_known_by_its_database() -> None:
    assert opened_session._STORE == DATABASE_NAME
