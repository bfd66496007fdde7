"""The tools of a sending and of its storage commitments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.ports import Offload, Sender
    from dcm_processor_service.runtime.execution.cancellation import Cancellation
    from dcm_processor_service.session.jobs import AsyncJobs
    from dcm_processor_service.session.recording import Recording

__all__ = ["SendingTools"]


@dataclass(frozen=True)
class SendingTools:
    """The parts that a sending and the wait for its commitments share."""

    jobs: AsyncJobs
    sender: Callable[[], Sender]
    offload: Offload
    cancellation: Cancellation
    recording: Recording
