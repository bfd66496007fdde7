"""Options of sending instances."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.keywords import refuses_unknown_keywords

__all__ = ["SendOptions"]


@refuses_unknown_keywords
class SendOptions(BaseModel):
    """Options of a sending: its checks, attempts, associations and time-outs. Every wait has a limit.

    Example:
        >>> SendOptions(associations=2).attempts
        3

    Raises:
        ConfigurationError: There is no option of that name.
        ValidationError: A value is out of its range.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    check: bool = Field(default=True, description="Raise when not everything was stored")
    associations: int = Field(
        default=1,
        ge=1,
        le=32,
        description="How many associations send side by side; several help if the peer answers slowly, but for small "
        "instances and a peer nearby more than two are no faster",
    )
    attempts: int = Field(default=3, ge=1, description="How often an instance is sent, where trying again may help")
    backoff_s: float = Field(default=0.5, ge=0, description="Pause before the second attempt; doubles each time")
    backoff_limit_s: float = Field(default=30.0, ge=0, description="Longest pause between two attempts")
    transcode: bool = Field(
        default=True, description="Convert, without loss, instances that the peer refuses unchanged"
    )
    connection_timeout_s: float = Field(default=10.0, gt=0, description="For the TCP connection")
    acse_timeout_s: float = Field(default=30.0, gt=0, description="For association, TLS handshake and release")
    dimse_timeout_s: float = Field(default=60.0, gt=0, description="For the answer to one request")
    network_timeout_s: float = Field(default=60.0, gt=0, description="For the peer to receive the bytes that are sent")
    resend: bool = Field(
        default=False, description="Send also what the peer acknowledged in an earlier, unfinished sending"
    )
    verify: bool = Field(default=False, description="Ask the peer after sending which of the instances it holds")
    commit: bool = Field(default=False, description="Ask for storage commitment after sending, and wait for the answer")
    require_commit: bool = Field(default=True, description="The report is not ok if the peer does not commit")
    wait_for_commitment: bool = Field(
        default=True, description="False: only ask; session.dicom.commitments.wait() receives the answer later"
    )
    commitment_timeout_s: float = Field(default=60.0, gt=0, description="For the answer to the storage commitment")
    listen_host: str = Field(default="", description="Where we listen for the commitment; empty: all interfaces")
    listen_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Our port, as the peer knows it; None: the answer comes on the same association only",
    )
