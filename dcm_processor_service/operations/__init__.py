"""Functions for sessions that do not end, for an operator's cron job and for the command ``sessions``.

They work on the platform's own documents in MongoDB, and change no session that a worker is working on or could take.
"""

from dcm_processor_service.operations.sessions import explain_session, list_sessions, retry_session
from dcm_processor_service.operations.sweeping import sweep_sessions

__all__ = ["explain_session", "list_sessions", "retry_session", "sweep_sessions"]
