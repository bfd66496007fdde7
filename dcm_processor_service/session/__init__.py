"""The facades of ``ctx.session``: data, files, peers, and images."""

from dcm_processor_service.session.session import AsyncSession, Session

__all__ = ["AsyncSession", "Session"]
