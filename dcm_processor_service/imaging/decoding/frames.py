"""Decodes frames of compressed files in several processes at the same time.

Each process is sent its next request while it still works on one, so that it never waits.
"""

from __future__ import annotations

import os
import selectors
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcm_processor_service.child_processes.process import ChildEndedError
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.decoding.processes import CHILDREN, DecodedFrame, DecoderProcess

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from dcm_processor_service.imaging.headers.instance_file import InstanceFile
    from dcm_processor_service.models.images.limits import Limits

__all__ = ["EncodedFrame", "decode_frames", "decode_one"]

_REQUESTS_AHEAD = 2
_FRAMES_A_REQUEST = 8
_FRAMES_WORTH_A_PROCESS = 16
_WALL_SECONDS_PER_CPU_SECOND = 20


@dataclass(frozen=True)
class EncodedFrame:
    """One frame to decode."""

    instance: InstanceFile
    number: int
    """Number of the frame, from 1."""

    decoder: str
    for_display: bool = False


@dataclass
class _Request:
    indices: list[int]
    content: dict[str, Any]


def decode_frames(frames: Sequence[EncodedFrame], limits: Limits) -> Generator[tuple[int, DecodedFrame], None, None]:
    """Decodes frames, and yields the index of each and its answer, in the order in which they are ready.

    The caller must read the pixels of an answer before it takes the next one.

    Raises:
        InvalidSeriesError: A frame cannot be decoded; the message names the instance.
    """
    most = limits.decoder_processes or _processors()
    processes = CHILDREN.borrow(min(most, 1 + len(frames) // _FRAMES_WORTH_A_PROCESS))
    waiting = deque(_requests(frames, limits))
    asked: dict[DecoderProcess, deque[_Request]] = {process: deque() for process in processes}
    try:
        with selectors.DefaultSelector() as selector:
            for process in processes:
                selector.register(process, selectors.EVENT_READ)
            for _ in range(_REQUESTS_AHEAD):
                for process in processes:
                    _ask_next(process, waiting, asked[process])
            while any(asked.values()):
                ready = selector.select(limits.decoder_seconds * _FRAMES_A_REQUEST * _WALL_SECONDS_PER_CPU_SECOND)
                if not ready:
                    stuck = next(requests[0] for requests in asked.values() if requests)
                    raise _refusal(frames[stuck.indices[0]], "the decoder does not answer")
                for key, _ in ready:
                    process = key.fileobj  # type: ignore[assignment]
                    requests = asked[process]
                    yield _answered(process, frames, requests)
                    if not requests[0].indices:
                        requests.popleft()
                        _ask_next(process, waiting, requests)
    finally:
        CHILDREN.give_back([process for process in processes if not asked[process]], most)
        for process, requests in asked.items():
            if requests:  # after a failure: late answers of this process must not count as those of the next series
                process.end()


def decode_one(frame: EncodedFrame, limits: Limits) -> NDArray[Any]:
    """Decodes one frame.

    Raises:
        InvalidSeriesError: The frame cannot be decoded; the message names the instance.
    """
    [values] = [answer.read() for _, answer in decode_frames([frame], limits)]
    return values


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _requests(frames: Sequence[EncodedFrame], limits: Limits) -> Iterator[_Request]:
    """Groups consecutive frames of one file into requests of a few frames each."""
    start = 0
    while start < len(frames):
        first = frames[start]
        end = start + 1
        while end < min(len(frames), start + _FRAMES_A_REQUEST) and _same_file(frames[end], first):
            end += 1
        yield _Request(
            list(range(start, end)),
            {
                "path": str(first.instance.path.absolute()),
                "syntax": str(first.instance.transfer_syntax_uid),
                "frames": [frame.number for frame in frames[start:end]],
                "decoder": first.decoder,
                "for_display": first.for_display,
                "seconds": limits.decoder_seconds,
                "memory_bytes": limits.decoder_memory_bytes,
            },
        )
        start = end


def _same_file(one: EncodedFrame, other: EncodedFrame) -> bool:
    return one.instance is other.instance and one.decoder == other.decoder and one.for_display == other.for_display


def _ask_next(process: DecoderProcess, waiting: deque[_Request], asked: deque[_Request]) -> None:
    if waiting:
        asked.append(waiting.popleft())
        process.ask(asked[-1].content)


def _answered(
    process: DecoderProcess, frames: Sequence[EncodedFrame], requests: deque[_Request]
) -> tuple[int, DecodedFrame]:
    """Returns the next answer of a process and the index of its frame; raises an error if the answer is a failure."""
    index = requests[0].indices.pop(0)
    try:
        answer = process.frame()
    except ChildEndedError as error:
        raise _refusal(frames[index], f"in the decoder, {error}") from error
    if not answer.number:
        requests.popleft()  # the whole request failed, so its other frames get no answer
    if answer.contradiction:
        raise _refusal(frames[index], answer.contradiction)
    if answer.failure:
        raise _refusal(frames[index], "it is damaged") from RuntimeError(answer.failure)
    return index, answer


def _refusal(frame: EncodedFrame, reason: str) -> InvalidSeriesError:
    return InvalidSeriesError(
        f"frame {frame.number} of {frame.instance.label} cannot be decoded "
        f"({frame.instance.transfer_syntax_uid.name}): {reason}; get it again"
    )
