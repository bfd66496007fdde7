"""The HTTP client: its waits, what it reads from answers, and what of a URL it shows."""

from __future__ import annotations

import ssl
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dcm_processor_service.dicom_network.dicomweb import web_client as module
from dcm_processor_service.dicom_network.dicomweb.web_client import (
    WebClient,
    certificate_wish,
    public_url,
    retry_after,
    tls_failure,
)
from dcm_processor_service.dicom_network.dimse.pdu_stream import LEAST_BYTES
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import BasicAuth, Peer, SendOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

PEER = Peer(name="WEB", ae_title="WEB", host="127.0.0.1", port=9, url="http://127.0.0.1:9/dicom-web")


def at(url: str, **values: Any) -> Peer:
    return PEER.model_copy(update={"url": url, **values})


def answer(status: int = 503, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), (" 120 ", 120.0), ("", 0.0), ("soon", 0.0), ("-3", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_a_peer_says_how_many_seconds_to_wait(value: str, seconds: float) -> None:
    assert retry_after(answer(Retry_After=value)) == seconds


@pytest.mark.parametrize("is_naive", [False, True])
def test_a_peer_says_until_when_to_wait(*, is_naive: bool) -> None:
    until = datetime.now(timezone.utc) + timedelta(seconds=1000)
    written = format_datetime(until.replace(tzinfo=None) if is_naive else until)  # naive: "-0000", of no zone
    assert 900 < retry_after(answer(Retry_After=written)) <= 1000
    assert retry_after(answer()) == 0.0


def test_a_failed_check_of_tls_is_found_below_other_errors() -> None:
    check = ssl.SSLError(1, "handshake")
    check.reason = "WRONG_VERSION_NUMBER"
    by_cause, by_context = httpx.ConnectError("no"), httpx.ConnectError("no")
    middle = OSError("wrapped")
    middle.__context__ = check
    by_cause.__cause__, by_context.__context__ = middle, check
    for error in (check, by_cause, by_context):
        assert tls_failure(error) == "it does not speak TLS on this port"
    assert tls_failure(httpx.ConnectError("refused")) is None


@pytest.mark.parametrize("status", [400, 495, 496])
def test_a_page_that_wants_a_certificate_is_understood(status: int) -> None:
    page = b"<h1>400 Bad Request</h1>No required SSL certificate was sent"
    assert "set the peer's cert_file and key_file" in certificate_wish(answer(status), page)
    assert certificate_wish(answer(status), b"bad request") == ""
    assert certificate_wish(answer(403), page) == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@pacs.example:8443/dicom/?token=secret#secret", "https://pacs.example:8443/dicom"),
        ("http://pacs.example/", "http://pacs.example"),
    ],
)
def test_nothing_secret_of_a_url_is_shown(url: str, shown: str) -> None:
    assert public_url(at(url)) == shown


@pytest.mark.parametrize(
    "url", ["ftp://pacs.example", "http:///dicom", "pacs.example", "http://x:port/", "http://a..b/"]
)
def test_a_url_that_leads_nowhere_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the URL of the peer 'WEB'") as caught:
        public_url(at(url))
    assert url not in str(caught.value)


def test_credentials_are_given_in_one_place() -> None:
    with pytest.raises(ConfigurationError, match="set only one of them"):
        WebClient(at("http://u:p@h/", auth=BasicAuth(user="u", password="p")), SendOptions())


def test_each_wait_of_a_request_is_that_of_the_options() -> None:
    options = SendOptions(connection_timeout_s=3, network_timeout_s=5, dimse_timeout_s=7)
    client = WebClient(PEER, options)
    try:
        assert client._client().timeout == httpx.Timeout(connect=3, read=7, write=5, pool=7)
        assert client._client() is client._client()
    finally:
        client.close()
    assert client._client().is_closed


@pytest.mark.parametrize(
    ("proxy", "environment", "used"),
    [
        (None, {"http_proxy": "http://p:1"}, None),
        ("environment", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("environment", {"https_proxy": "http://p:1"}, None),
        ("environment", {"http_proxy": "http://p:1", "no_proxy": "127.0.0.1"}, None),
        ("http://q:2", {"http_proxy": "http://p:1"}, "http://q:2"),
    ],
)
def test_a_proxy_is_that_of_the_peer_or_where_it_says_so_of_the_environment(
    proxy: str | None, environment: dict[str, str], used: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    peer = PEER.model_copy(update={"proxy": proxy})
    assert module._proxy_for(peer, httpx.URL(str(peer.url))) == used


class Clock:
    """A fake clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def pieces(self, *sizes_and_seconds: tuple[int, float]) -> Iterator[bytes]:
        for size, seconds in sizes_and_seconds:
            self.now += seconds
            yield bytes(size)


def test_an_answer_may_take_long_as_long_as_enough_comes_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    half = LEAST_BYTES // 2
    came = module._refusing_a_trickle(clock.pieces((half, 4), (half, 5), (half, 9), (half, 1), (LEAST_BYTES, 99)), 10)
    assert sum(map(len, came)) == 3 * LEAST_BYTES


def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    came = module._refusing_a_trickle(clock.pieces((LEAST_BYTES, 9), (1, 9), (LEAST_BYTES - 2, 2)), 10)
    assert [len(next(came)), len(next(came))] == [LEAST_BYTES, 1]
    with pytest.raises(httpx.ReadTimeout, match="too slowly"):
        next(came)


def test_the_time_that_a_reader_takes_is_not_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    sizes = []
    for piece in module._refusing_a_trickle(clock.pieces((1, 4), (1, 4), (1, 1)), 10):
        sizes.append(len(piece))
        clock.now += 100
    assert sizes == [1, 1, 1]


def test_the_query_of_a_url_is_added_below_what_is_logged() -> None:
    seen: list[httpx.Request] = []

    class Inner(httpx.BaseTransport):
        closed = False

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(200)

        def close(self) -> None:
            self.closed = True

    inner = Inner()
    transport = module._SecretQuery(inner, b"token=secret")
    asked = httpx.Request("POST", "http://h/studies?limit=1", headers={"A": "b"}, content=b"body")
    asked.extensions["unlogged_query"] = b"PatientID=4711"
    transport.handle_request(asked)
    assert str(seen[0].url) == "http://h/studies?limit=1&PatientID=4711&token=secret"
    assert (seen[0].method, seen[0].headers["A"], seen[0].read()) == ("POST", "b", b"body")
    assert "secret" not in str(asked.url)
    plain = module._SecretQuery(inner, b"")
    plain.handle_request(httpx.Request("GET", "http://h/studies"))
    assert str(seen[1].url) == "http://h/studies"
    plain.close()
    assert inner.closed


def test_a_connection_is_cut_once_its_time_is_over_and_not_before() -> None:
    shut: list[int] = []
    connection = SimpleNamespace(shutdown=shut.append)
    stream = SimpleNamespace(get_extra_info=lambda name: connection if name == "socket" else None)
    streams: dict[str, Any] = {}
    late = module._Watch(0.0, streams)
    late.trace("connection.connect_tcp.complete", {"return_value": stream})

    def request() -> None:
        with late.ended():
            assert list(late.after([b"a", b"b"])) == [b"a", b"b"]
            until = time.monotonic() + 60
            while not shut and time.monotonic() < until:
                time.sleep(0.001)
            raise httpx.ReadError("cut")

    with pytest.raises(httpx.ReadTimeout, match="takes too long"):
        request()
    assert len(shut) == 1
    early = module._Watch(3600.0, streams)
    early.start()
    with pytest.raises(httpx.ReadError, match="gone"), early.ended():
        raise httpx.ReadError("gone")
    never = module._Watch(3600.0, streams)
    with never.ended():
        never.trace("http11.send_request_headers.complete", {"return_value": None})
    assert streams == {"now": stream}
