"""Authorization at a DICOMweb peer: tokens, credentials and certificates; and requests through a proxy."""

from __future__ import annotations

import base64
import json
import logging
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from dcm_processor_service import BasicAuth, BearerToken, ClientCredentials, FindQuery, Peer, SendOptions
from dcm_processor_service.dicom_network.dicomweb.authorization import Authorization
from dcm_processor_service.dicom_network.dicomweb.web_client import WebClient
from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import ConfigurationError, FindError, FindIncompleteError
from tests.integration.dicom_network.stow_server import running_stow_service
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dcm_processor_service import WebAuth

SECRET = "s3cr3t"


class Service:
    """A DICOMweb service that requires a token, a token service and a proxy, all in one."""

    def __init__(self) -> None:
        self.accepted = {"Bearer good"}
        self.authorizations: list[str | None] = []
        self.asked_for: list[str] = []
        self.grants: list[tuple[str | None, dict[str, list[str]]]] = []
        self.granted: tuple[int, dict[str, Any]] = 200, {"access_token": "good", "expires_in": 3600}
        self.port = 0

    def peer(self, auth: WebAuth | None = None, **more: Any) -> Peer:
        url = f"http://127.0.0.1:{self.port}/dicom-web"
        return Peer(name="WEB", ae_title="WEB", host="127.0.0.1", port=self.port, **{"url": url, "auth": auth, **more})

    def credentials(self, **more: Any) -> ClientCredentials:
        token_url = f"http://127.0.0.1:{self.port}/token"
        return ClientCredentials(token_url=token_url, client_id="us", client_secret=SECRET, **more)


@contextmanager
def running() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            service.asked_for.append(self.path)
            service.authorizations.append(self.headers["Authorization"])
            self._answer(200 if self.headers["Authorization"] in service.accepted else 401, [])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            service.grants.append((self.headers["Authorization"], parse_qs(body)))
            self._answer(*service.granted)

        def _answer(self, status: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False

    server = Server(("127.0.0.1", 0), Handler)
    service.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(peer: Peer) -> None:
    assert DicomRetriever().find(peer, FindQuery(patient_id="TEST")) == []


def test_a_token_is_a_value_a_file_or_what_a_function_returns(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("good\n", encoding="utf-8")
    ways = [BearerToken(token="good"), BearerToken(file=str(tmp_path / "token")), BearerToken(call=lambda: "good")]
    with running() as service:
        for auth in ways:
            ask(service.peer(auth))
    assert service.authorizations == ["Bearer good"] * 3


def test_a_token_that_was_renewed_elsewhere_is_taken_up() -> None:
    tokens = iter(["old", "good"])
    with running() as service:
        ask(service.peer(BearerToken(call=lambda: next(tokens))))
    assert service.authorizations == ["Bearer old", "Bearer good"]


def test_a_token_that_is_refused_is_reported_once_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with running() as service, pytest.raises(FindError, match="HTTP 401") as caught:
        ask(service.peer(BearerToken(token=SECRET)))
    assert service.authorizations == [f"Bearer {SECRET}"]
    assert SECRET not in f"{caught.value} {caught.value.__cause__} {service.peer(BearerToken(token=SECRET))!r}"
    assert SECRET not in caplog.text


def test_client_credentials_are_exchanged_once_for_many_requests() -> None:
    with running() as service:
        client = WebClient(service.peer(service.credentials(scope="dicom.read")), SendOptions())
        for _ in range(3):
            client.request("GET", "studies", {})
        client.close()
    ((known, form),) = service.grants
    assert known == "Basic " + base64.b64encode(f"us:{SECRET}".encode()).decode()
    assert form == {"grant_type": ["client_credentials"], "scope": ["dicom.read"]}
    assert service.authorizations == ["Bearer good"] * 3


def test_a_granted_token_is_renewed_before_it_expires_and_when_it_is_refused() -> None:
    now = [0.0]
    with running() as service:
        authorization = Authorization(service.peer(), service.credentials(), clock=lambda: now[0])
        assert [authorization._header() for _ in range(2)] == ["Bearer good"] * 2
        assert len(service.grants) == 1
        now[0] = 3569.0
        assert (authorization._header(), len(service.grants)) == ("Bearer good", 1)
        now[0] = 3571.0
        assert (authorization._header(), len(service.grants)) == ("Bearer good", 2)


@pytest.mark.parametrize(
    ("granted", "error", "match"),
    [
        ((400, {"error": "invalid_client"}), ConfigurationError, r"gave no token \(HTTP 400\); check client_id"),
        ((200, {}), ConfigurationError, "an answer without a token"),
        ((200, [1]), ConfigurationError, "an answer without a token"),
        ((200, {"access_token": "good", "expires_in": "x"}), ConfigurationError, "an answer without a token"),
        ((200, {"access_token": ""}), ConfigurationError, "is empty"),
        ((503, {}), FindIncompleteError, "no connection"),
    ],
)
def test_a_token_service_that_gives_none_is_reported(
    granted: tuple[int, Any], error: type[Exception], match: str
) -> None:
    with running() as service:
        service.granted = granted
        with pytest.raises(error, match=match) as caught:
            ask(service.peer(service.credentials()))
    assert SECRET not in str(caught.value)
    assert not service.asked_for


def test_user_and_password_are_sent_as_basic_authorization() -> None:
    with running() as service:
        service.accepted = {"Basic " + base64.b64encode(f"änna:{SECRET}".encode()).decode()}
        ask(service.peer(BasicAuth(user="änna", password=SECRET)))


def test_what_is_sent_is_authorised_too() -> None:
    with running_stow_service() as service:
        peer = service.peer.model_copy(update={"auth": BearerToken(token="good")})
        assert PynetdicomSender().send(make_ct(), peer).ok
    assert service.authorizations == ["Bearer good"]


def test_credentials_in_two_places_are_refused() -> None:
    peer = Peer(name="WEB", ae_title="WEB", host="h", port=1, url="http://a:b@h/", auth=BearerToken(token=SECRET))
    with pytest.raises(ConfigurationError, match="set only one of them"):
        ask(peer)


@pytest.mark.parametrize("given", [{}, {"token": "a", "file": "b"}])
def test_a_bearer_token_is_given_in_one_way(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="give one of token=, file= and call="):
        BearerToken(**given)


def test_a_token_file_that_is_missing_is_reported(tmp_path: Path) -> None:
    with running() as service, pytest.raises(ConfigurationError, match=r"none' cannot be read"):
        ask(service.peer(BearerToken(file=str(tmp_path / "none"))))


def test_what_is_secret_is_neither_shown_nor_stored() -> None:
    peer = Peer(name="W", ae_title="W", host="h", port=1, auth=BearerToken(token=SECRET), proxy=f"http://u:{SECRET}@p")
    assert SECRET not in f"{peer!r} {peer} {peer.model_dump()} {peer.model_dump_json()}"


def test_a_request_goes_through_the_proxy_of_the_peer_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = "http://pacs.invalid/dicom-web"
    with running() as service:
        proxy = f"http://127.0.0.1:{service.port}"
        ask(service.peer(BearerToken(token="good"), url=url, proxy=proxy))
        monkeypatch.setenv("HTTP_PROXY", proxy)
        ask(service.peer(BearerToken(token="good"), url=url, proxy="environment"))
        assert [path.startswith(f"{url}/studies") for path in service.asked_for] == [True, True]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        ask(service.peer(BearerToken(token="good"), proxy="environment"))
        assert service.asked_for[-1].startswith("/dicom-web/studies")


def test_without_the_wish_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with running() as service:
        ask(service.peer(BearerToken(token="good")))


def test_a_malformed_proxy_is_reported() -> None:
    with running() as service, pytest.raises(ConfigurationError, match="proxy of the peer 'WEB' is not valid"):
        ask(service.peer(proxy="nonsense"))
