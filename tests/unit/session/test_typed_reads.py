"""Session data read as a type: models, dataclasses, enums and generics of those."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import bson
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from dcm_processor_service.backends.sqlite.encoding import decode, encode
from dcm_processor_service.codec import from_normal, to_normal
from dcm_processor_service.errors import StoredValueError, UnsupportedValueError
from tests.parameters import shown


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Lesion(BaseModel):
    label: Literal["liver", "kidney"]
    size_mm: tuple[float, float] = (1, 2)


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Owner(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


@dataclass
class Box:
    low: tuple[int, int]
    lesion: Lesion | None = None


class Visit(BaseModel):
    """One value of each type that a store keeps as text or as a list."""

    day: date
    at: time
    lasted: timedelta
    key: UUID
    dose: Decimal
    organs: frozenset[Colour]
    readers: set[str]
    nested: dict[Colour, list[date]]


@settings(deadline=None)
@given(st.builds(Visit, dose=st.decimals(allow_nan=False, allow_infinity=False)))
def test_a_model_is_read_back_as_it_was_out_of_every_encoding(visit: Visit) -> None:
    normal = to_normal(visit)
    assert from_normal(decode(encode(normal)), Visit, "visit") == visit
    assert from_normal(bson.decode(bson.encode({"value": normal}))["value"], Visit, "visit") == visit


UTC_MOMENT = datetime(2024, 2, 29, 12, 30, 15, 123_000, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "as_type", "read"),
    [
        ({"label": "liver", "size_mm": [3, 4]}, Lesion, Lesion(label="liver", size_mm=(3, 4))),
        ({"low": [1, 2], "lesion": None}, Box, Box((1, 2))),
        ("red", Colour, Colour.RED),
        (3, Level, Level.HIGH),
        ("a/b", Path, Path("a/b")),
        ([1, 2], tuple[int, int], (1, 2)),
        ([1, 2], set[int], {1, 2}),
        (1, float, 1.0),
        (UTC_MOMENT, datetime, UTC_MOMENT),
        (b"x", bytes, b"x"),
        (None, type(None), None),
        ({"a": 1}, dict[str, int], {"a": 1}),
    ],
    ids=shown,
)
def test_a_typed_read_turns_the_normal_form_back(value: object, as_type: Any, read: object) -> None:
    found = from_normal(value, as_type, "name")
    assert found == read
    assert type(found) is type(read)
    assert from_normal(to_normal(read) if not isinstance(read, set) else [1, 2], as_type, "name") == read


@pytest.mark.parametrize(
    ("value", "as_type", "fault"),
    [
        ({"label": "SECRET", "size_mm": ["SECRET", 1]}, Lesion, r"label: .*size_mm\.0: "),
        ({"pet": {"kind": "SECRET"}}, Owner, "pet: its tag"),
        ("SECRET", int, "value: Input should be a valid integer"),
        ("SECRET", datetime, "value: "),
        (["SECRET"], dict[str, int], "value: Input should be a valid dictionary"),
    ],
    ids=["model", "union", "int", "datetime", "dict"],
)
def test_a_failed_typed_read_names_the_fields_and_no_value(value: object, as_type: Any, fault: str) -> None:
    with pytest.raises(StoredValueError, match=fault) as caught:
        from_normal(value, as_type, "finding")
    assert "'finding'" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


class Told(BaseModel):
    at: datetime
    count: int

    @field_validator("at", mode="before")
    @classmethod
    def whole(cls, at: Any) -> Any:
        return at.replace(microsecond=0)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"at": UTC_MOMENT, "count": "SECRET"}, "count: Input should be a valid integer"),
        ({"at": "SECRET", "count": 1}, "a validator of Told raises TypeError"),
        ({"at": None, "count": 1}, "a validator of Told raises AttributeError"),
    ],
    ids=["another field", "text", "none"],
)
def test_what_the_code_of_a_model_raises_is_a_failed_typed_read(value: object, fault: str) -> None:
    with pytest.raises(StoredValueError, match=f"'told' cannot be read as Told: {fault}") as caught:
        from_normal(value, Told, "told")
    assert "SECRET" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    ("value", "as_type"),
    [(UTC_MOMENT, str), ([UTC_MOMENT], list[str]), ({"a": UTC_MOMENT}, dict[str, str]), (UTC_MOMENT, int | str)],
    ids=shown,
)
def test_a_stored_datetime_is_no_text(value: object, as_type: Any) -> None:
    with pytest.raises(StoredValueError, match="cannot be read as"):
        from_normal(value, as_type, "name")


def test_a_type_that_nothing_is_read_as_is_refused_as_such() -> None:
    with pytest.raises(UnsupportedValueError, match="cannot be read as ndarray"):
        from_normal([1], np.ndarray, "mask")
