"""The preparation of a session, which the platform's worker runs before the first job.

Part of the 0.0.1 API; stays as long as the platform's worker calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import NotFoundError, StoredValueError
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.execution.worker import run_for_worker
from dcm_processor_service.runtime.preflight import risky_arguments
from dcm_processor_service.runtime.session_lifecycle import prepare_session, run_hooks

if TYPE_CHECKING:
    from dcm_processor_service.runtime.container import Container

__all__ = ["callback", "run_pre_services"]

HOOK_GROUP = "dcm_processor_service.pre_services"


def run_pre_services(*_positional: object, **arguments: Any) -> dict[str, Any]:
    """Makes a session ready for its jobs; called by the worker.

    Part of the 0.0.1 API; stays as long as the platform's worker calls it.

    Checks that the session exists, makes missing indexes that its queries need, and warns of headers that would make
    the script of a job invalid, so that its callback never starts. Then calls the hooks of the entry-point group
    ``dcm_processor_service.pre_services``, and logs one line. 0.0.1 did none of this.

    Args:
        **arguments: The worker's arguments, which supply values that the environment lacks.

    Returns:
        The session's id, the collections with indexes, the names of the hooks.

    Raises:
        SessionNotFoundError: There is no such session.
    """
    return run_for_worker(_prepare, arguments)


def _prepare(container: Container) -> dict[str, Any]:
    session_id = container.settings().session_id
    indexed = run_inline(prepare_session(container.session_repository(), session_id))
    _warn_of_headers(container, session_id)
    hooks = run_hooks(HOOK_GROUP, container)
    container.log().info("the session is ready for its jobs", indexed=indexed, hooks=hooks)
    return {"session_id": session_id, "indexed": indexed, "hooks": hooks}


def _warn_of_headers(container: Container, session_id: str) -> None:
    """Warns of headers that would make a job's script invalid. If the session cannot be read, only warns of that."""
    log = container.log()
    stores = container.session_repository(), container.dicom_repository(), container.job_repository()
    try:
        found = run_inline(risky_arguments(session_id, *stores))
    except (StoredValueError, NotFoundError) as error:
        log.warning("the headers could not be looked through", reason=str(error))
        return
    for one in found:
        log.warning(
            "jobs will die before they start: their arguments end the script that the worker generates; after that, "
            "dcm-processor-service sessions retry runs them with the arguments escaped",
            about=one.about,
            because=one.sentence,
        )


callback = run_pre_services
"""Another name of the function in 0.0.1."""
