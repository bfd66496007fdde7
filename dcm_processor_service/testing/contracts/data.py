"""Contract tests: how every store stores named values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, get_origin
from uuid import UUID

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from dcm_processor_service import ABSENT
from dcm_processor_service.errors import DataNotFoundError, InvalidNameError, StoredValueError, UnsupportedValueError
from dcm_processor_service.ports import JobKey
from dcm_processor_service.testing.contracts.store import JOB_ID, SESSION_ID, Contract

if TYPE_CHECKING:
    from dcm_processor_service.testing.contracts.store import StoreUnderTest

__all__ = ["DataContract"]


class Colour(Enum):
    RED = "red"


class Lesion(BaseModel):
    label: str
    volume_ml: float


@dataclass
class Box:
    low: tuple[int, int]
    high: tuple[int, int]


SAMPLE_TIME = datetime(2024, 2, 29, 12, 30, 15, 123_000, tzinfo=timezone.utc)

SAME: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.1,
    1e300,
    -0.0,
    math.inf,
    "",
    "Grüße, 山田",
    "line\nbreak\0nul",
    b"",
    bytes(range(256)),
    SAMPLE_TIME,
    datetime(1890, 1, 1, tzinfo=timezone.utc),
    [],
    {},
    [1, [2, [3]], {"a": {"b": [None]}}],
    {"1.2.840.10008": 1, "a.b": {"c.d": 2}, "": 3, "ключ": 4},
]


NORMALISED: list[tuple[Any, Any]] = [
    ((1, 2), [1, 2]),
    (PurePosixPath("a/b"), "a/b"),
    (Colour.RED, "red"),
    (Lesion(label="cyst", volume_ml=2.5), {"label": "cyst", "volume_ml": 2.5}),
    (Box((0, 0), (2, 3)), {"low": [0, 0], "high": [2, 3]}),
    (np.float32(0.5), 0.5),
    (np.int64(7), 7),
    (np.bool_(True), True),
    (np.array([[1, 2], [3, 4]], dtype=np.int16), [[1, 2], [3, 4]]),
    (bytearray(b"ab"), b"ab"),
    (SAMPLE_TIME.replace(microsecond=123_999), SAMPLE_TIME),
    (SAMPLE_TIME.astimezone(timezone(timedelta(hours=5))), SAMPLE_TIME),
]


def _plain(value: object) -> str:
    """Returns the start of a value as text, without the address that a repr may hold."""
    return re.sub(r"0[xX][0-9a-fA-F]+", "0x", ascii(value))[:40]


EXPECTED: list[tuple[Any, Any, bool]] = [
    (math.nan, math.nan, True),
    (math.nan, float("-nan"), True),
    (math.nan, np.float32("nan"), True),
    ([1, math.nan, {"a": math.nan}], [1, math.nan, {"a": math.nan}], True),
    (math.nan, 0.0, False),
    (0.0, math.nan, False),
    (math.nan, None, False),
    (None, math.nan, False),
    (math.nan, ABSENT, False),
    (math.nan, math.inf, False),
    (math.nan, "nan", False),
    ([math.nan], math.nan, False),
    (math.nan, [math.nan], False),
    (math.inf, math.inf, True),
    (math.inf, -math.inf, False),
    (0.0, -0.0, True),
    (1, 1.0, True),
    (2**53, 2.0**53, True),
    (2**53 + 1, 2.0**53, False),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
    ({"a": 1}, {"a": 1, "b": None}, False),
    ([1, 2], [1], False),
    ([1, 2], [2, 1], False),
    ([[1]], [1], False),
    (True, 1, False),
    ([True], [1], False),
    (False, None, False),
    ("", None, False),
    (b"a", "a", False),
    ([], {}, False),
    ("$name", "$name", True),
    (SAMPLE_TIME, SAMPLE_TIME.isoformat(), False),
    (SAMPLE_TIME, SAMPLE_TIME.replace(microsecond=123_999), True),
    (SAMPLE_TIME, SAMPLE_TIME.astimezone(timezone(timedelta(hours=5))), True),
    ((1, PurePosixPath("a")), [1, "a"], True),
    (Lesion(label="cyst", volume_ml=math.nan), {"label": "cyst", "volume_ml": math.nan}, True),
]


def _nested(levels: int) -> list[Any]:
    return [_nested(levels - 1)] if levels else []


class Visit(BaseModel):
    day: date
    lasted: timedelta
    key: UUID
    dose: Decimal
    organs: set[str]


class StampedScan(BaseModel):
    """A model whose validator fails if it gets anything but a datetime."""

    at: datetime
    slices: int

    @field_validator("at", mode="before")
    @classmethod
    def to_the_millisecond(cls, at: Any) -> Any:
        return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    day: date
    size: tuple[int, int]
    colours: set[Colour]
    lasted: timedelta
    dose: Decimal | None
    at: datetime
    score: float


TYPED: list[tuple[Any, Any]] = [
    (date(2024, 2, 29), date),
    (time(1, 2, 3, 4), time),
    (timedelta(days=-1, microseconds=3), timedelta),
    (UUID(int=5), UUID),
    (Decimal("1.50"), Decimal),
    ({3, 1}, set[int]),
    (frozenset({"b", "a"}), frozenset[str]),
    ({date(2024, 1, 1), date(2023, 1, 1)}, set[date]),
    ({(1, 2), (0, 1)}, set[tuple[int, int]]),
    ([{"a": {UUID(int=1)}}], list[dict[str, set[UUID]]]),
    (Colour.RED, Colour),
    ((1, (2, "x")), tuple[int, tuple[int, str]]),
    (b"\xff\0", bytes),
    (PurePosixPath("a/b"), PurePosixPath),
    (np.int8(-3), int),
    (np.uint64(2**63 - 1), int),
    (np.float32(0.1), float),
    (np.bool_(False), bool),
    (np.str_("x"), str),
    (SAMPLE_TIME, datetime),
    (Box((0, 0), (2, 3)), Box),
    (
        Strict(
            day=date(2024, 2, 29),
            size=(1, 2),
            colours={Colour.RED},
            lasted=timedelta(seconds=1.5),
            dose=None,
            at=SAMPLE_TIME,
            score=-0.0,
        ),
        Strict,
    ),
]


class DataContract(Contract):
    """The rules of named values."""

    @pytest.mark.parametrize("value", SAME, ids=ascii)
    async def test_a_value_comes_back_as_it_was(self, store: StoreUnderTest, value: object) -> None:
        data = store.session().data
        await data.set("name", value)
        found = await data.get("name")
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(("value", "normal"), NORMALISED, ids=lambda value: type(value).__name__)
    async def test_a_richer_value_comes_back_in_its_normal_form(
        self, store: StoreUnderTest, value: object, normal: object
    ) -> None:
        data = store.session().data
        await data.set("name", value)
        found = await data.get("name")
        assert found == normal
        assert type(found) is type(normal)

    async def test_nan_comes_back_as_nan(self, store: StoreUnderTest) -> None:
        data = store.session().data
        await data.set("name", [math.nan, -math.inf])
        nan, infinity = await data.get("name")
        assert math.isnan(nan)
        assert infinity == -math.inf

    async def test_a_typed_read_gives_the_type_or_says_what_is_wrong(self, store: StoreUnderTest) -> None:
        data = store.session().data
        await data.set("finding", Lesion(label="cyst", volume_ml=2.5))
        assert await data.get("finding", Lesion) == Lesion(label="cyst", volume_ml=2.5)
        assert (await data.get("finding", dict[str, Any]))["label"] == "cyst"
        await data.set("finding", {"label": "SECRET-VALUE"})
        with pytest.raises(StoredValueError, match="volume_ml: Field required") as caught:
            await data.get("finding", Lesion)
        assert "SECRET-VALUE" not in str(caught.value)

    async def test_a_typed_read_takes_no_datetime_for_text_and_survives_the_code_of_a_model(
        self, store: StoreUnderTest
    ) -> None:
        data = store.session().data
        await data.set("at", SAMPLE_TIME)
        with pytest.raises(StoredValueError, match="cannot be read as str"):
            await data.get("at", str)
        await data.set("scan", {"at": SAMPLE_TIME, "slices": 3})
        assert await data.get("scan", StampedScan) == StampedScan(at=SAMPLE_TIME, slices=3)
        for wrong in ({"at": SAMPLE_TIME, "slices": "SECRET-VALUE"}, {"at": "SECRET-VALUE", "slices": 3}):
            await data.set("scan", wrong)
            with pytest.raises(StoredValueError, match="cannot be read as StampedScan") as caught:
                await data.get("scan", StampedScan)
            assert "SECRET-VALUE" not in str(caught.value)

    async def test_an_absent_value_raises_unless_a_default_is_given(self, store: StoreUnderTest) -> None:
        data = store.session().data
        with pytest.raises(DataNotFoundError, match="no data named 'missing'"):
            await data.get("missing")
        with pytest.raises(KeyError):
            await data.get("missing")
        assert await data.get("missing", default=None) is None
        assert await data.get("missing", int, default=3) == 3
        assert not await data.has("missing")
        assert not await data.delete("missing")

    async def test_none_is_a_value(self, store: StoreUnderTest) -> None:
        data = store.session().data
        await data.set("name", None)
        assert await data.has("name")
        assert await data.get("name", default=1) is None
        assert await data.get("name", type(None), default=1) is None
        with pytest.raises(StoredValueError, match="cannot be read as int"):
            await data.get("name", int, default=1)

    async def test_setting_replaces_and_deleting_removes(self, store: StoreUnderTest) -> None:
        data = store.session().data
        await data.set("name", [1, 2, 3])
        await data.set("name", "new")
        assert await data.get("name") == "new"
        assert await data.delete("name")
        assert not await data.has("name")

    async def test_names_and_values_are_listed_in_order(self, store: StoreUnderTest) -> None:
        data = store.session().data
        for name in ("b", "a", "c/d"):
            await data.set(name, name.upper())
        assert await data.keys() == ["a", "b", "c/d"]
        assert await data.items() == [("a", "A"), ("b", "B"), ("c/d", "C/D")]
        repository, key = store.container().backend().data, JobKey(SESSION_ID, JOB_ID)
        assert await repository.scan(key, values=False) == [("a", None), ("b", None), ("c/d", None)]

    async def test_jobs_and_sessions_do_not_see_each_others_values(self, store: StoreUnderTest) -> None:
        await store.session().data.set("name", 1)
        assert not await store.session("b" * 24).data.has("name")
        assert not await store.session(session_id="c" * 24).data.has("name")

    @pytest.mark.parametrize(
        "name",
        ["", "../up", "/root", "a//b", "a/./b", "a\\b", "a\0b", " a", "a.", "x" * 201, "c:x", "x" * 10_000, "\ud800"],
    )
    async def test_a_bad_name_is_refused_everywhere(self, store: StoreUnderTest, name: str) -> None:
        data = store.session().data
        for attempt in (data.get(name), data.set(name, 1), data.has(name), data.delete(name), data.increment(name)):
            with pytest.raises(InvalidNameError, match="not allowed"):
                await attempt

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (2**63, "64 bits"),
            ({"a": [object()]}, r"value\['a'\]\[0\]"),
            ({1: "x"}, "key 1"),
            ({"$set": 1}, r"starts with \$"),
            (datetime(2024, 1, 1), "time zone"),  # noqa: DTZ001  it must be refused
            (np.zeros(10_001), "files.save"),
            (np.longdouble(1.5), "float64"),
            ({Colour.RED: 1, "red": 2}, "two keys that are 'red'"),
            ({"a\0b": 1}, "NUL"),
            ({"\ud800": 1}, "surrogates"),
            (["\ud800"], "surrogates"),
            (1j, "complex"),
            ([[None]] * 3 + [_nested(90)], "deeper than 80"),
            ("x" * (16 * 1024 * 1024), "files.save"),
        ],
        ids=_plain,
    )
    async def test_a_value_that_no_store_can_hold_is_refused_with_the_remedy(
        self, store: StoreUnderTest, value: object, reason: str
    ) -> None:
        data = store.session().data
        with pytest.raises(UnsupportedValueError, match=reason):
            await data.set("name", value)
        assert not await data.has("name")

    async def test_the_largest_value_that_is_let_through_is_stored(self, store: StoreUnderTest) -> None:
        data = store.session().data
        largest = b"x" * (16 * 1024 * 1024 - 64 * 1024 - 100)
        await data.set("name", largest)
        assert await data.get("name") == largest

    async def test_numbers_are_incremented_from_zero(self, store: StoreUnderTest) -> None:
        data = store.session().data
        assert await data.increment("count") == 1
        assert await data.increment("count", 2) == 3
        assert await data.increment("count", 0.5) == 3.5
        assert await data.get("count") == 3.5
        await data.set("text", "x")
        with pytest.raises(StoredValueError, match="not a number"):
            await data.increment("text")
        await data.set("flag", value=True)
        with pytest.raises(StoredValueError, match="not a number"):
            await data.increment("flag")

    async def test_compare_and_set_replaces_only_the_expected_value(self, store: StoreUnderTest) -> None:
        data = store.session().data
        assert not await data.compare_and_set("owner", "nobody", "a")
        assert await data.compare_and_set("owner", ABSENT, "a")
        assert not await data.compare_and_set("owner", ABSENT, "b")
        assert not await data.compare_and_set("owner", "b", "c")
        assert await data.compare_and_set("owner", "a", {"x": 1, "y": [1.5, None]})
        assert await data.compare_and_set("owner", {"x": 1, "y": [1.5, None]}, None)
        assert await data.compare_and_set("owner", None, 1)
        assert not await data.compare_and_set("owner", True, 2)  # a bool is not a number
        assert await data.compare_and_set("owner", 1.0, 2)
        assert await data.get("owner") == 2

    async def test_a_stored_value_is_a_copy(self, store: StoreUnderTest) -> None:
        data = store.session().data
        value: dict[str, list[int]] = {"items": [1]}
        await data.set("name", value)
        value["items"].append(2)
        first = await data.get("name")
        first["items"].append(3)
        ((_name, second),) = await data.items()
        second["items"].append(4)
        assert await data.get("name") == {"items": [1]}

    async def test_an_increment_beyond_64_bits_is_refused_and_changes_nothing(self, store: StoreUnderTest) -> None:
        data = store.session().data
        for bound, step in ((2**63 - 1, 1), (-(2**63), -1)):
            await data.set("count", bound)
            with pytest.raises(UnsupportedValueError, match="64 bits"):
                await data.increment("count", step)
            assert await data.get("count") == bound
            assert await data.increment("count", -step) == bound - step

    @pytest.mark.parametrize("step", [True, "1", None, [1]])
    async def test_the_step_of_an_increment_is_a_number(self, store: StoreUnderTest, step: Any) -> None:
        data = store.session().data
        with pytest.raises(UnsupportedValueError, match="must be a number"):
            await data.increment("count", step)
        assert not await data.has("count")

    async def test_deleting_removes_one_value_of_one_job(self, store: StoreUnderTest) -> None:
        own, other = store.session().data, store.session("b" * 24).data
        for name in ("a", "b", "b/c", "c"):
            await own.set(name, 1)
        await other.set("b", 2)
        assert await own.delete("b")
        assert not await own.delete("b")
        assert await own.keys() == ["a", "b/c", "c"]
        assert await other.items() == [("b", 2)]

    @pytest.mark.parametrize(("stored", "expected", "same"), EXPECTED, ids=_plain)
    async def test_compare_and_set_compares_normal_forms_and_nan_equals_nan(
        self, store: StoreUnderTest, stored: object, expected: object, *, same: bool
    ) -> None:
        data = store.session().data
        await data.set("name", stored)
        assert await data.compare_and_set("name", expected, "new") is same
        assert (await data.get("name") == "new") is same

    async def test_a_value_that_compare_and_set_wrote_is_compared_like_one_that_was_set(
        self, store: StoreUnderTest
    ) -> None:
        data = store.session().data
        assert not await data.compare_and_set("name", math.nan, 1)  # nothing is stored
        assert not await data.has("name")
        assert await data.compare_and_set("name", ABSENT, math.nan)
        assert await data.compare_and_set("name", math.nan, [math.nan])
        assert not await data.compare_and_set("name", math.nan, 1)
        assert await data.compare_and_set("name", [math.nan], 1)
        assert not await data.compare_and_set("name", math.nan, 2)
        assert await data.get("name") == 1

    @pytest.mark.parametrize(("value", "as_type"), TYPED, ids=range(len(TYPED)))
    async def test_a_value_of_a_type_that_stores_lack_is_read_back_typed(
        self, store: StoreUnderTest, value: Any, as_type: Any
    ) -> None:
        data = store.session().data
        await data.set("value", value)
        found = await data.get("value", as_type)
        assert found == value
        assert isinstance(found, get_origin(as_type) or as_type)

    async def test_a_model_with_types_that_stores_lack_is_read_back_typed(self, store: StoreUnderTest) -> None:
        visit = Visit(
            day=date(2024, 2, 29),
            lasted=timedelta(hours=-1, microseconds=3),
            key=UUID(int=7),
            dose=Decimal("1.50"),
            organs={"liver", "kidney"},
        )
        data = store.session().data
        await data.set("visit", visit)
        assert await data.get("visit", Visit) == visit
        assert await data.get("visit") == {
            "day": "2024-02-29",
            "lasted": "-PT59M59.999997S",
            "key": str(UUID(int=7)),
            "dose": "1.50",
            "organs": ["kidney", "liver"],
        }
        assert await data.compare_and_set("visit", visit, {"seen": True})
