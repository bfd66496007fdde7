"""Adds credentials to each request to a DICOMweb peer; fetches and renews tokens."""

from __future__ import annotations

import base64
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from dcm_processor_service.disk import file_faults, is_file
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import BasicAuth, BearerToken

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dcm_processor_service.models import ClientCredentials, Peer, WebAuth

__all__ = ["Authorization"]

_RENEWED_BEFORE_S = 30.0  # a token is renewed so long before its end, so that it does not expire during a request
_LIFE_S = 300.0  # lifetime of a token if the token service does not state it
_PATIENCE_S = 10.0
_UNAUTHORIZED, _SERVER_ERROR, _OK = 401, 500, 200


class Authorization(httpx.Auth):
    """Adds the authorization to requests to a peer; several threads may use it."""

    def __init__(self, peer: Peer, auth: WebAuth, clock: Callable[[], float] = time.monotonic) -> None:
        self._peer = peer
        self._auth = auth
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._until = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Adds the authorization to a request; if the peer refuses a GET, sends it again with a new token."""
        used = request.headers["Authorization"] = self._header()
        response = yield request
        if response.status_code != _UNAUTHORIZED or request.method != "GET":
            return
        renewed = request.headers["Authorization"] = self.renewed(used)
        if renewed != used:
            yield request

    def renewed(self, used: str) -> str:
        """Returns a new header after the peer refused one.

        The token is renewed, unless another thread has done so since that header was made.

        Raises:
            ConfigurationError: No token is available.
            httpx.RequestError: The token service cannot be reached.
        """
        with self._lock:
            if used == f"Bearer {self._token}":
                self._until = 0.0
        return self._header()

    def _header(self) -> str:
        if isinstance(self._auth, BasicAuth):
            pair = f"{self._auth.user}:{self._auth.password.get_secret_value()}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        token = self._read_token(self._auth) if isinstance(self._auth, BearerToken) else self._request_token(self._auth)
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigurationError(f"the token for the peer {self._peer.name!r} is empty, or is not printable ASCII")
        return f"Bearer {token}"

    def _read_token(self, auth: BearerToken) -> str:
        if auth.token is not None:
            return auth.token.get_secret_value()
        if auth.call is not None:
            return auth.call().strip()
        path = Path(auth.file or "")
        with file_faults(path, "read", ConfigurationError):
            return path.read_text(encoding="utf-8").strip()

    def _request_token(self, auth: ClientCredentials) -> str:
        with self._lock:
            if self._token is None or self._clock() >= self._until:
                self._token, life_s = self._fetched(auth)
                self._until = self._clock() + max(life_s - _RENEWED_BEFORE_S, life_s / 2)
            return self._token

    def _fetched(self, auth: ClientCredentials) -> tuple[str, float]:
        """Asks the token service; returns a token and its lifetime in seconds.

        Raises:
            ConfigurationError: The token service refuses, or its answer holds no token.
            httpx.RequestError: The token service cannot be reached, or answers with a server error.
        """
        wanted = {"grant_type": "client_credentials", **({"scope": auth.scope} if auth.scope else {})}
        known = (auth.client_id, auth.client_secret.get_secret_value())
        with httpx.Client(verify=self._trust(auth), timeout=_PATIENCE_S, trust_env=False) as client:
            response = client.post(auth.token_url, data=wanted, auth=known, headers={"Accept": "application/json"})
        if response.status_code >= _SERVER_ERROR:
            raise httpx.ConnectError(f"the token service answered with HTTP {response.status_code}")
        if response.status_code != _OK:
            raise self._no_token(f"HTTP {response.status_code}")
        try:
            answer = response.json()
            return str(answer["access_token"] or ""), float(answer.get("expires_in") or _LIFE_S)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._no_token("an answer without a token") from error

    def _no_token(self, answer: str) -> ConfigurationError:
        return ConfigurationError(
            f"the token service of the peer {self._peer.name!r} gave no token ({answer}); check client_id, "
            "client_secret and scope"
        )

    def _trust(self, auth: ClientCredentials) -> ssl.SSLContext:
        if auth.ca_file is None:
            return ssl.create_default_context()
        if not is_file(auth.ca_file):
            raise ConfigurationError(f"the ca_file of the token service of the peer {self._peer.name!r} is not a file")
        try:
            return ssl.create_default_context(cafile=auth.ca_file)
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"the ca_file of the token service of the peer {self._peer.name!r} holds no certificate in PEM form"
            ) from error
