"""A job that was removed from a workspace is no longer found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dcm_processor_service import Container, Job, RuntimeSettings, opened
from dcm_processor_service.ports.concurrency import run_inline

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("provider", ["memory", "sqlite"])
def test_a_removed_job_is_not_found_and_the_others_are(provider: str, tmp_path: Path) -> None:
    settings = RuntimeSettings.without_environment(
        db_provider=provider, db_url=str(tmp_path), session_id="5" * 24, job_id="1" * 24
    )
    with opened(Container(settings=settings)) as container:
        workspace, jobs = container.workspace_repository(), container.job_repository()
        for number in "23":
            run_inline(workspace.add_job(Job(id=number * 24, session_id="5" * 24, name="segment")))
        run_inline(workspace.remove_job("2" * 24))
        run_inline(workspace.remove_job("4" * 24))
        assert run_inline(jobs.find("2" * 24)) is None
        assert [job.id for job in run_inline(jobs.list("5" * 24))] == ["3" * 24]
