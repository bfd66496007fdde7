"""Which values session data can hold, and their normal form.

The strictest backend sets the rules for all, so that all backends accept the same values. A normal form consists of
``None``, ``bool``, integers of 64 bits, ``float``, ``str``, ``bytes``, aware ``datetime`` (in UTC, to the millisecond),
lists, and dictionaries with string keys. A write also accepts pydantic models, dataclasses, enums, named tuples and
tuples, sets (as sorted lists), paths, dates, times of day, durations, UUIDs and decimals (as text), numpy scalars and
small numpy arrays, and stores their normal form. A read with a type returns a value of that type.

The message of a refusal names the path inside the value and the remedy. This module imports no store, no driver and no
numpy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeGuard, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticSerializationError, to_json

from dcm_processor_service.errors import InvalidNameError, StoredValueError, UnsupportedValueError

__all__ = [
    "MAX_ARRAY_ITEMS",
    "MAX_VALUE_BYTES",
    "check_name",
    "check_text",
    "equal",
    "from_normal",
    "modelled",
    "shown",
    "to_normal",
    "validation_faults",
]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

MAX_VALUE_BYTES = 16 * 1024 * 1024 - 64 * 1024
"""The largest size of a normal form, as BSON counts it. A MongoDB document holds 16 MiB, other fields included."""

MAX_ARRAY_ITEMS = 10_000
"""Most items of a numpy array. A larger one belongs in a file: in a list, each number takes a dozen bytes, and its
dtype is lost."""

MAX_DEPTH = 80
"""Deepest nesting. MongoDB allows 100 levels; the document around the value, and the driver, need some of them."""

MAX_NAME_CHARACTERS = 200
_SHOWN_CHARACTERS = 80
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_FLOAT_BYTES = 8
_DURATION = TypeAdapter(timedelta)
_FILE_REMEDY = "store it as a file: session.files.save(name, value)"


def _is_text(value: object) -> TypeGuard[str]:
    """Returns whether a value is plain text; JavaScript code of BSON is a ``str``, but is not hashable."""
    return isinstance(value, str) and type(value).__hash__ is not None


def check_text(value: object, what: str) -> str:
    """Returns ``value`` if it is text; a dictionary in place of a name or an id would act as a database operator.

    Raises:
        InvalidNameError: ``value`` is not a ``str``, or holds lone surrogates.

    Example:
        >>> check_text("PACS", "name of a peer")
        'PACS'
    """
    if not _is_text(value):
        raise InvalidNameError(f"the {what} must be text, not a {type(value).__name__}; give it as a str")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidNameError(
            f"the {what} holds lone surrogates, which no store can hold; decode it properly"
        ) from None
    return value


def shown(name: object) -> str:
    """Returns a name as messages quote it: escaped, and cut if it has more than 80 characters.

    Example:
        >>> shown("liver"), shown("x" * 1000) == repr("x" * 80 + "…")
        ("'liver'", True)
    """
    text = str(name)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


def check_name(name: str, what: str) -> str:
    """Returns ``name`` if it is a valid name of ``what`` (data or a file).

    A name is 1 to 200 printable characters; ``/`` may separate parts, none of which is empty, ``.`` or ``..``, so that
    a name joined to a folder never leaves it, on any system.

    Raises:
        InvalidNameError: The name is not allowed; the message says why.

    Example:
        >>> check_name("masks/liver.nii.gz", "file")
        'masks/liver.nii.gz'
    """
    reason = _name_fault(name)
    if reason:
        raise InvalidNameError(f"{what} name {str(name)[:40]!r} is not allowed: {reason}")
    return name


def _name_fault(name: object) -> str:
    if not _is_text(name) or not name:
        return "a name is a text of at least one character"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"it has {len(name)} characters, at most {MAX_NAME_CHARACTERS} fit"
    if not name.isprintable() or any(character in name for character in '\\:*?"<>|'):
        return 'use printable characters without \\ : * ? " < > |'
    if any(part in {"", ".", ".."} or part != part.strip() or part.endswith(".") for part in name.split("/")):
        return "it must be a relative name whose parts are neither empty nor '.' nor '..', nor end in a dot or space"
    return ""


def to_normal(value: object, *, limited: bool = True, naive_utc: bool = False) -> Any:
    """Returns the normal form of a value, a copy that shares nothing with it.

    Args:
        value: The value.
        limited: Whether it must fit into one document of a store; a file has no such limits.
        naive_utc: Whether a datetime without a time zone is read as UTC; otherwise it is refused.

    Raises:
        UnsupportedValueError: The value, or something in it, cannot be stored.

    Example:
        >>> from pathlib import Path
        >>> to_normal({"mask": Path("out/liver.nii"), "size": (3, 4)})
        {'mask': 'out/liver.nii', 'size': [3, 4]}
    """
    walk = _NormalWalk(limited=limited, naive_utc=naive_utc)
    normal = walk.normalise(value, "value", 0)
    if limited and walk.size_bytes > MAX_VALUE_BYTES:
        raise UnsupportedValueError(
            f"the value takes about {walk.size_bytes} bytes, at most {MAX_VALUE_BYTES} fit into one document; "
            f"{_FILE_REMEDY}"
        )
    return normal


class _NormalWalk:
    """Normalises one value, and adds up its size as BSON counts it (type byte, key, payload)."""

    def __init__(self, *, limited: bool, naive_utc: bool) -> None:
        self.size_bytes = 0
        self._limited = limited
        self._naive_utc = naive_utc

    def normalise(self, value: object, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise UnsupportedValueError(f"{path[:60]}… is nested deeper than {MAX_DEPTH} levels; flatten the value")
        self.size_bytes += 12  # type byte, a short key and an eight-byte payload
        if value is None or type(value) in {bool, float}:  # not isinstance: numpy's float64 is a subclass of float
            return value
        if isinstance(value, Enum):
            return self.normalise(value.value, path, depth)
        if isinstance(value, int):
            return self._integer(int(value), path)
        if isinstance(value, (str, PurePath)):
            return self._text(str(value), path)
        if isinstance(value, (bytes, bytearray, memoryview)):
            self.size_bytes += memoryview(value).nbytes
            return bytes(value)
        if isinstance(value, datetime):
            return self._datetime(value, path)
        if isinstance(value, (date, time, timedelta, UUID, Decimal)):
            return self._text(_written(value, path), path)
        return self._composite(value, path, depth)

    def _composite(self, value: object, path: str, depth: int) -> Any:
        if isinstance(value, BaseModel):
            return self.normalise(_dumped(value, path), path, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self.normalise(fields, path, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, (list, tuple)):
            return [self._item(item, path, index, depth) for index, item in enumerate(value)]
        if isinstance(value, (set, frozenset)):
            return _ordered([self._item(item, path, index, depth) for index, item in enumerate(value)])
        if type(value).__module__.partition(".")[0] == "numpy":
            return self._numpy(value, path, depth)
        if isinstance(value, float):
            return float(value)
        raise UnsupportedValueError(
            f"{path} is a {_type_name(value)}, which session data cannot hold; store a dict, a list, text, numbers or "
            f"a pydantic model, or {_FILE_REMEDY}"
        )

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key, path)
            if name in found:
                raise UnsupportedValueError(
                    f"{path} has two keys that are {shown(name)} when they are stored; rename one"
                )
            found[name] = self.normalise(item, f"{path}[{shown(key)}]", depth + 1)
        return found

    def _item(self, item: object, path: str, index: int, depth: int) -> Any:
        self.size_bytes += len(str(index))  # BSON stores a list as a document whose keys are the positions
        return self.normalise(item, f"{path}[{index}]", depth + 1)

    def _integer(self, value: int, path: str) -> int:
        if not INT64_MIN <= value <= INT64_MAX:
            raise UnsupportedValueError(f"{path} is an integer beyond 64 bits; store str(value)")
        return value

    def _text(self, value: str, path: str) -> str:
        try:
            self.size_bytes += len(value.encode())
        except UnicodeEncodeError as error:
            raise UnsupportedValueError(f"{path} is a text with lone surrogates; decode it properly") from error
        return value

    def _key(self, key: object, path: str) -> str:
        if isinstance(key, Enum):
            key = key.value
        if not isinstance(key, str):
            raise UnsupportedValueError(
                f"{path} has the key {repr(key)[:_SHOWN_CHARACTERS]} of type {_type_name(key)}; use str(key)"
            )
        if "\0" in key or key.startswith("$"):
            raise UnsupportedValueError(f"{path} has a key that starts with $ or holds a NUL character; rename it")
        self._text(key, path)
        return str(key)

    def _datetime(self, value: datetime, path: str) -> datetime:
        if value.utcoffset() is None and self._naive_utc:
            value = value.replace(tzinfo=timezone.utc)
        if value.utcoffset() is None:
            raise UnsupportedValueError(
                f"{path} is a datetime without a time zone; use datetime.now(timezone.utc) or .replace(tzinfo=…)"
            )
        try:
            in_utc = value.astimezone(timezone.utc)
        except OverflowError as error:
            raise UnsupportedValueError(f"{path} is a datetime outside the years 1 to 9999 in UTC") from error
        return in_utc - timedelta(microseconds=in_utc.microsecond % 1000)

    def _numpy(self, value: object, path: str, depth: int) -> Any:
        array = cast("Any", value)  # duck-typed, so that numpy is not imported for those who never use it
        kind = getattr(getattr(array, "dtype", None), "kind", "?")
        if kind not in "biufU":
            raise UnsupportedValueError(f"{path} is a numpy value of kind {kind!r}; {_FILE_REMEDY}")
        if kind == "f" and array.dtype.itemsize > _FLOAT_BYTES:
            raise UnsupportedValueError(f"{path} has more digits than 64 bits hold; store it .astype('float64')")
        if self._limited and array.ndim and array.size > MAX_ARRAY_ITEMS:
            raise UnsupportedValueError(
                f"{path} is an array of {array.size} numbers, at most {MAX_ARRAY_ITEMS} fit; {_FILE_REMEDY}"
            )
        return self.normalise(array.tolist(), path, depth)


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _written(value: date | time | timedelta | UUID | Decimal, path: str) -> str:
    """Returns a text from which pydantic can read exactly this value."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(_DURATION.dump_python(value, mode="json"))
    if isinstance(value, Decimal) and not value.is_finite():
        raise UnsupportedValueError(f"{path} is a Decimal that is not a finite number; store float(value)")
    return str(value)


def _dumped(model: BaseModel, path: str) -> dict[str, Any]:
    try:
        return model.model_dump(mode="python")
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise UnsupportedValueError(
            f"{path} is a {_type_name(model)} that pydantic cannot turn into a dictionary, such as one with a set of "
            f"models; use a list in its place: {type(error).__name__}"
        ) from error


def _ordered(items: list[Any]) -> list[Any]:
    """Returns the members of a set in an order that is the same in every process."""
    try:
        return sorted(items)
    except TypeError:  # the members are of several types
        return sorted(items, key=lambda item: (type(item).__name__, repr(item)))


def from_normal(value: Any, as_type: type[T], name: str) -> T:
    """Reads a normal form as ``as_type``: a model, a dataclass, an enum, a path, a builtin or a generic of those.

    Raises:
        StoredValueError: The stored value is not of this type; the message names the fields, never their values.
        UnsupportedValueError: ``as_type`` is none of these types.

    Example:
        >>> from_normal([3, 4], tuple[int, int], "size")
        (3, 4)
    """
    wanted = getattr(as_type, "__name__", str(as_type))
    try:
        adapter = TypeAdapter(as_type)
    except PydanticSchemaGenerationError as error:
        raise UnsupportedValueError(
            f"the data {name!r} cannot be read as {wanted}: that is not a pydantic model, dataclass, enum, builtin or "
            f"generic of those; read it without a type and build the {wanted} from it"
        ) from error
    except PydanticUserError as error:
        raise _no_whole_type(error, name, wanted) from error
    try:
        return _validated(adapter, value)
    except ValidationError as error:
        fault = "; ".join(validation_faults(error, "value"))
    except PydanticUserError as error:
        raise _no_whole_type(error, name, wanted) from error
    except Exception as error:  # noqa: BLE001  a type's own validators may raise anything
        fault = f"a validator of {wanted} raises {type(error).__name__}"
    # without the cause, which would show the stored value, perhaps a patient's
    raise StoredValueError(f"the data {name!r} cannot be read as {wanted}: {fault}") from None


def _no_whole_type(error: PydanticUserError, name: str, wanted: str) -> UnsupportedValueError:
    """Returns the error for a type that is not fully defined; pydantic's message in it names types, but no value."""
    return UnsupportedValueError(
        f"the data {name!r} cannot be read as {wanted}: {error.message.splitlines()[0].rstrip('.')}"
    )


def _validated(adapter: TypeAdapter[T], value: Any) -> T:
    """Reads a value as Python objects; if that fails, as JSON, since strict models refuse the stored text or list."""
    try:
        return adapter.validate_python(value)
    except ValidationError:
        with suppress(Exception):  # JSON cannot hold all bytes, and validators of a type may fail on text
            adapter.validate_python(value, strict=False)  # refuses a datetime for a str, which JSON would accept
            return adapter.validate_json(to_json(value, inf_nan_mode="constants"), strict=True)
        raise


def modelled(model: type[M], what: str, fields: Any, spelled: Mapping[str, str] | None = None) -> M:
    """Makes a model of a stored document; ``spelled`` maps a field to its name in the store.

    Raises:
        StoredValueError: A field is not what it must be; the message names it, never its value.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        faults = "; ".join(validation_faults(error, "document", spelled))
        # the cause would show the document's values
        raise StoredValueError(f"{what} is malformed in the database: {faults}; correct it there") from None


def validation_faults(error: ValidationError, whole: str, spelled: Mapping[str, str] | None = None) -> list[str]:
    """Returns a sentence for each field that pydantic refused, without its value, which may be a patient's.

    Args:
        error: The error that pydantic raised.
        whole: Name of the value as a whole.
        spelled: By field, the name that a reader of the sentence knows it by, where that differs.
    """
    faults = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        place = ".".join((spelled or {}).get(str(part), str(part)) for part in fault["loc"]) or whole
        # the only message of pydantic itself that quotes the value
        message = "its tag is not one of the expected ones" if fault["type"] == "union_tag_invalid" else fault["msg"]
        faults.append(f"{place}: {message}")
    return faults


def equal(left: Any, right: Any) -> bool:
    """Returns whether a compare-and-set regards two normal forms as equal, by MongoDB's rules.

    Numbers compare by value (1 equals 1.0), NaN equals NaN, a bool equals no number, and the order of keys counts.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right) or (left != left and right != right)  # noqa: PLR0124  NaN alone differs from itself
