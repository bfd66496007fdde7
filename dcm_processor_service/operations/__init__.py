"""What an operator does about sessions that do not end: functions for a cron job, and for the command ``sessions``."""

from dcm_processor_service.operations.sessions import explain_session, list_sessions, retry_session, sweep_sessions

__all__ = ["explain_session", "list_sessions", "retry_session", "sweep_sessions"]
