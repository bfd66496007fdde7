"""The option ``--store``: what it shows goes to workers, so it may hold no password."""

from __future__ import annotations

import pytest

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.local.chosen_store import chosen_store

AWS = "authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION"


@pytest.mark.parametrize(
    "url",
    [
        *("mongodb://user:hidden@host/w", "mongodb://user:@host/w", "mongodb+srv://user:hidden@host/w"),
        *("mongodb://user:p/hidden@host", "mongodb://user:p/hidden@host/w", "mongodb://user:p?hidden@host/w"),
        *("mongodb://user:p#hidden@host/w", "mongodb://user:p@hidden@host/w", "mongodb://user:[hidden@host/w"),
        "mongodb:user:hidden@host/w",
        *("mongodb://host/w?tlsCertificateKeyFilePassword=hidden", "mongodb://host/w?tls=true&PROXYPASSWORD=hidden"),
        *(f"mongodb://host/w?{AWS}_TOKEN:hidden", f"mongodb://host/w?{AWS}%5FTOKEN%3Ahidden"),
        *("mongodb://host/w?ssl_pem_passphrase=hidden", "mongodb://host/w#password=hidden"),
    ],
)
def test_a_store_that_may_show_a_password_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="shows a password") as caught:
        chosen_store(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("mongodb://10.0.0.5:27017/laptop", "mongodb://[::1]:27017/laptop", "mongodb://a:1,b:2/laptop?replicaSet=r"),
        *("mongodb://user@host/laptop?tls=true", "mongodb://tokens:27017/laptop", "mongodb+srv://host/laptop"),
    ],
)
def test_a_store_without_one_is_taken(url: str) -> None:
    store = chosen_store(url)
    assert store is not None
    assert store.as_request() == {"url": url, "database": "laptop"}
    assert "host" not in repr(store)


def test_two_spellings_of_a_variable_that_differ_are_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCM-PROCESSOR-SERVICE-DB-URL", "mongodb://user:secret@a")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_URL", "mongodb://user:secret@b")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_NAME", "laptop")
    with pytest.raises(ConfigurationError, match="-DB-URL and DCM_PROCESSOR_SERVICE_DB_URL are both set") as caught:
        chosen_store("mongodb")
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("DCM-PROCESSOR-SERVICE-DB-URL")
    monkeypatch.delenv("DCM_PROCESSOR_SERVICE_DB_NAME")
    with pytest.raises(ConfigurationError, match="DCM_PROCESSOR_SERVICE_DB_NAME is not set"):
        chosen_store("mongodb")
