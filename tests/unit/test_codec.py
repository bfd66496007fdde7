"""What session data can hold: its normal form, its refusals, its names and its comparison."""

from __future__ import annotations

import copy
import enum
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, ForwardRef
from uuid import UUID

import bson
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from dcm_processor_service.backends.sqlite.encoding import decode, encode
from dcm_processor_service.codec import (
    MAX_ARRAY_ITEMS,
    MAX_VALUE_BYTES,
    check_name,
    check_text,
    equal,
    from_normal,
    to_normal,
)
from dcm_processor_service.errors import InvalidNameError, UnsupportedValueError
from dcm_processor_service.ports import ABSENT, ANY
from tests.desk import examples
from tests.parameters import shown

if TYPE_CHECKING:
    from collections.abc import Callable


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str, enum.Enum):
    LIVER = "liver"


class Lesion(BaseModel):
    label: Name
    size_mm: tuple[float, float] = (1, 2)
    where: Path = Path("a/b")
    when: datetime | None = None


class Cell(BaseModel, frozen=True):
    number: int = 1


class Cells(BaseModel):
    of: frozenset[Cell]


@dataclass
class Box:
    low: tuple[int, int]
    lesion: Lesion | None = None


Point = namedtuple("Point", "x y")  # noqa: PYI024  the untyped kind, as other libraries return it


class Text(str):
    __slots__ = ()


UTC_MOMENT = datetime(2024, 2, 29, 12, 30, 15, 123_000, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (Level.HIGH, 3),
        (Name.LIVER, "liver"),
        (Colour.RED, "red"),
        (Text("x"), "x"),
        (b"\0", b"\0"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        (Path("a/b"), "a/b"),
        (PureWindowsPath("a/b"), "a\\b"),
        (PurePosixPath("/x"), "/x"),
        ((1, (2,)), [1, [2]]),
        ({"a": [1, {2}]}, {"a": [1, [2]]}),
        ({10, 2, 1}, [1, 2, 10]),
        (frozenset({"b", 1, (2, 3), None}), [None, 1, [2, 3], "b"]),
        (frozenset(), []),
        (date(2024, 2, 29), "2024-02-29"),
        (time(12, 30), "12:30:00"),
        (timedelta(days=1, microseconds=1), "P1DT0.000001S"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Decimal("1.50"), "1.50"),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ({Name.LIVER: 1, Colour.RED: 2}, {"liver": 1, "red": 2}),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.bool_(0), False),
        (np.str_("x"), "x"),
        (np.array(3), 3),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.zeros((2, 0)), [[], []]),
        (np.arange(4, dtype=">u2").reshape(2, 2).T, [[0, 2], [1, 3]]),
        (UTC_MOMENT.astimezone(timezone(timedelta(hours=-8))), UTC_MOMENT),
        (UTC_MOMENT.replace(microsecond=123_999), UTC_MOMENT),
        (
            Box((1, 2), Lesion(label=Name.LIVER, when=UTC_MOMENT)),
            {
                "low": [1, 2],
                "lesion": {"label": "liver", "size_mm": [1, 2], "where": "a/b", "when": UTC_MOMENT},
            },
        ),
    ],
    ids=shown,
)
def test_a_value_takes_its_normal_form(value: object, normal: object) -> None:
    found = to_normal(value)
    assert found == normal
    assert type(found) is type(normal)


@pytest.mark.parametrize(
    ("value", "path", "remedy"),
    [
        ([Decimal("NaN")], r"value\[0\] is a Decimal that is not a finite number", "float"),
        ({"a": Cells(of=frozenset({Cell()}))}, r"value\['a'\] is a .*Cells that pydantic cannot", "list"),
        ([datetime(2024, 1, 1)], r"value\[0\] is a datetime without a time zone", "timezone.utc"),  # noqa: DTZ001
        ([2**63], r"value\[0\] is an integer beyond 64 bits", "str"),
        ([-(2**63) - 1], r"value\[0\] is an integer beyond 64 bits", "str"),
        (np.array([2**63], dtype=np.uint64), r"value\[0\] is an integer beyond 64 bits", "str"),
        ({"a": {5: 1}}, r"value\['a'\] has the key 5 of type int", r"str\(key\)"),
        ({"$a": 1}, "starts with", "rename"),
        ({"a\0": 1}, "NUL", "rename"),
        (["\ud800"], r"value\[0\] is a text with lone surrogates", "decode"),
        ({"\ud800": 1}, "lone surrogates", "decode"),
        (np.array([1j]), "kind 'c'", "files.save"),
        (np.array(["2024-01-01"], dtype="datetime64[s]"), "kind 'M'", "files.save"),
        (np.array([None]), "kind 'O'", "files.save"),
        (np.zeros(3, dtype=[("a", "f4")]), "kind 'V'", "files.save"),
        (np.dtype("f4"), "kind '?'|cannot hold", "files.save"),
        (object(), "value is a object|value is an object", "pydantic"),
        (Box, "value is a type", "pydantic"),
        (iter([1]), "list_iterator", "list"),
        (1j, "complex", "numbers"),
    ],
    ids=shown,
)
def test_a_refusal_names_the_path_and_the_remedy(value: object, path: str, remedy: str) -> None:
    with pytest.raises(UnsupportedValueError, match=path) as caught:
        to_normal(value)
    assert caught.value.args
    with pytest.raises(TypeError, match=remedy):
        to_normal(value)


@pytest.mark.parametrize("year", [1, 9999])
def test_a_moment_outside_the_calendar_is_refused(year: int) -> None:
    day = datetime(1, 1, 1) if year == 1 else datetime(9999, 12, 31, 23)  # noqa: DTZ001
    zone = timezone(timedelta(hours=5 if year == 1 else -5))
    with pytest.raises(UnsupportedValueError, match="years 1 to 9999"):
        to_normal(day.replace(tzinfo=zone))


def test_what_refers_to_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.extend((loop, loop))
    with pytest.raises(UnsupportedValueError, match="nested deeper than 80 levels"):
        to_normal(loop)


@pytest.mark.parametrize("nest", [lambda value: [value], lambda value: {"k": value}], ids=["lists", "dictionaries"])
@pytest.mark.parametrize("depth", [79, 80])
def test_the_deepest_value_passes_bson(depth: int, nest: Callable[[Any], Any]) -> None:
    value: Any = 1
    for _level in range(depth):
        value = nest(value)
    assert bson.decode(bson.encode({"value": to_normal(value)}))["value"] == value
    with pytest.raises(UnsupportedValueError, match="nested deeper"):
        to_normal(nest(value) if depth == 80 else nest(nest(value)))


@pytest.mark.parametrize(
    "make",
    [
        lambda count: [0.5] * count,
        lambda count: [None] * count,
        lambda count: [[]] * count,
        lambda count: ["ab"] * count,
        lambda count: {f"{index:x}": index for index in range(count)},
    ],
    ids=["floats", "none", "lists", "texts", "keys"],
)
def test_what_passes_the_size_check_is_no_larger_in_bson(make: Any) -> None:
    value = make(20_000)
    from dcm_processor_service.codec import _NormalWalk

    walk = _NormalWalk(limited=True, naive_utc=False)
    walk.normalise(value, "value", 0)
    assert len(bson.encode({"value": value})) <= walk.size_bytes + 64


def test_too_large_a_value_is_refused_with_the_remedy() -> None:
    with pytest.raises(UnsupportedValueError, match=r"at most 16711680 fit.*files\.save"):
        to_normal(b"x" * MAX_VALUE_BYTES)
    assert to_normal(b"x" * (MAX_VALUE_BYTES - 12))
    with pytest.raises(UnsupportedValueError, match=r"array of 10001 numbers.*files\.save"):
        to_normal({"a": np.zeros(MAX_ARRAY_ITEMS + 1)})
    assert len(to_normal(np.zeros(MAX_ARRAY_ITEMS + 1), limited=False)) == MAX_ARRAY_ITEMS + 1


def test_the_normal_form_shares_nothing_with_the_value() -> None:
    value = {"a": [bytearray(b"x")], "b": Lesion(label=Name.LIVER)}
    normal = to_normal(value)
    normal["a"].append(1)
    normal["b"]["label"] = "other"
    assert value == {"a": [bytearray(b"x")], "b": Lesion(label=Name.LIVER)}


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.binary(max_size=30)
    | st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001  hypothesis wants naive bounds
        max_value=datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=9, minutes=30))]),
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8).filter(lambda key: "\0" not in key and key[:1] != "$"), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=examples(60), deadline=None)
@given(JSON_LIKE)
def test_every_normal_form_survives_the_embedded_store(value: Any) -> None:
    normal = to_normal(value)
    again = decode(encode(normal))
    assert equal(again, normal)
    assert repr(again) == repr(normal)  # types, signs of zero and order of keys, which == overlooks
    assert equal(to_normal(normal), normal)


@settings(max_examples=examples(60), deadline=None)
@given(JSON_LIKE)
def test_every_normal_form_survives_bson_unchanged(value: Any) -> None:
    normal = to_normal(value)
    options = bson.CodecOptions[dict[str, Any]](tz_aware=True)
    assert equal(bson.decode(bson.encode({"value": normal}), options)["value"], normal)


def test_a_key_of_the_stores_own_encoding_cannot_be_smuggled_in() -> None:
    for key in ("$bytes", "$date_ms", "$float"):
        with pytest.raises(UnsupportedValueError):
            to_normal({key: "nan"})


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (0.0, -0.0, True),
        (math.nan, math.nan, True),
        ([math.nan], [math.nan], True),
        (True, 1, False),
        (False, 0, False),
        (True, True, True),
        (False, None, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ({"a": 1, "b": 2}, {"a": 1.0, "b": 2}, True),
        ({"a": [True]}, {"a": [1]}, False),
        ([1, 2], [1], False),
        ([], {}, False),
        ("1", 1, False),
        (b"a", "a", False),
        (2**53 + 1, float(2**53), False),
        (UTC_MOMENT, UTC_MOMENT.astimezone(timezone(timedelta(hours=2))), True),
        (ABSENT, ABSENT, True),
        (ABSENT, None, False),
        (ANY, ABSENT, False),
    ],
)
def test_values_compare_as_mongodb_compares(left: object, right: object, *, same: bool) -> None:
    assert equal(left, right) is same
    assert equal(right, left) is same


@given(JSON_LIKE)
@settings(max_examples=examples(60), deadline=None)
def test_a_value_equals_its_copy(value: Any) -> None:
    normal = to_normal(value)
    assert equal(normal, copy.deepcopy(normal))


def test_a_type_that_is_not_whole_is_refused_in_a_sentence() -> None:
    fields: Any = {"after": (ForwardRef("Missing"), ...)}
    later = create_model("Later", **fields)
    with pytest.raises(UnsupportedValueError, match=r"'plan' cannot be read as Later: .* is not fully defined"):
        from_normal({"after": 1}, later, "plan")


@pytest.mark.parametrize("check", [check_name, check_text])
@pytest.mark.parametrize("name", [bson.Code("this.a"), {"$gt": ""}, b"a", ["a"], 7, None])
def test_a_name_is_text_and_no_operator_or_code(check: Callable[[Any, str], str], name: object) -> None:
    with pytest.raises(InvalidNameError, match="text"):
        check(name, "data")
