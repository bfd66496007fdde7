"""The clean-up of a session, which the platform's worker runs after the last job.

Part of the 0.0.1 API; stays as long as the platform's worker calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.execution.worker import run_for_worker
from dcm_processor_service.runtime.session_lifecycle import clean_up_session, run_hooks

if TYPE_CHECKING:
    from dcm_processor_service.runtime.container import Container

__all__ = ["callback", "run_clean_up_service", "run_post_services"]

HOOK_GROUP = "dcm_processor_service.post_services"


def run_post_services(*_positional: object, **arguments: Any) -> dict[str, Any]:
    """Cleans a session up; called by the worker.

    Part of the 0.0.1 API; stays as long as the platform's worker calls it.

    Calls the hooks of the entry-point group ``dcm_processor_service.post_services`` first, while everything is there;
    if a hook raises, nothing is cleaned up. Then it removes what the setting ``CLEANUP`` says: nothing (``keep``), the
    session's data and files (``session``), or the patient's images too (``all``, the default, as in 0.0.1).

    Unlike in 0.0.1, it keeps images that arrived after the session was made, or that another open session of the
    patient needs; it ignores a missing document; it can be run again; and it logs and returns counts.

    Args:
        **arguments: The worker's arguments, which supply values that the environment lacks.

    Returns:
        The counts of :class:`~dcm_processor_service.models.CleanupReport`, with the names of the hooks.
    """
    return run_for_worker(_clean_up, arguments)


def _clean_up(container: Container) -> dict[str, Any]:
    settings = container.settings()
    hooks = run_hooks(HOOK_GROUP, container)
    report = run_inline(clean_up_session(container.session_repository(), settings.session_id, settings.cleanup))
    counts = {**report.model_dump(), "hooks": hooks}
    container.log().info("the session is cleaned up", **{k: v for k, v in counts.items() if k != "session_id"})
    return counts


callback = run_clean_up_service = run_post_services
"""Other names of the function in 0.0.1."""
