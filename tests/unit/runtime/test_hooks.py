"""The hooks that the worker calls before and after a session, and those that other packages add to them."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import run_post_services, run_pre_services
from dcm_processor_service.errors import CallbackNotFoundError, CallbackSignatureError, SessionNotFoundError
from dcm_processor_service.models import Job
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    AddHook = Callable[[str, str, str], None]

SESSION_ID, JOB_ID, HOOK_JOB_ID = "5e" * 12, "1b" * 12, "3d" * 12

MODULE = """
from pydantic import BaseModel
from dcm_processor_service import AsyncRuntimeContext, RuntimeContext

class Options(BaseModel):
    depth: int = 3

def count(ctx: RuntimeContext) -> None:
    print("count", len(ctx.session.jobs()), bool(ctx.session.files.list(job=ctx.session.jobs("own")[0])))

def options(ctx: RuntimeContext, options: Options) -> None:
    print("options", options.depth)

def fail(ctx: RuntimeContext) -> None:
    raise ValueError("the archive is full")

async def awaited(ctx: AsyncRuntimeContext) -> None: ...
"""


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    """A session of a workspace with one job's output; what the worker passes for its hooks."""
    url = str(tmp_path / "workspace")
    values: dict[str, Any] = {"db_provider": "sqlite", "db_url": url, "session_id": SESSION_ID, "job_id": JOB_ID}
    with opened(Container(settings=RuntimeSettings.without_environment(**values))) as container:
        workspace = container.workspace_repository()
        run_inline(workspace.add_job(Job(id=JOB_ID, session_id=SESSION_ID, name="own")))
        container.session().data["a"] = 1
        container.session().files.put("f", b"x")
    headers = {"_id": "aa" * 12, "PatientUID": "9f86", "Studies": [], "Metadata": {"PatientName": "Doe^Jane"}}
    given = {"job_id": HOOK_JOB_ID, "headers": headers, "params": {}, "added_params": {}, "db_name": "x"}
    return values | given


@pytest.fixture
def add_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddHook:
    """Installs a package that adds hooks."""
    site = tmp_path / "site"
    information = site / "myhooks-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: myhooks\nVersion: 1.0\n")
    (site / "myhooks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "myhooks", raising=False)
    lines: dict[str, list[str]] = {}

    def add(group: str, name: str, target: str) -> None:
        lines.setdefault(group, []).append(f"{name} = {target}")
        text = "\n".join("\n".join([f"[{group}]", *entries]) for group, entries in lines.items())
        (information / "entry_points.txt").write_text(text)
        importlib.invalidate_caches()

    return add


def left(arguments: dict[str, Any]) -> tuple[int, int]:
    """How many values and files the session's job has."""
    values = {name: arguments[name] for name in ("db_provider", "db_url", "session_id")}
    settings = RuntimeSettings.without_environment(**values, job_id=JOB_ID)
    with opened(Container(settings=settings)) as container:
        session = container.session()
        return len(session.data.keys()), len(session.files.list())


def test_before_the_first_job_the_session_is_checked_and_one_line_logged(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_pre_services(**arguments) == {"session_id": SESSION_ID, "indexed": [], "hooks": []}
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["message"] == "the session is ready for its jobs"
    assert (line["session"], line["indexed"], line["hooks"]) == (SESSION_ID, [], [])


def test_a_session_that_is_not_there_is_reported(arguments: dict[str, Any]) -> None:
    with pytest.raises(SessionNotFoundError):
        run_pre_services(**arguments | {"session_id": "6f" * 12})


def test_after_the_last_job_the_session_is_cleaned_up_and_one_line_logged(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_post_services("ignored", **arguments)
    assert json.loads(json.dumps(report)) == report
    assert (report["data"], report["files"], report["policy"]) == (1, 1, "all")
    assert left(arguments) == (0, 0)
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["message"] == "the session is cleaned up"
    assert (line["session"], line["data"], line["files"], line["images"]["instances"]) == (SESSION_ID, 1, 1, 0)
    again = run_post_services(**arguments)
    assert (again["data"], again["files"]) == (0, 0)


def test_the_policy_is_a_setting(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCM-PROCESSOR-SERVICE-CLEANUP", "keep")
    assert run_post_services(**arguments)["policy"] == "keep"
    assert left(arguments) == (1, 1)
    monkeypatch.setenv("DCM-PROCESSOR-SERVICE-CLEANUP", "session")
    assert run_post_services(**arguments)["policy"] == "session"
    assert left(arguments) == (0, 0)


@pytest.mark.parametrize("group", ["pre", "post"])
def test_hooks_of_other_packages_are_called_while_everything_is_there(
    arguments: dict[str, Any], add_hook: AddHook, capsys: pytest.CaptureFixture[str], group: str
) -> None:
    add_hook(f"dcm_processor_service.{group}_services", "b-options", "myhooks:options")
    add_hook(f"dcm_processor_service.{group}_services", "a-count", "myhooks:count")
    run = run_pre_services if group == "pre" else run_post_services
    assert run(**arguments | {"params": {"depth": 5}})["hooks"] == ["a-count", "b-options"]
    assert capsys.readouterr().out.splitlines() == ["count 1 True", "options 5"]


def test_a_hook_that_fails_keeps_the_clean_up_from_happening(arguments: dict[str, Any], add_hook: AddHook) -> None:
    add_hook("dcm_processor_service.post_services", "archive", "myhooks:fail")
    with pytest.raises(ValueError, match="the archive is full"):
        run_post_services(**arguments)
    assert left(arguments) == (1, 1)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("myhooks:absent", CallbackNotFoundError, "'broken' of dcm_processor_service.pre_services comes from"),
        ("nowhere:absent", CallbackNotFoundError, "cannot be loaded: ModuleNotFoundError"),
        ("myhooks:awaited", CallbackSignatureError, "write def"),
    ],
)
def test_a_hook_that_cannot_be_called_is_reported(
    arguments: dict[str, Any], add_hook: AddHook, target: str, error: type[Exception], message: str
) -> None:
    add_hook("dcm_processor_service.pre_services", "broken", target)
    with pytest.raises(error, match=message):
        run_pre_services(**arguments)


def test_logging_is_as_before_afterwards(arguments: dict[str, Any]) -> None:
    handlers = logging.getLogger().handlers[:]
    run_pre_services(**arguments)
    assert logging.getLogger().handlers == handlers
