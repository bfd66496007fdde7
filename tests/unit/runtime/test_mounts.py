"""The folders of the docker worker: as the job sees them, in both workers and in local runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service import RuntimeContext, entrypoint
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.runtime.execution.mounts import mounted_folders
from dcm_processor_service.testing import fake_context

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ARGUMENTS = {"session_id": "5" * 24, "job_id": "1" * 24, "db_provider": "memory"}
OUTSIDE = {"session_dir": "/tmp/made/outside/of/the/container/session"}


def laid_out(root: Path, *names: str) -> str:
    for name in ("module", *names):
        (root / name).mkdir()
    return str(root / "module" / "main.py")


def test_in_the_container_they_are_the_mounts_beside_the_module(tmp_path: Path) -> None:
    main_file = laid_out(tmp_path, "session", "data")
    found = mounted_folders(OUTSIDE, main_file)
    assert found == {"session_dir": tmp_path / "session", "data_dir": tmp_path / "data"}


def test_a_worker_without_data_has_no_data_folder(tmp_path: Path) -> None:
    main_file = laid_out(tmp_path, "session")
    assert mounted_folders(OUTSIDE, main_file)["data_dir"] is None


def test_the_other_worker_has_neither_whatever_lies_beside_its_main_file(tmp_path: Path) -> None:
    main_file = laid_out(tmp_path, "session", "data")
    assert mounted_folders({}, main_file) == {"session_dir": None, "data_dir": None}


def test_a_script_outside_of_the_container_has_the_folder_that_it_is_given(tmp_path: Path) -> None:
    assert mounted_folders({"session_dir": str(tmp_path)}) == {"session_dir": tmp_path, "data_dir": None}


def test_the_environment_names_other_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(ctx: RuntimeContext) -> list[Any]:
        return [ctx.session_dir, ctx.data_dir]

    (tmp_path / "work").mkdir()
    (tmp_path / "models").mkdir()
    assert entrypoint(run)(**ARGUMENTS, **OUTSIDE) == [None, None]
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_SESSION_DIR", str(tmp_path / "work"))
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DATA_DIR", str(tmp_path / "models"))
    given = entrypoint(run)(**ARGUMENTS, session_dir=str(tmp_path))
    assert given == [str(tmp_path / "work"), str(tmp_path / "models")]


def test_a_fake_context_has_those_that_it_is_given(tmp_path: Path) -> None:
    ctx = fake_context(session_dir=tmp_path)
    assert (ctx.session_dir, ctx.data_dir) == (tmp_path, None)


def test_a_local_run_lays_the_same_out_empty_for_each_run(tmp_path: Path) -> None:
    from dcm_processor_service.local.workspace import sample_folder

    def run(ctx: RuntimeContext) -> list[str]:
        assert ctx.session_dir is not None
        assert ctx.data_dir is not None
        found = [path.name for path in ctx.session_dir.iterdir()]
        (ctx.session_dir / "for-post.json").write_text("{}")
        return [*found, (ctx.data_dir / "model").read_text()]

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model").write_text("weights")
    place = Workspace(tmp_path / "work")
    filed, _catalogue = place.ingest([sample_folder()])
    for _turn in range(2):
        ran = place.run(
            run, filed.series[0], filed=filed, job_name="j", params={}, preview=False, data_dir=tmp_path / "data"
        )
        assert (ran.outcome.result, ran.files) == (["weights"], ())
    (left,) = (tmp_path / "work" / "session-folders").rglob("*.json")
    assert left.name == "for-post.json"
