"""A child process that converts compressed instances: it reads a DICOM file, and writes the converted file."""

from __future__ import annotations

import json
import sys
import warnings
from io import BytesIO

from pydicom import dcmread

from dcm_processor_service.child_processes.inside import as_failure, begin, limit, write_answer
from dcm_processor_service.dicom_network.conversion.transcoding import convert, part10

__all__ = ["main"]


def main() -> None:
    """Answers requests until the input ends."""
    answers = begin()
    warnings.simplefilter("ignore")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        content = sys.stdin.buffer.read(request["bytes"])
        try:
            limit(request["seconds"], request["memory_bytes"])
            dataset = dcmread(BytesIO(content))
            result = part10(convert(dataset, request["own"], request["wanted"]))
            write_answer(answers, {"bytes": len(result)}, result)
        except BaseException as error:  # noqa: BLE001 the panic of a Rust codec is a BaseException
            write_answer(answers, as_failure(error))
