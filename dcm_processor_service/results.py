"""What a callback returns, as JSON that no reader chokes on.

The platform's worker writes a job's result with plain ``json``: a numpy array, a moment or an id kills the job after
its work is done, and an integer beyond 64 bits the queue itself.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel

from dcm_processor_service.codec import INT64_MAX, INT64_MIN

__all__ = ["json_safe"]

MAX_DEPTH = 60


def json_safe(value: object) -> Any:
    """Gives a value as plain JSON: what JSON does not have becomes text, lists or dictionaries.

    Integers beyond 64 bits, ids and paths become text, moments ISO 8601, bytes base64, arrays lists, NaN and infinities
    None. Anything else becomes its type's name: a result is for people and for jobs, never a reason to fail.

    Example:
        >>> from pathlib import Path
        >>> json_safe({"out": Path("a/b"), 3: (2**70, float("nan"))})
        {'out': 'a/b', '3': ['1180591620717411303424', None]}
    """
    return _safe(value, 0)


def _safe(value: object, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return f"<nested deeper than {MAX_DEPTH} levels>"
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) and not isinstance(value, Enum) else _plain(value, depth)
    if isinstance(value, Enum):
        return _safe(value.value, depth)
    if isinstance(value, int):
        return int(value) if INT64_MIN <= value <= INT64_MAX else str(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, BaseModel):
        return _safe(value.model_dump(mode="python"), depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _safe(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): _safe(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_safe(item, depth + 1) for item in value]
    return _scalar(value, depth)


def _plain(value: object, depth: int) -> Any:
    return _safe(value.value, depth) if isinstance(value, Enum) else value


def _key(key: object) -> str:
    return str(key.value) if isinstance(key, Enum) else str(key)


def _scalar(value: object, depth: int) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (PurePath, UUID, Decimal)):
        return str(value)
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        return _safe(cast("Any", value).tolist(), depth)
    if module == "bson":  # ObjectId and its kin; their text is the platform's own spelling
        return str(value)
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
