"""A job of this process over memory, for functions that are given no context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.models import Job, Peer
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.own_session import serving
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSION_ID, JOB_ID, OTHER_ID, PEER_ID = "5e" * 12, "1b" * 12, "2c" * 12, "9e" * 12


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    for job in (
        Job(id=OTHER_ID, session_id=SESSION_ID, name="before"),
        Job(id=JOB_ID, session_id=SESSION_ID, name="own", depends_on=(OTHER_ID,)),
    ):
        made.jobs[job.id] = job
    made.peers["scanner"] = Peer(name="scanner", ae_title="SCANNER", host="127.0.0.1", port=104, id=PEER_ID)
    return made


@pytest.fixture
def own_job(store: MemoryStore) -> Iterator[Container]:
    """The container that functions without a context use."""
    settings = RuntimeSettings.without_environment(
        db_provider="memory", session_id=SESSION_ID, job_id=JOB_ID, peer_id=PEER_ID
    )
    with opened(Container(settings=settings)) as container:
        container.backend.override(store.backend())
        with serving(container):
            yield container
