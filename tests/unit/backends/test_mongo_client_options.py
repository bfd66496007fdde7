"""The options for the driver, and the connection string, which takes precedence."""

from __future__ import annotations

from typing import Any

import pytest

from dcm_processor_service.backends.mongo.driver.blocking import Blocking
from dcm_processor_service.backends.mongo.driver.connection import LazyClient
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.ports import StoreLocation

HOST = "mongodb://127.0.0.1:1/"


def lazy(query: str, **location: Any) -> LazyClient:
    return LazyClient(StoreLocation(f"{HOST}{query}", "d", 4.0, "blocking", **location), Blocking(), {})


@pytest.mark.parametrize(
    ("query", "location", "expected"),
    [
        ("", {}, {"w": "majority", "j": True}),
        ("", {"durability": "fast"}, {"w": 1}),
        ("?w=1", {}, {"w": 1, "j": True}),
        ("?w=majority&journal=false", {}, {"w": "majority", "j": False}),
        ("?JOURNAL=false", {}, {"w": "majority", "j": False}),
        ("?w=2", {"durability": "fast"}, {"w": 2}),
        ("?j=false", {}, {"w": "majority", "j": False}),
        ("?J=true", {}, {"w": "majority", "j": True}),
        ("?w=1&j=true", {"durability": "fast"}, {"w": 1, "j": True}),
        ("?readPreference=secondary;j=true", {"durability": "fast"}, {"j": True}),
    ],
)
def test_durability_is_asked_for_unless_the_url_or_the_setting_says_otherwise(
    query: str, location: dict[str, Any], expected: dict[str, Any]
) -> None:
    client = lazy(query, **location)
    concern = client.collection(client.handle(), "c").write_concern.document
    client.close()
    assert concern == expected


def test_a_url_that_wants_no_acknowledgement_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="w=0"):
        lazy("?w=0").handle()


@pytest.mark.parametrize(
    "option",
    [
        *("j=1", "journal=TRUE", "w=-1", "tls=True", "ssl=1", "tlsInsecure=yes", "timeoutMS=1m", "timeoutMS=-5"),
        *("timeoutMS=inf", "timeoutMS=nan", "serverSelectionTimeoutMS=1e400", "socketTimeoutMS=inf", "wtimeoutMS=soon"),
        *("connectTimeoutMS=inf", "timeoutMS=99999999999999999999"),
    ],
)
def test_an_option_that_the_driver_would_leave_out_is_refused(option: str) -> None:
    name, _mark, value = option.partition("=")
    with pytest.raises(ConfigurationError, match="journal" if name == "j" else name) as refused:
        lazy(f"?{option}").handle()
    assert f"={value}" not in str(refused.value)


@pytest.mark.parametrize(
    "option",
    [
        *("w=2", "w=majority", "w=nearby", "journal=true", "ssl=true", "wtimeoutMS=0"),
        *("retryWrites=false", "readPreference=nearest", "compressors=zlib", "appName=x", "replicaSet=rs0"),
    ],
)
def test_usual_options_are_taken(option: str) -> None:
    client = lazy(f"?{option}")
    assert client.handle().client is not None
    client.close()


def test_no_limit_for_a_free_connection_is_what_the_driver_has_anyway() -> None:
    with pytest.warns(UserWarning, match="waitqueuetimeoutms"):
        lazy("?waitQueueTimeoutMS=0").handle()


def test_an_option_of_another_program_is_left_to_the_driver() -> None:
    with pytest.warns(UserWarning, match="nknown option"):
        lazy("?3t.uriVersion=3").handle()


def test_a_value_that_the_driver_fails_on_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="not a usable MongoDB connection string"):
        lazy("?datetime_conversion=odd").handle()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (4.0, 30.0, 30.0)),
        ("?timeoutMS=9000", (4.0, 9.0, 9.0)),
        ("?timeoutMS=1000", (1.0, 1.0, 1.0)),
        ("?serverSelectionTimeoutMS=12000", (12.0, 30.0, 30.0)),
        ("?socketTimeoutMS=70000", (4.0, 30.0, 70.0)),
    ],
)
def test_three_time_limits_are_set_and_those_of_the_url_go_first(query: str, expected: tuple[float, ...]) -> None:
    client = lazy(query)
    options = client.handle().client.options
    client.close()
    assert client.patience == expected
    assert options.timeout == expected[2]
    connect_s = 4.0 if "timeoutMS=1000" not in query else 1.0
    assert options.pool_options.connect_timeout == connect_s or "serverSelection" in query


def test_the_urls_connect_time_out_is_the_drivers() -> None:
    client = lazy("?connectTimeoutMS=7000")
    options = client.handle().client.options
    client.close()
    assert options.pool_options.connect_timeout == 7.0
