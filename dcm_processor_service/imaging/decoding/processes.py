"""The processes that decode pixels.

They start with the first compressed series, also decode later ones, and end when this process ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dcm_processor_service.child_processes.process import ChildPool, ChildProcess

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHILDREN", "DecodedFrame", "DecoderProcess"]

_WORKER = "dcm_processor_service.imaging.decoding.worker"


@dataclass
class DecodedFrame:
    """The answer of a decoder process for one frame; the pixels, if any, must still be read from the process."""

    process: DecoderProcess
    number: int
    """Number of the frame, from 1; 0 if the request failed, and ``failure`` or ``contradiction`` says why."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    failure: str = ""
    contradiction: str = ""

    def read(self) -> NDArray[Any]:
        """Reads the pixels into a new array and returns it."""
        return self.read_into(np.empty(self.shape, self.dtype))

    def read_into(self, target: NDArray[Any]) -> NDArray[Any]:
        """Reads the pixels into a contiguous array, which must have their shape and type, and returns that array."""
        self.process.read_exactly(target.reshape(-1).view(np.uint8).data)
        return target


class DecoderProcess(ChildProcess):
    """One decoder process, which only one thread may use at a time.

    Raises:
        ConfigurationError: The process cannot be started.
    """

    def __init__(self) -> None:
        super().__init__(_WORKER, "decode compressed pixels")

    def frame(self) -> DecodedFrame:
        """Waits for the next answer.

        Raises:
            ChildEndedError: The process ended without an answer.
        """
        said = self.answer()
        return DecodedFrame(
            self,
            said.get("number", 0),
            tuple(said.get("shape", ())),
            said.get("type", ""),
            said.get("failure", ""),
            said.get("contradiction", ""),
        )


CHILDREN = ChildPool(DecoderProcess)
"""The decoder processes of this process: one pool for all threads, since these share the processors."""
