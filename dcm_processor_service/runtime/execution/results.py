"""A callback's result as JSON that every reader can parse.

The platform's worker writes a job's result with plain ``json``: a numpy array, a datetime or an id makes the job fail
after its work is done, and an integer beyond 64 bits ends the process of the queue.
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

__all__ = ["json_safe", "readable"]

MAX_DEPTH = 60


def json_safe(value: object) -> Any:
    """Returns a value as plain JSON: types that JSON lacks become text, lists or dictionaries.

    Integers beyond 64 bits, ids and paths become text, datetimes ISO 8601, bytes base64, arrays lists, NaN and infinity
    None. Any other object becomes the name of its type, so that a result never makes a job fail.

    Example:
        >>> from pathlib import Path
        >>> json_safe({"out": Path("a/b"), 3: (2**70, float("nan"))})
        {'out': 'a/b', '3': ['1180591620717411303424', None]}
    """
    return _JsonWalk().safe(value)


def readable(text: str) -> str:
    """Returns a text that UTF-8 can hold: lone surrogates, which undecodable file names have, become ``?``."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


class _JsonWalk:
    """One conversion; remembers which objects it is converting, in case one contains itself."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def safe(self, value: object) -> Any:
        if isinstance(value, Enum):
            return self.safe(value.value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return readable(value)
        if isinstance(value, int):
            return int(value) if INT64_MIN <= value <= INT64_MAX else str(int(value))
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if id(value) in self._open:
            return f"<{_type_name(value)} that holds itself>"
        if len(self._open) >= MAX_DEPTH:
            return f"<nested deeper than {MAX_DEPTH} levels>"
        self._open.add(id(value))
        try:
            return self._container(value)
        finally:
            self._open.discard(id(value))

    def _container(self, value: object) -> Any:
        if isinstance(value, BaseModel):
            try:
                return self.safe(value.model_dump(mode="python"))
            except (ValueError, TypeError):  # it refers to itself, or its own serializer fails
                return f"<{_type_name(value)}>"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.safe(getattr(value, field.name, None)) for field in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {_key(key): self.safe(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.safe(item) for item in value]
        if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
            return self.safe(cast("Any", value).tolist())
        return _scalar(value)


def _key(key: object) -> str:
    text = str(key.value) if isinstance(key, Enum) else str(key)
    return readable(text.replace("\0", ""))  # BSON has no name with a zero byte


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _scalar(value: object) -> str:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, (PurePath, UUID, Decimal)):
        return readable(str(value))
    if type(value).__module__.partition(".")[0] == "bson":  # ObjectId and similar, which the platform writes as text
        return str(value)
    return f"<{_type_name(value)}>"
