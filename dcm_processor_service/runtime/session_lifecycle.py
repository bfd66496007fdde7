"""Preparation of a session before its first job, and clean-up after its last."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from dcm_processor_service.errors import CallbackNotFoundError, CallbackSignatureError, SessionNotFoundError
from dcm_processor_service.models import CleanupReport, RemovedImages
from dcm_processor_service.runtime.execution.callbacks import inspect_callback
from dcm_processor_service.runtime.execution.runner import call

if TYPE_CHECKING:
    from dcm_processor_service.models import CleanupPolicy
    from dcm_processor_service.ports import SessionRepository
    from dcm_processor_service.runtime.container import Container

__all__ = ["clean_up_session", "prepare_session", "run_hooks"]


async def prepare_session(sessions: SessionRepository, session_id: str) -> list[str]:
    """Makes a session ready for its jobs; returns the collections that have their indexes now.

    Raises:
        SessionNotFoundError: There is no such session.
    """
    if await sessions.find(session_id) is None:
        raise SessionNotFoundError(
            f"the store has no session {session_id}; check the variables DCM-PROCESSOR-SERVICE-SESSION-ID and -DB-NAME"
        )
    return await sessions.ensure_indexes()


async def clean_up_session(sessions: SessionRepository, session_id: str, policy: CleanupPolicy) -> CleanupReport:
    """Removes a session's data, files and images, and its document last, so that a clean-up can be repeated.

    Images of the patient that arrived before the session was made are removed, unless another open session of the same
    patient was made after they arrived: that one still needs them, and removes them at its own end.
    """
    if policy == "keep":
        return CleanupReport(session_id=session_id, policy=policy)
    session = await sessions.find(session_id)
    data = await sessions.remove(session_id, "data")
    files = await sessions.remove(session_id, "files")
    images = RemovedImages()
    if session is not None and session.patient_id and policy == "all":
        others = [one for one in await sessions.of_patient(session.patient_id) if one.id != session_id]
        needed_until = max((one.created_at for one in others), default=None)
        images = await sessions.remove_images(session.patient_id, needed_until, session.created_at)
    closed = await sessions.remove(session_id, "session")
    return CleanupReport(session_id=session_id, policy=policy, data=data, files=files, images=images, sessions=closed)


def run_hooks(group: str, container: Container) -> list[str]:
    """Calls the hooks that other packages add through an entry-point group, in order of their names.

    A hook is a blocking callback: ``def hook(ctx: RuntimeContext) -> None``.

    Raises:
        CallbackNotFoundError: A hook cannot be imported.
        CallbackSignatureError: A hook is asynchronous, or has a parameter that no argument fits.
    """
    called = []
    for entry in sorted(entry_points(group=group), key=lambda one: one.name):
        try:
            function = entry.load()
        except (ImportError, AttributeError) as error:
            raise CallbackNotFoundError(
                f"the hook {entry.name!r} of {group} comes from {entry.value}, which cannot be loaded: "
                f"{type(error).__name__}: {error}; reinstall the package that adds it"
            ) from error
        hook = inspect_callback(function)
        if hook.mode == "async":
            raise CallbackSignatureError(
                f"the hook {entry.name!r} of {group} is async def; hooks are blocking: write def"
            )
        call(hook, container, container.session().job.read() if hook.params_models else None)
        called.append(entry.name)
    return called
