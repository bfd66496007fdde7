"""Converts instances to another transfer syntax; conversions of compressed pixels run in a child process.

A damaged file may crash the process in which it is decoded or encoded. If that is a child process, only this instance
cannot be sent, and the sending goes on.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from dcm_processor_service.child_processes.process import ChildEndedError, ChildPool, ChildProcess
from dcm_processor_service.dicom_network.conversion.transcoding import PLAIN, convert, part10, refusal
from dcm_processor_service.models.images.limits import Limits

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["CHILDREN", "converted"]

_WORKER = "dcm_processor_service.dicom_network.conversion.worker"
_MOST_KEPT = 4
_LIMITS = Limits()

CHILDREN = ChildPool(lambda: ChildProcess(_WORKER, "convert compressed pixels"))
"""The child processes of this process, which all sendings share."""


def converted(dataset: Dataset, own_uid: str, wanted_uid: str) -> BytesIO:
    """Returns an instance as a DICOM file in the wanted transfer syntax; the dataset must not be used afterwards.

    Raises:
        UnreadableInstanceError: The instance cannot be encoded.
        UnsupportedTransferSyntaxError: No codec for the conversion is installed, or the pixel data is faulty.
    """
    is_plain = own_uid == wanted_uid or {own_uid, wanted_uid} <= PLAIN
    if is_plain or "PixelData" not in dataset:
        return BytesIO(part10(convert(dataset, own_uid, wanted_uid)))
    content = part10(dataset)
    [child] = CHILDREN.borrow(1)
    try:
        result = _ask(child, content, dataset, own_uid, wanted_uid)
    except ChildEndedError as error:
        child.end()
        raise refusal(own_uid, wanted_uid) from error
    except BaseException:
        child.end()
        raise
    CHILDREN.give_back([child], _MOST_KEPT)
    if isinstance(result, RuntimeError):
        raise refusal(own_uid, wanted_uid) from result
    return BytesIO(result)


def _ask(
    child: ChildProcess, content: bytes, dataset: Dataset, own_uid: str, wanted_uid: str
) -> bytearray | RuntimeError:
    frames = int(dataset.get("NumberOfFrames") or 1)
    request = {
        "bytes": len(content),
        "own": own_uid,
        "wanted": wanted_uid,
        "seconds": _LIMITS.decoder_seconds * frames,
        "memory_bytes": _LIMITS.decoder_memory_bytes + 8 * _decoded_bytes(dataset, frames) + 4 * len(content),
    }
    child.ask(request, content)
    said = child.answer()
    if "failure" in said:
        return RuntimeError(said["failure"])
    result = bytearray(said["bytes"])
    child.read_exactly(memoryview(result))
    return result


def _decoded_bytes(dataset: Dataset, frames: int) -> int:
    sizes = (int(dataset.get(keyword) or 1) for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"))
    rows, columns, samples, bits = sizes
    return min(_LIMITS.volume_bytes, frames * rows * columns * samples * bits // 8)
