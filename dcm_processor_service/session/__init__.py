"""What ``ctx.session`` is: data, files, peers, and the images with all that is done with them."""

from dcm_processor_service.session.session import AsyncSession, Session

__all__ = ["AsyncSession", "Session"]
