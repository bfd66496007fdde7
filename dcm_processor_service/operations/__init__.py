"""Functions for sessions that do not end, for an operator's cron job and for the command ``sessions``.

They change the platform's own documents in MongoDB, but no session in which a worker runs a job or could start one.
"""

from dcm_processor_service.operations.sessions import explain_session, list_sessions, retry_session
from dcm_processor_service.operations.sweeping import sweep_sessions

__all__ = ["explain_session", "list_sessions", "retry_session", "sweep_sessions"]
