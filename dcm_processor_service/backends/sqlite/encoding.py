"""Normal-form values as JSON text, so that a workspace can be read with any SQLite browser.

JSON has no bytes, datetimes, NaN or infinities. Each of them becomes an object with one key that starts with ``$``. No
key of a normal value starts with it, so the two cannot be confused.
"""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from dcm_processor_service.codec import modelled, to_normal
from dcm_processor_service.errors import StoredValueError

if TYPE_CHECKING:
    from dcm_processor_service.ports import NormalValue

__all__ = ["decode", "dump", "encode", "load"]

M = TypeVar("M", bound=BaseModel)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def encode(value: NormalValue) -> str:
    r"""Returns a value's JSON text.

    Example:
        >>> encode({"mask": b"\x01", "mean": float("nan")})
        '{"mask":{"$bytes":"AQ=="},"mean":{"$float":"nan"}}'
    """
    return json.dumps(_tag(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def decode(text: str) -> NormalValue:
    r"""Returns the value of a JSON text.

    Example:
        >>> decode('{"mask":{"$bytes":"AQ=="}}')
        {'mask': b'\x01'}

    Raises:
        StoredValueError: The text is not one that :func:`encode` writes.
    """
    try:
        return json.loads(text, object_hook=_untag)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise StoredValueError(
            "a value stored in the workspace is damaged: it is not the JSON that was written; store it again"
        ) from error


def dump(model: BaseModel) -> str:
    """Returns a model's JSON text."""
    return encode(to_normal(model))


def load(model: type[M], text: str) -> M:
    """Returns the model of a JSON text.

    Raises:
        StoredValueError: The text does not fit the model.
    """
    return modelled(model, f"a {model.__name__} of the workspace", decode(text))


def _tag(value: NormalValue) -> Any:
    if isinstance(value, dict):
        return {key: _tag(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tag(item) for item in value]
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime):
        return {"$date_ms": (value - _EPOCH) // _MILLISECOND}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    return value


def _untag(item: dict[str, Any]) -> Any:
    if len(item) == 1:
        key, value = next(iter(item.items()))
        if key == "$bytes":
            return base64.b64decode(value)
        if key == "$date_ms":
            return _EPOCH + value * _MILLISECOND
        if key == "$float":
            return float(value)
    return item
