"""What an operator does about sessions that do not end: functions for a cron job, and for the command ``sessions``.

All of it works on the platform's own documents in MongoDB. Nothing here touches a session that a worker is at work on,
or that one could take up.
"""

from dcm_processor_service.operations.sessions import explain_session, list_sessions, retry_session
from dcm_processor_service.operations.sweeping import sweep_sessions

__all__ = ["explain_session", "list_sessions", "retry_session", "sweep_sessions"]
