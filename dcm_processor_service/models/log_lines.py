"""Lines of a job's log, as a report keeps them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LogLine"]


class LogLine(BaseModel):
    """A line of the job's log, without patient attributes.

    Example:
        >>> from datetime import timezone
        >>> LogLine(time=datetime(2026, 1, 1, tzinfo=timezone.utc), level="info", message="segmented").level
        'info'
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    time: datetime = Field(description="UTC")
    level: str = Field(description="debug, info, warning, error or critical")
    logger: str = ""
    message: str
    fields: dict[str, Any] = Field(default_factory=dict, description="Fields that the callback gave by name")
    traceback: str = ""
