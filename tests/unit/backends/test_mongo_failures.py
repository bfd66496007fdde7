"""Every error of the driver, by class and code: its translation, and whether it is temporary or may be applied."""

from __future__ import annotations

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)
from pymongo.errors import (
    ConfigurationError as DriverConfigurationError,
)

from dcm_processor_service.backends.mongo.driver.failures import (
    are_all_duplicates,
    from_driver,
    is_temporary,
    may_be_applied,
    translated_url,
)
from dcm_processor_service.errors import ConfigurationError, DcmProcessorError, StoreUnavailableError

PASSING = [6, 24, 43, 64, 89, 112, 133, 134, 189, 202, 9001, 11600, 11601, 11602, 13388, 10107, 91, 50, 262]
PASSING += [46, 237, 246, 365, 462]
WITHOUT_EFFECT = {24, 46, 112, 133, 134, 365, 462, 13388, 10107}
SECRET = "mongodb://u:pa55word@h"


@pytest.mark.parametrize("code", PASSING)
def test_a_temporary_code_is_retryable_and_tells_whether_a_write_may_be_applied(code: int) -> None:
    error = OperationFailure(SECRET, code)
    told = from_driver(error, maybe_applied=may_be_applied(error))
    assert is_temporary(error)
    assert isinstance(told, StoreUnavailableError)
    assert told.retryable
    assert told.maybe_applied is (code not in WITHOUT_EFFECT)
    assert SECRET not in str(told)


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("before", [[], [{"code": 11000}]], ids=["the first attempt", "after a lost answer"])
def test_a_temporary_code_is_retryable_in_a_write_of_many_too(code: int, before: list[dict[str, int]]) -> None:
    of_write = BulkWriteError({"writeErrors": [*before, {"code": code}], "writeConcernErrors": [], "nInserted": 0})
    of_concern = BulkWriteError({"writeErrors": before, "writeConcernErrors": [{"code": code}], "nInserted": 0})
    for error in (of_write, of_concern):
        assert is_temporary(error)
        assert isinstance(from_driver(error), StoreUnavailableError)
    assert may_be_applied(of_write) is (bool(before) or code not in WITHOUT_EFFECT)
    assert may_be_applied(of_concern)


@pytest.mark.parametrize("label", ["RetryableWriteError", "SystemOverloadedError"])
def test_an_unknown_code_is_temporary_if_the_server_labels_it_so(label: str) -> None:
    error = OperationFailure("x", 999_999, {"code": 999_999, "errorLabels": [label]})
    assert is_temporary(error)
    assert may_be_applied(error)
    assert from_driver(error).retryable
    unlabelled = OperationFailure("x", 999_999, {"code": 999_999})
    assert not is_temporary(unlabelled)
    assert not from_driver(unlabelled).retryable


@pytest.mark.parametrize("code", [*PASSING, 79, 100, 1234])
def test_a_write_that_the_primary_did_and_others_did_not_is_applied(code: int) -> None:
    assert may_be_applied(WriteConcernError("x", code))


@pytest.mark.parametrize(
    ("error", "applied"),
    [
        (AutoReconnect("x"), True),
        (NetworkTimeout("x"), True),
        (WTimeoutError("x", 64), True),
        (WriteConcernError("x", 91), True),
        (NotPrimaryError("x"), False),
        (ServerSelectionTimeoutError("x"), False),
        (BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}], "nInserted": 1}), True),
        (BulkWriteError({"writeErrors": [{"code": 11602}], "writeConcernErrors": [], "nInserted": 0}), True),
        (BulkWriteError({"writeErrors": [{"code": 112}], "writeConcernErrors": [], "nInserted": 0}), False),
    ],
)
def test_a_lost_answer_may_be_applied_and_an_unsent_write_is_not(error: PyMongoError, applied: bool) -> None:  # noqa: FBT001
    told = from_driver(error, maybe_applied=may_be_applied(error))
    assert isinstance(told, StoreUnavailableError)
    assert told.maybe_applied is applied
    assert ("may have been applied" in str(told)) is applied


@pytest.mark.parametrize("code", [13, 18, 79, 100])
def test_a_wrong_url_or_missing_rights_raise_a_configuration_error(code: int) -> None:
    assert not is_temporary(OperationFailure("x", code))
    assert isinstance(from_driver(OperationFailure("x", code)), ConfigurationError)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, x", "another host name"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch", "another address"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired", "has expired"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed", "that this machine trusts"),
        ("h:1: [SSL: WRONG_VERSION_NUMBER] wrong version number", "does not speak TLS"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] verify failed: certificate is not yet valid", "not valid yet"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] verify failed: certificate revoked", "is revoked"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] verify failed: unsuitable certificate purpose", "not for servers"),
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] verify failed: EE certificate key too weak", "too weak"),
        (
            "h:1: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required",
            "asks for a client certificate",
        ),
        ("h:1: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", "does not trust the authority"),
        (
            "h:1: [SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] ssl/tls alert certificate expired",
            "our certificate has expired",
        ),
        ("h:1: [SSL: SSLV3_ALERT_BAD_CERTIFICATE] ssl/tls alert bad certificate", "refuses our certificate"),
        ("h:1: [SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version", "other versions of TLS"),
    ],
)
@pytest.mark.parametrize("kind", [ServerSelectionTimeoutError, AutoReconnect])
def test_a_failed_certificate_check_raises_a_configuration_error_that_names_it(
    kind: type[AutoReconnect], text: str, told: str
) -> None:
    error = kind(text)
    assert not is_temporary(error)
    found = from_driver(error)
    assert isinstance(found, ConfigurationError)
    assert told in str(found)


@pytest.mark.parametrize(
    "text", ["timed out", "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", "[Errno 104] Connection reset by peer"]
)
@pytest.mark.parametrize("kind", [ServerSelectionTimeoutError, AutoReconnect, NetworkTimeout])
def test_a_handshake_that_a_server_does_not_end_is_retryable(kind: type[AutoReconnect], text: str) -> None:
    error = kind(f"SSL handshake failed: h:1: {text}")
    told = from_driver(error)
    assert isinstance(told, StoreUnavailableError)
    assert told.retryable
    assert "may be because the server does not speak TLS" in str(told)
    assert is_temporary(error) is (kind is not ServerSelectionTimeoutError)


def test_any_other_failure_of_a_handshake_is_configuration() -> None:
    error = AutoReconnect("SSL handshake failed: h:1: [SSL: NO_CIPHERS_AVAILABLE] no ciphers available")
    assert isinstance(from_driver(error), ConfigurationError)


def raised_url(cause: Exception | None) -> DcmProcessorError:
    with pytest.raises(DcmProcessorError) as caught, translated_url():
        raise DriverConfigurationError(SECRET) from cause
    return caught.value


def test_an_srv_lookup_that_fails_is_retryable_and_a_malformed_url_is_not() -> None:
    resolver = pytest.importorskip("dns.resolver")
    for cause in (resolver.NXDOMAIN(), resolver.LifetimeTimeout(timeout=1, errors=[]), resolver.NoNameservers()):
        told = raised_url(cause)
        assert isinstance(told, StoreUnavailableError)
        assert SECRET not in str(told)
    assert isinstance(raised_url(None), ConfigurationError)


def test_an_insert_that_fails_only_by_duplicates_counts_as_done() -> None:
    def bulk(*codes: int, concern: bool = False) -> BulkWriteError:
        faults = [{"code": code} for code in codes]
        return BulkWriteError({"writeErrors": faults, "writeConcernErrors": [{"code": 64}] if concern else []})

    assert are_all_duplicates(bulk(11000, 11000))
    assert not are_all_duplicates(bulk(11000, 112))
    assert not are_all_duplicates(bulk(11000, concern=True))
    assert not are_all_duplicates(bulk())
    assert not are_all_duplicates(AutoReconnect("x"))
