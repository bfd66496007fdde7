"""The options of how a peer is spoken to: the same ones for every command, each in a field of the peer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.cli.network.peer_options import (
    PeerOptions,
    Syntax,
    parse_address,
    parse_address_or_url,
    parse_peer,
)
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import BearerToken, ClientCredentials
from dcm_processor_service.testing import FakePacs
from tests.archives import make_authority
from tests.command_line import run_here
from tests.integration.dicom_network.test_web_authorization import SECRET, running
from tests.unit.dicom_network.instances import write_series

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.models import Peer
    from dcm_processor_service.testing.fake_certificates import FakeAuthority

SPOKEN_TO = ("send", "find", "fetch", "echo", "probe")
DIGITS = "ab" * 32


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> FakeAuthority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("command", SPOKEN_TO)
def test_every_command_that_speaks_to_a_peer_has_all_of_them(command: str) -> None:
    shown = run_here(command, "--help", variables={"COLUMNS": "250"}).stdout
    for name in PeerOptions.__dataclass_fields__:
        assert f"--{name.replace('_', '-')} " in shown
    assert "--no-tls" not in shown


def test_each_option_is_a_field_of_the_peer() -> None:
    how = PeerOptions(
        ca_file=Path("ca.pem"),
        cert_file=Path("our.pem"),
        key_file=Path("our.key"),
        tls_name="pacs.example",
        fingerprint=DIGITS,
        prefer=Syntax.RLE,
        timeout=7.5,
        connection_timeout=2.5,
        max_pdu=8192,
    )
    peer = parse_address("PACS@h:104", how)
    assert peer.model_dump(exclude={"name", "id", "host", "port", "ae_title"}, exclude_none=True) == {
        "tls": True,
        "ca_file": "ca.pem",
        "cert_file": "our.pem",
        "key_file": "our.key",
        "tls_server_name": "pacs.example",
        "certificate_sha256": DIGITS,
        "transfer_syntax_uid": "1.2.840.10008.1.2.5",
        "timeout_s": 7.5,
        "connection_timeout_s": 2.5,
        "max_pdu_bytes": 8192,
    }


def test_a_peer_of_the_web_has_those_that_mean_something_for_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n", encoding="utf-8")
    how = PeerOptions(
        max_request=1 << 21,
        proxy="http://proxy.example:3128",
        token_url="https://login.example/token",
        client_id="us",
        client_secret_file=tmp_path / "secret",
        scope="dicom.write",
    )
    peer = parse_address_or_url("https://pacs.example/dicom-web", how)
    assert (peer.max_request_bytes, peer.proxy) == (1 << 21, "http://proxy.example:3128")
    assert isinstance(peer.auth, ClientCredentials)
    assert peer.auth.client_secret.get_secret_value() == SECRET
    assert parse_address_or_url("https://pacs.example").proxy == "environment"
    token = parse_address_or_url("https://pacs.example", PeerOptions(token_file=tmp_path / "secret")).auth
    assert isinstance(token, BearerToken)


@pytest.mark.parametrize(
    ("place", "how", "reason"),
    [
        ("A@h:1", PeerOptions(fingerprint="ab"), "--fingerprint: a SHA-256 fingerprint has 64"),
        ("A@h:1", PeerOptions(tls_name=""), "--tls-name: "),
        ("A@h:1", PeerOptions(token_file=Path("t")), "--token-file: only for a peer that is given by a URL"),
        ("A@h:1", PeerOptions(proxy="http://p", scope="s"), "--proxy, --scope: only for a peer"),
        ("https://h", PeerOptions(max_pdu=8192), "--max-pdu: only for a peer that is given as AET@HOST:PORT"),
        ("https://h", PeerOptions(proxy="http://us:s3cr3t@p"), "--proxy holds a password.*set HTTPS_PROXY"),
        ("http://h", PeerOptions(tls=True), "give https://"),
        ("http://h", PeerOptions(ca_file=Path("ca.pem")), "give https://"),
        ("https://h", PeerOptions(client_id="us"), "--client-id: works only together with --token-url"),
        ("https://h", PeerOptions(token_url="https://t", client_id="us"), "needs --client-id and --client-secret-file"),
        ("https://h", PeerOptions(token_url="https://t", token_file=Path("t")), "not both"),
    ],
)
def test_what_means_nothing_for_the_peer_is_refused(place: str, how: PeerOptions, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse_address_or_url(place, how)


def test_instances_go_as_the_options_say(tmp_path: Path, authority: FakeAuthority) -> None:
    write_series(tmp_path, 2)
    elsewhere = authority.issue("elsewhere", ["pacs.example"])
    with FakePacs(tls=True, authority=authority, certificate=elsewhere) as pacs:
        options = ("--ca-file", authority.ca_file, "--tls-name", "pacs.example", "--prefer", "rle")
        refused = run_here("send", tmp_path, "--to", pacs.peer.address, *options[:2])
        ran = run_here("send", tmp_path, "--to", pacs.peer.address, *options)
        assert {one.file_meta.TransferSyntaxUID for one in pacs.datasets()} == {"1.2.840.10008.1.2.5"}
    assert refused.code == 2
    assert "host name check" in refused.stderr
    assert ran.code == 0, ran.stderr


def test_a_token_is_granted_and_its_secret_is_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    with running() as service:
        url = f"http://127.0.0.1:{service.port}"
        options = ("--token-url", f"{url}/token", "--client-id", "us", "--client-secret-file", tmp_path / "secret")
        ran = run_here("find", f"{url}/dicom-web", "--patient-id", "TEST", *options)
    assert ran.code == 0, ran.stderr
    assert service.authorizations == ["Bearer good"]
    assert SECRET not in ran.stdout + ran.stderr


@pytest.mark.parametrize("reads", [parse_address_or_url, parse_address, parse_peer])
@pytest.mark.parametrize(
    "text",
    [
        f"https:/us:{SECRET}@h/web",
        f"HTTPS:us:{SECRET}@h:443",
        f"htps://us:{SECRET}@h/web",
        f"PACS=HTTPS://us:{SECRET}@h/web",
        f"PACS=http:us:{SECRET}@h:80",
        f"us:{SECRET}@h/web",
        f"HTTPS:/h/web?token={SECRET}",
    ],
)
def test_what_may_be_a_url_is_not_shown(text: str, reads: Callable[[str], Peer]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        reads(text)
    assert SECRET not in str(caught.value)


def test_a_url_is_one_whatever_its_case() -> None:
    assert parse_address_or_url(" HTTPS://pacs.example/Web").url == "https://pacs.example/Web"
    assert parse_address("A/T@pacs.example:104").ae_title == "A/T"


def test_the_proxy_is_not_in_what_is_shown_of_the_options() -> None:
    assert SECRET not in repr(PeerOptions(proxy=f"http://us:{SECRET}@proxy.example"))
