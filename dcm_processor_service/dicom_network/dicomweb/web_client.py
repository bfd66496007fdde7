"""Sends HTTP requests to a DICOMweb peer.

Each thread has a connection of its own, every wait has a limit, and secrets in URLs are not logged.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

import httpx

from dcm_processor_service.dicom_network.dicomweb.authorization import Authorization
from dcm_processor_service.dicom_network.dimse import tls
from dcm_processor_service.dicom_network.dimse.pdu_stream import LEAST_BYTES
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["AnswerTooLongError", "WebClient", "certificate_wish", "public_url", "retry_after", "tls_failure"]

_LONGEST_ANSWER_BYTES = 64 << 20
_CERTIFICATE_WISHES = frozenset({400, 495, 496})
_UNLOGGED_QUERY = "unlogged_query"
_BY_ENVIRONMENT = "environment"


class AnswerTooLongError(Exception):
    """An answer is longer than the limit, and might not fit into memory."""


def public_url(peer: Peer) -> str:
    """Returns the peer's URL without its secrets: user name, password, and the query, which may hold a token.

    Raises:
        ConfigurationError: The peer's URL is not an http or https URL.
    """
    return str(_checked(peer).copy_with(username=None, password=None, query=None, fragment=None)).rstrip("/")


def _checked(peer: Peer) -> httpx.URL:
    try:
        url = httpx.URL(peer.url or "")
        url.host.encode("idna")  # the connection encodes it in the same way, and would raise the error later
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ConfigurationError(f"the URL of the peer {peer.name!r} is not valid") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError(f"the URL of the peer {peer.name!r} must begin with http:// or https://")
    return url


def _proxy_for(peer: Peer, url: httpx.URL) -> str | None:
    """Returns the proxy for a peer, which the peer's settings or the environment name; None if there is none.

    Raises:
        ConfigurationError: The value is not the URL of a proxy.
    """
    proxy = peer.proxy
    if proxy == _BY_ENVIRONMENT:
        proxy = None if proxy_bypass(url.host) else getproxies().get(url.scheme)
    if not proxy:
        return None
    try:
        httpx.Proxy(proxy)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigurationError(
            f"the proxy of the peer {peer.name!r} is not valid; give http://host:port or 'environment'"
        ) from error
    return proxy


class WebClient:
    """Sends requests to a peer, each thread over a connection of its own."""

    def __init__(self, peer: Peer, options: SendOptions) -> None:
        self.where = public_url(peer)
        url = _checked(peer)
        self._query = url.query
        # user name, password and token are taken out of the URL here, because httpx logs URLs
        in_url = (url.username, url.password) if url.username else None
        if in_url and peer.auth is not None:
            raise ConfigurationError(
                f"the peer {peer.name!r} has auth, and credentials in its URL: set only one of them"
            )
        self._auth = in_url if peer.auth is None else Authorization(peer, peer.auth)
        self._proxy = _proxy_for(peer, url)
        self._verify = tls.client_context(peer) if url.scheme == "https" else False  # nothing to verify without TLS
        self._answer_s = options.dimse_timeout_s
        self._timeout = httpx.Timeout(
            options.dimse_timeout_s, connect=options.connection_timeout_s, write=options.network_timeout_s
        )
        self._own = threading.local()
        self._clients: list[httpx.Client] = []

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Iterable[bytes] | None = None,
        *,
        query: str = "",
    ) -> tuple[httpx.Response, bytes]:
        """Sends a request for a path below the URL, and returns the response with its content.

        The whole answer must arrive within ``dimse_timeout_s`` after the end of the request.

        Args:
            method: GET or POST.
            path: The path below the URL; it is logged.
            headers: The headers of the request.
            body: The content of the request, in pieces; None if there is none.
            query: The query; it is not logged, because it may name a patient.

        Raises:
            httpx.RequestError: No answer came.
            AnswerTooLongError: The answer is longer than 64 MiB.
        """
        watch = _Watch(self._answer_s, self._streams)
        if body is None:
            watch.start()
        with (
            watch.ended(),
            self._client().stream(
                method,
                f"{self.where}/{path}",
                content=None if body is None else watch.after(body),
                headers=dict(headers),
                extensions={"trace": watch.trace, _UNLOGGED_QUERY: query.encode()},
            ) as response,
        ):
            received = bytearray()
            for piece in response.iter_bytes():
                received += piece
                if len(received) > _LONGEST_ANSWER_BYTES:
                    raise AnswerTooLongError("the peer's answer does not end")
            return response, bytes(received)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[tuple[httpx.Response, Iterator[bytes]]]:
        """Requests a path below the URL; yields the response, and an iterator over its content, which may be large.

        Raises:
            httpx.RequestError: No answer came, or it stopped before its end.
        """
        trace = _Watch(self._answer_s, self._streams).trace
        with self._client().stream(
            "GET", f"{self.where}/{path}", headers=dict(headers), extensions={"trace": trace}
        ) as response:
            yield response, _refusing_a_trickle(response.iter_bytes(), self._answer_s)

    def has_another_token(self, refused: httpx.Response) -> bool:
        """Renews the token after a request was refused; returns whether the new token differs from the refused one.

        Raises:
            ConfigurationError: The token service refuses to issue a token.
            httpx.RequestError: The token service cannot be reached.
        """
        used = refused.request.headers.get("Authorization", "")
        return isinstance(self._auth, Authorization) and self._auth.renewed(used) != used

    def close(self) -> None:
        """Closes all connections."""
        for client in self._clients:
            client.close()

    @property
    def _streams(self) -> dict[str, Any]:
        """A dictionary of this thread with its connection under the key ``now``, after it was opened."""
        if not hasattr(self._own, "streams"):
            self._own.streams = {}
        streams: dict[str, Any] = self._own.streams
        return streams

    def _client(self) -> httpx.Client:
        if not hasattr(self._own, "client"):
            way = httpx.HTTPTransport(verify=self._verify, trust_env=False, proxy=self._proxy)
            transport = _SecretQuery(way, self._query)
            client = httpx.Client(transport=transport, timeout=self._timeout, auth=self._auth, trust_env=False)
            self._own.client = client
            self._clients.append(client)
        own: httpx.Client = self._own.client
        return own


def _refusing_a_trickle(pieces: Iterator[bytes], patience_s: float) -> Iterator[bytes]:
    """Yields pieces of an answer as they come, as long as they come fast enough.

    Raises:
        httpx.ReadTimeout: Fewer than ``LEAST_BYTES`` came within the time for an answer.
    """
    until, since_bytes = time.monotonic() + patience_s, 0
    for piece in pieces:
        since_bytes += len(piece)
        if since_bytes < LEAST_BYTES and time.monotonic() > until:
            raise httpx.ReadTimeout("the answer comes too slowly")
        if since_bytes >= LEAST_BYTES:
            until, since_bytes = time.monotonic() + patience_s, 0
        given = time.monotonic()
        yield piece
        until += time.monotonic() - given  # does not count the time that the caller takes


class _SecretQuery(httpx.BaseTransport):
    """Adds the query of the peer's URL to requests, in a transport below the layer that logs URLs."""

    def __init__(self, inner: httpx.BaseTransport, query: bytes) -> None:
        self._inner = inner
        self._query = query

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request with the secret parts of its query."""
        url = request.url
        asked: bytes = request.extensions.get(_UNLOGGED_QUERY, b"")
        query = b"&".join(part for part in (url.query, asked, self._query) if part)
        keyed = httpx.Request(
            request.method,
            url.copy_with(query=query) if query else url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._inner.handle_request(keyed)

    def close(self) -> None:
        """Closes the connections."""
        self._inner.close()


class _Watch:
    """Shuts down a connection if the whole answer takes too long; httpx's time-outs begin again with each byte."""

    def __init__(self, seconds: float, streams: dict[str, Any]) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._streams = streams
        self._is_late = False

    def after(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the pieces of a request body, and starts the timer after the last piece."""
        yield from body
        self.start()

    def start(self) -> None:
        """Starts the timer."""
        self._timer.start()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Stores the connection that httpx reports in its trace events."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._streams["now"] = info["return_value"]

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Stops the timer at the end of the ``with`` block.

        Raises:
            httpx.ReadTimeout: The timer shut down the connection.
        """
        try:
            yield
        except httpx.RequestError as error:
            if self._is_late:
                raise httpx.ReadTimeout("the answer takes too long") from error
            raise
        finally:
            self._timer.cancel()
            if self._timer.ident is not None:
                self._timer.join()

    def _cut(self) -> None:
        self._is_late = True
        stream = self._streams.get("now")
        connection = None if stream is None else stream.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def certificate_wish(response: httpx.Response, content: bytes) -> str:
    """Returns a message if a server refuses a request because it requires a client certificate; otherwise empty.

    Many archives run behind nginx, which does not report this in the TLS handshake, but by HTTP 400 and an HTML page.
    """
    if response.status_code not in _CERTIFICATE_WISHES or b"SSL certificate" not in content:
        return ""
    return (
        "it wants a client certificate, or another one: set the peer's cert_file and key_file to a certificate that "
        "its operator has issued"
    )


def retry_after(response: httpx.Response) -> float:
    """Returns how many seconds the header Retry-After, a number or a date, asks us to wait; 0 if it is absent."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=timezone.utc)
    return max((until - datetime.now(timezone.utc)).total_seconds(), 0.0)


def tls_failure(error: BaseException) -> str | None:
    """Returns a text about the failed TLS check that caused an error of httpx; None if it had another cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return tls.explain_failure(cause)
        cause = cause.__cause__ or cause.__context__
    return None
