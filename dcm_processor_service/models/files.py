"""Files that a job stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["StoredFile"]


class StoredFile(BaseModel):
    """What the store knows of one session file; the content is fetched apart."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="The store's id of this version of the file; another after each replacement")
    job_id: str
    name: str
    size_bytes: int
    content_type: str = "application/octet-stream"
    sha256: str | None = Field(default=None, description="Hexadecimal; None where another program stored the file")
    metadata: dict[str, Any] = Field(default_factory=dict, repr=False)
    uploaded_at: datetime | None = None
