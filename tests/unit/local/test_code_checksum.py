"""Whether two machines have the same code: what counts as code, and what of a module is found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.local.service.cluster_store import code_checksum, look_at, worker_problem

if TYPE_CHECKING:
    from pathlib import Path

NO_CODE = ["dcm-workspace", "scans"]


def put(folder: Path, *names: str, text: str = "{}") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def service(tmp_path: Path) -> Path:
    put(tmp_path, "dcm-processor.json", "segment/__init__.py", "segment/labels.json", text="1")
    return tmp_path


@pytest.mark.parametrize("name", ["dcm-processor.json", "segment/labels.json", "segment/__init__.py", "segment/new.py"])
def test_a_service_with_another_file_is_another_one(service: Path, name: str) -> None:
    before = code_checksum(service, ".", None, NO_CODE)
    put(service, name, text="2")
    assert before != code_checksum(service, ".", None, NO_CODE)


@pytest.mark.parametrize("as_path", [".", "absolute"])
def test_what_a_run_leaves_and_reads_in_the_folder_of_its_service_is_no_code(service: Path, as_path: str) -> None:
    place = str(service) if as_path == "absolute" else as_path
    before = code_checksum(service, place, None, NO_CODE)
    put(service, "dcm-workspace/run.json", "dcm-workspace/results/segment/series-1/lung.json", "scans/meta/case.json")
    put(service, "older/run.json", "older/report.html", "older/results/case.json")
    put(service, ".venv/lib/library.py", ".vscode/settings.json")
    assert before == code_checksum(service, place, None, [str(service / one) for one in NO_CODE])
    assert before == code_checksum(service, place, None, NO_CODE)


def test_a_service_that_is_itself_named_as_scans_is_code_all_the_same(service: Path) -> None:
    assert code_checksum(service, ".", None, ["."]) == code_checksum(service, ".", None)
    assert code_checksum(service, "nothing", None) == ""


@pytest.mark.parametrize("file", ["segment.py", "segment/__init__.py"])
def test_a_module_in_the_folder_is_found_by_who_does_not_search_it(tmp_path: Path, file: str) -> None:
    put(tmp_path, file, text="def run(): ...")
    assert str(tmp_path) not in sys.path
    found = code_checksum(tmp_path, None, "segment:run")
    assert found
    assert found == code_checksum(tmp_path, None, "segment")
    put(tmp_path, file, text="def run(): return 1")
    assert code_checksum(tmp_path, None, "segment:run") != found


def test_a_module_of_a_package_in_the_folder_is_found_without_running_the_package(tmp_path: Path) -> None:
    put(tmp_path, "pkg/__init__.py", text="raise RuntimeError('it runs')")
    put(tmp_path, "pkg/segment.py", text="def run(): ...")
    assert code_checksum(tmp_path, None, "pkg.segment:run")
    assert "pkg" not in sys.modules


def test_an_installed_module_is_found(tmp_path: Path) -> None:
    assert code_checksum(tmp_path, None, "dcm_processor_service.testing:fake_context")


@pytest.mark.parametrize("fault", ["RuntimeError('x')", "SystemExit(3)", "ValueError('x')", "ImportError('x')"])
def test_a_package_that_fails_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    put(tmp_path, "library/failing/__init__.py", text=f"raise {fault}")
    put(tmp_path, "library/failing/segment.py", text="def run(): ...")
    monkeypatch.syspath_prepend(tmp_path / "library")
    store = {"url": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1", "database": "w"}
    asked: dict[str, Any] = {"store": store, "run_id": "1", "folder": str(tmp_path), "service": None, "data_dir": None}
    asked |= {"callback": "failing.segment:run", "no_code": []}
    seen = look_at(asked)
    assert seen["code"] == ""
    own = {**seen, "code": "1", "store_problem": ""}
    assert "does not find failing.segment:run" in worker_problem({**seen, "store_problem": ""}, own, asked)
