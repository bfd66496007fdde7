"""The decoder processes: started at the first compressed series, kept for the next, ended with this process."""

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
    """What a decoder process says of one frame; its pixels, if any, are still in the pipe."""

    process: DecoderProcess
    number: int
    """Of the frame, from 1; 0 where the request failed."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    failure: str = ""
    contradiction: str = ""

    def read(self) -> NDArray[Any]:
        """Returns the pixels in an array of their own."""
        return self.read_into(np.empty(self.shape, self.dtype))

    def read_into(self, target: NDArray[Any]) -> NDArray[Any]:
        """Reads the pixels into a contiguous array of their shape and type, and returns it."""
        self.process.read_exactly(target.reshape(-1).view(np.uint8).data)
        return target


class DecoderProcess(ChildProcess):
    """One decoder process; used by one thread at a time.

    Raises:
        ConfigurationError: It cannot be started.
    """

    def __init__(self) -> None:
        super().__init__(_WORKER, "decode compressed pixels")

    def frame(self) -> DecodedFrame:
        """Waits for the next answer.

        Raises:
            ChildEndedError: The process ended instead.
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
"""One set for the process, as there is one set of processors."""
