"""The key of a step: one digest of its inputs, the same in every process with the same inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.codec import to_normal
from dcm_processor_service.disk import file_sha256
from dcm_processor_service.errors import UnsupportedValueError
from dcm_processor_service.models import StoredFile

if TYPE_CHECKING:
    from dcm_processor_service.ports import Offload

__all__ = ["code_version", "input_digest"]


def code_version(file_name: str) -> str:
    """Returns the digest of a source file; empty if there is none, as at a prompt."""
    try:
        return hashlib.sha256(Path(file_name).read_bytes()).hexdigest()
    except (OSError, ValueError):
        return ""


async def input_digest(parts: Mapping[str, object], offload: Offload) -> str:
    """Returns one digest of all inputs. A series counts by its UID and its instances' contents, a file by its content.

    Raises:
        UnsupportedValueError: An input is neither a series, a file, an array, nor a value that session data can hold.
        LocalFileError: A file cannot be read.
    """
    described = {name: await _described(value, offload) for name, value in parts.items()}
    return hashlib.sha256(_text(described).encode("utf-8", "surrogatepass")).hexdigest()


async def _described(value: object, offload: Offload) -> Any:
    # imported here, so that a job without steps does not load the code of series
    from dcm_processor_service.session.images.series import DicomSeries
    from dcm_processor_service.session.images.series_async import AsyncDicomSeries

    if isinstance(value, AsyncDicomSeries):
        return ["series", value.series_instance_uid, await value.checksum()]
    if isinstance(value, DicomSeries):
        return ["series", value.series_instance_uid, value.checksum()]
    if isinstance(value, StoredFile):
        return ["stored file", value.name, value.sha256 or value.id]
    if isinstance(value, Path):
        return ["file", await offload(lambda: file_sha256(value))]
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tobytes"):
        return _array(value)
    if isinstance(value, Mapping):  # as pairs, so that the key 1 differs from "1"
        pairs = [[await _described(key, offload), await _described(item, offload)] for key, item in value.items()]
        return ["mapping", *sorted(pairs, key=_text)]
    if isinstance(value, (list, tuple)):
        return [await _described(item, offload) for item in value]
    return ["value", to_normal(value)]


def _array(array: Any) -> list[object]:
    """Describes an array by its contents; a masked one by its mask too.

    Raises:
        UnsupportedValueError: It holds Python objects, of which an array has only the addresses in memory.
    """
    if array.dtype.hasobject:
        raise UnsupportedValueError(
            "an array of Python objects is not an input of a step; give a list, or an array of numbers or text"
        )
    mask = getattr(array, "mask", None)
    contents = [array] if mask is None else [array.data, mask]
    digests = [hashlib.sha256(content.tobytes()).hexdigest() for content in contents]
    return ["array", str(array.dtype), list(array.shape), *digests]


def _text(described: object) -> str:
    return json.dumps(described, sort_keys=True, default=_of_normal_form)


def _of_normal_form(value: Any) -> Any:
    """Encodes values that JSON lacks: bytes and datetimes."""
    return ["bytes", value.hex()] if isinstance(value, bytes) else ["datetime", value.isoformat()]
