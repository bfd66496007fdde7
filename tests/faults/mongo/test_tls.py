"""TLS to a real server: what fits works, what stays wrong is configuration and says what, what passes is retryable."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from dcm_processor_service.backends.mongo.driver.asynchronous import open_async
from dcm_processor_service.backends.mongo.driver.blocking import open_blocking
from dcm_processor_service.errors import ConfigurationError, StoreUnavailableError
from dcm_processor_service.ports import Found, StoreLocation, in_thread, inline
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.testing.fake_certificates import FakeAuthority
from tests.faults.mongo.conftest import KEY, Opener
from tests.faults.mongo.servers import Mongod, running_standalone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.testing.fake_certificates import Certificate


class Files(NamedTuple):
    ca: str
    other_ca: str
    server: str
    """For 127.0.0.1 alone."""
    client: str
    other_client: str
    """Signed by the other authority."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")

    def pem(certificate: Certificate) -> str:
        both = Path(certificate.cert_file).with_suffix(".both.pem")
        both.write_text(Path(certificate.cert_file).read_text() + Path(certificate.key_file).read_text())
        return str(both)

    authority, other = FakeAuthority(folder), FakeAuthority(folder, "other")
    server = pem(authority.issue("server", ["127.0.0.1"]))
    return Files(authority.ca_file, other.ca_file, server, pem(authority.issue("ours")), pem(other.issue("of_another")))


@pytest.fixture(scope="module")
def secret(files: Files) -> Iterator[Mongod]:
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", files.server)
    with running_standalone(*options, query=f"&tls=true&tlsCAFile={files.ca}") as server:
        yield server


@pytest.fixture(scope="module")
def mutual(files: Files) -> Iterator[Mongod]:
    """A server that asks for a certificate."""
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", files.server, "--tlsCAFile", files.ca)
    query = f"&tls=true&tlsCAFile={files.ca}&tlsCertificateKeyFile={files.client}"
    with running_standalone(*options, query=query) as server:
        yield server


@pytest.mark.parametrize("kind", ["secret", "mutual"])
def test_what_fits_works_in_both_modes(kind: str, request: pytest.FixtureRequest, opener: Opener) -> None:
    server: Mongod = request.getfixturevalue(kind)
    run_inline(opener(server.url).data.put(KEY, "n", 1))

    async def read() -> Found | None:
        location = StoreLocation(server.url, opener.database, 20.0, "async")
        with open_async(location, in_thread) as backend:
            return await backend.data.find(KEY, "n")

    assert asyncio.run(read()) == Found(1)


def refused(url: str, opener: Opener, error: type[Exception]) -> str:
    with (
        open_blocking(opener.location(url, timeout_s=4.0, operation_timeout_s=4.0), inline) as backend,
        pytest.raises(error) as caught,
    ):
        run_inline(backend.data.find(KEY, "n"))
    assert ".pem" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_authority_is_configuration(secret: Mongod, files: Files, opener: Opener) -> None:
    told = refused(secret.url.replace(files.ca, files.other_ca), opener, ConfigurationError)
    assert "not signed by an authority that this machine trusts" in told


def test_another_host_name_is_configuration(secret: Mongod, opener: Opener) -> None:
    told = refused(secret.url.replace("127.0.0.1", "localhost"), opener, ConfigurationError)
    assert "its certificate is for another host name" in told


@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile"])
@pytest.mark.parametrize("content", [None, "no certificate"], ids=["there is none", "it is none"])
def test_a_file_that_is_no_certificate_is_configuration(
    option: str, content: str | None, tmp_path: Path, opener: Opener
) -> None:
    named = tmp_path / "named.pem"
    if content is not None:
        named.write_text(content)
    url = f"mongodb://127.0.0.1:1/?tls=true&{option}={named}"
    assert "check tlsCAFile and tlsCertificateKeyFile" in refused(url, opener, ConfigurationError)


def test_a_url_without_tls_is_told_that_the_server_may_ask_for_it(secret: Mongod, opener: Opener) -> None:
    plain = secret.url.partition("&tls")[0]
    assert "ask for TLS (tls=true in the URL)" in refused(plain, opener, StoreUnavailableError)


@pytest.mark.parametrize("ours", ["none", "of another authority"])
def test_a_server_that_asks_for_a_certificate_of_ours_is_said_to(
    ours: str, mutual: Mongod, files: Files, opener: Opener
) -> None:
    url = mutual.url.partition("&tlsCertificateKeyFile")[0]
    url += "" if ours == "none" else f"&tlsCertificateKeyFile={files.other_client}"
    assert "client certificate (tlsCertificateKeyFile)" in refused(url, opener, StoreUnavailableError)


def test_a_server_without_tls_is_said_to_be_one_perhaps(standalone: Mongod, files: Files, opener: Opener) -> None:
    url = f"{standalone.url}&tls=true&tlsCAFile={files.ca}"
    assert "server does not speak TLS" in refused(url, opener, StoreUnavailableError)


def test_a_handshake_with_a_frozen_server_is_no_fault_of_the_configuration(secret: Mongod, opener: Opener) -> None:
    secret.freeze()
    try:
        told = refused(secret.url, opener, StoreUnavailableError)
    finally:
        secret.thaw()
    assert "did not answer in time" in told
    run_inline(opener(secret.url).data.put(KEY, "n", 2))
