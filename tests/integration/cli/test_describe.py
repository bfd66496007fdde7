"""``describe``: what an assistant is told is what there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dcm_processor_service
from tests.command_line import run_here
from tests.integration.cli.test_help import COMMANDS
from tests.integration.cli.test_run_service import FILES, JOBS
from tests.service_folders import write_service

if TYPE_CHECKING:
    from pathlib import Path


def described(*arguments: object, folder: Path) -> dict[str, Any]:
    ran = run_here("describe", *arguments, "--json", folder=folder)
    assert ran.code == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_every_command_is_reported_with_its_options(tmp_path: Path) -> None:
    commands = {one["name"]: one for one in described(folder=tmp_path)["commands"]}
    assert set(commands) == {" ".join(names) for names in COMMANDS}
    options = {name: one for one in commands["run"]["options"] for name in one["names"]}
    assert options["callback"]["required"]
    assert (options["--dicom"]["many"], options["--workers"]["default"]) == (True, "1")
    assert "may be repeated" in options["--dicom"]["help"]


def test_every_method_that_a_callback_reaches_is_reported(tmp_path: Path) -> None:
    facades = described(folder=tmp_path)["facades"]
    data = {one["name"]: one for one in facades["ctx.session.data"]["members"]}
    assert data["get"]["signature"].startswith("(name: str, as_type: Any = None, *, default: Any")
    assert data["get"]["signature"].endswith(" -> Any")
    assert data["delete"]["summary"] == "Removes a value; returns whether there was one."
    progress = {one["name"]: one["signature"] for one in facades["ctx.progress"]["members"]}
    assert progress["__call__"] == "(fraction: float, message: str = '') -> None"
    volume = {one["name"]: one["summary"] for one in facades["ctx.session.dicom.get_series().volume()"]["members"]}
    assert "shape (i, j, k)" in volume["array"]
    for facade in facades.values():
        assert hasattr(dcm_processor_service, facade["class"])
        assert facade["members"]
        assert all(one["summary"] for one in facade["members"])


def test_a_service_is_reported_with_its_params(tmp_path: Path) -> None:
    folder = write_service(tmp_path / "lung", JOBS, FILES)
    service = described(folder, folder=tmp_path)["service"]
    assert [job["name"] for job in service["jobs"]] == ["total", "old", "count"]
    assert service["jobs"][2]["schema"]["properties"]["factor"]["default"] == 2


def test_people_read_it_as_lines(tmp_path: Path) -> None:
    ran = run_here("describe", write_service(tmp_path / "lung", JOBS, FILES), folder=tmp_path)
    assert "dcm-processor-service send: Send DICOM files to a peer by C-STORE, or by STOW-RS to a URL" in ran.stdout
    assert "\nctx.session.data (Data)\n" in ran.stdout
    assert "job old: stable-series; params: {'label': 'liver'}" in ran.stdout
