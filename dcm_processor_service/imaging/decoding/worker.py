"""A decoder process: reads requests from its input, one line of JSON each, and writes frames to its output."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from dcm_processor_service.child_processes.inside import as_failure, begin, limit, write_answer
from dcm_processor_service.imaging.decoding.frame_decoder import ContradictionError, EncodedImage

__all__ = ["main"]


def main() -> None:
    """Answers requests until the input ends."""
    answers = begin()
    opened: tuple[object, EncodedImage] | None = None
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            file_bytes = Path(request["path"]).stat().st_size
            limit(request["seconds"] * len(request["frames"]), request["memory_bytes"] + 3 * file_bytes)
            key = (request["path"], os.stat(request["path"]).st_mtime_ns, request["syntax"])  # noqa: PTH116 one call
            if opened is None or opened[0] != key:
                opened = None  # frees the memory of the last file before the next one is read
                opened = key, EncodedImage.read(request["path"], request["syntax"])
            for number in request["frames"]:
                values = opened[1].decode(number, request["decoder"], for_display=request["for_display"])
                pixels = np.ascontiguousarray(values)
                said = {"number": number, "shape": values.shape, "type": values.dtype.str, "bytes": pixels.nbytes}
                write_answer(answers, said, pixels.data.cast("B"))
        except ContradictionError as error:
            write_answer(answers, {"contradiction": str(error)})
        except BaseException as error:  # noqa: BLE001 the panic of a Rust decoder is a BaseException
            write_answer(answers, as_failure(error))
