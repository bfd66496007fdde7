"""Options of finding and fetching instances."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.keywords import refuses_unknown_keywords

__all__ = ["FetchMethod", "FetchOptions"]

FetchMethod: TypeAlias = Literal["auto", "c-get", "c-move"]
"""``auto`` uses WADO-RS if the peer has a URL, otherwise C-GET, or C-MOVE if only that works."""


@refuses_unknown_keywords
class FetchOptions(BaseModel):
    """Options of a search or a fetch: its attempts and time-outs. Every wait has a limit.

    Example:
        >>> FetchOptions(listen_port=11112).method
        'auto'

    Raises:
        ConfigurationError: There is no option of that name.
        ValidationError: A value is out of its range.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    check: bool = Field(default=True, description="Raise when not everything was fetched")
    method: FetchMethod = "auto"
    attempts: int = Field(default=3, ge=1, description="How often missing instances are asked for")
    backoff_s: float = Field(default=0.5, ge=0, description="Pause before the second attempt; doubles each time")
    connection_timeout_s: float = Field(default=10.0, gt=0, description="For the TCP connection")
    acse_timeout_s: float = Field(default=30.0, gt=0, description="For association, TLS handshake and release")
    dimse_timeout_s: float = Field(
        default=60.0, gt=0, description="For the answer to a request, and for each piece of data"
    )
    network_timeout_s: float = Field(default=60.0, gt=0, description="For the peer to receive the bytes that are sent")
    listen_host: str = Field(default="", description="Our address for the instances of a C-MOVE; empty: all interfaces")
    listen_port: int | None = Field(
        default=None, ge=0, le=65535, description="Our port, as the peer knows it; None: no C-MOVE"
    )
