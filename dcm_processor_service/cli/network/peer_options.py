"""A peer as the command line names it: its address or URL, and the options of how to speak to it.

The options are the same for every command that speaks to a peer: the fields of :class:`PeerOptions`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError

from dcm_processor_service.disk import file_faults
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import BearerToken, ClientCredentials, Peer
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE, WRITABLE_SYNTAXES
from dcm_processor_service.models.platform_ids import platform_id

if TYPE_CHECKING:
    from dcm_processor_service.models import WebAuth

__all__ = ["PeerOptions", "parse_address", "parse_address_or_url", "parse_peer", "takes_peer_options"]

_WEB_PORTS = {"http": 80, "https": 443}
_ADDRESS = re.compile(r"(?P<aet>[^@]+)@(?P<host>\[[^\]]+\]|[^:@]+):(?P<port>[0-9]{1,5})")
_WEB = re.compile(r"\s*https?:", re.IGNORECASE)
_PANEL = "How to speak to the peer"


class Syntax(str, Enum):
    """The transfer syntaxes that a peer may prefer, in the order of ``WRITABLE_SYNTAXES``."""

    EXPLICIT = "explicit"
    IMPLICIT = "implicit"
    RLE = "rle"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"

    @property
    def uid(self) -> str:
        """The UID of the transfer syntax."""
        return dict(zip(Syntax, WRITABLE_SYNTAXES, strict=True))[self]


def _option(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=_PANEL, **more)


@dataclass(frozen=True)
class PeerOptions:
    """The options of the command line for communicating with a peer."""

    calling: Annotated[str, _option("Our AE title")] = DEFAULT_AE_TITLE
    tls: Annotated[bool, _option("Speak TLS, and verify the peer's certificate against its host name", "--tls")] = False
    ca_file: Annotated[
        Path | None,
        _option(
            "File with the certificate of the authority that signed the peer's, or the peer's own (PEM); implies --tls"
        ),
    ] = None
    cert_file: Annotated[Path | None, _option("Our certificate, PEM, where the peer asks for one; implies --tls")] = (
        None
    )
    key_file: Annotated[Path | None, _option("Our private key, PEM; implies --tls")] = None
    tls_name: Annotated[
        str | None, _option("The name that the peer's certificate is for, in place of its host; implies --tls")
    ] = None
    fingerprint: Annotated[
        str | None, _option("SHA-256 fingerprint that the peer's certificate must have; implies --tls")
    ] = None
    prefer: Annotated[
        Syntax | None, _option("The transfer syntax that the peer prefers, used where no loss results")
    ] = None
    timeout: Annotated[float | None, _option("Seconds to wait for an answer of the peer", min=0.001)] = None
    connection_timeout: Annotated[float | None, _option("Seconds to wait for the TCP connection", min=0.001)] = None
    max_pdu: Annotated[
        int | None,
        _option("The longest PDU to send, in bytes; never longer than the peer announces", min=4096, max=131_072),
    ] = None
    max_request: Annotated[
        int | None, _option("The longest STOW-RS request, in bytes, for a peer with a URL", min=1 << 20)
    ] = None
    proxy: Annotated[
        str | None,
        _option(
            "The proxy to a peer with a URL, without a password; "
            "if left out, HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply"
        ),
    ] = field(default=None, repr=False)
    token_file: Annotated[Path | None, _option("A file that holds the bearer token for a peer with a URL")] = None
    token_url: Annotated[
        str | None, _option("Where a token is granted for --client-id (OAuth 2.0 client credentials)")
    ] = None
    client_id: Annotated[str | None, _option("Our client id at --token-url")] = None
    client_secret_file: Annotated[Path | None, _option("A file that holds the secret of --client-id")] = None
    scope: Annotated[str, _option("The scope to ask for at --token-url")] = ""

    @property
    def fields_of_peer(self) -> dict[str, Any]:
        """The given fields of a peer that apply both to DIMSE and to DICOMweb."""
        files = {"ca_file": self.ca_file, "cert_file": self.cert_file, "key_file": self.key_file}
        values = {
            **{name: None if path is None else str(path) for name, path in files.items()},
            "tls_server_name": self.tls_name,
            "certificate_sha256": self.fingerprint,
            "transfer_syntax_uid": None if self.prefer is None else self.prefer.uid,
            "timeout_s": self.timeout,
            "connection_timeout_s": self.connection_timeout,
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def implies_tls(self) -> bool:
        """Whether ``--tls`` is given, or an option that only TLS uses."""
        given = (self.ca_file, self.cert_file, self.key_file, self.tls_name, self.fingerprint)
        return self.tls or any(one is not None for one in given)

    def require_unset(self, names: tuple[str, ...], reason: str) -> None:
        """Refuses options that do not apply to this peer.

        Raises:
            ConfigurationError: One of them is given; the message names all that are.
        """
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name)]
        if given:
            raise ConfigurationError(f"{', '.join(given)}: {reason}")

    def require_proxy_without_credentials(self) -> None:
        """Refuses a proxy with a password in its URL, which every user of the machine sees in the list of processes.

        Raises:
            ConfigurationError: The URL of the proxy holds a password.
        """
        if "@" in (self.proxy or ""):
            raise ConfigurationError(
                "--proxy holds a password, which others see in the list of processes: set HTTPS_PROXY in its place"
            )

    def auth(self) -> WebAuth | None:
        """Returns how we identify ourselves to a DICOMweb peer; reads the file with a client's secret.

        Raises:
            ConfigurationError: The options contradict each other, one is missing, or the file cannot be read.
        """
        if self.token_url is None:
            reason = "works only together with --token-url; give --token-url as well"
            self.require_unset(("client_id", "client_secret_file", "scope"), reason)
            return None if self.token_file is None else BearerToken(file=str(self.token_file))
        self.require_unset(("token_file",), "give --token-file or --token-url, not both")
        if self.client_id is None or self.client_secret_file is None:
            raise ConfigurationError("--token-url needs --client-id and --client-secret-file")
        with file_faults(self.client_secret_file, "read", ConfigurationError):
            secret = self.client_secret_file.read_text(encoding="utf-8").strip()
        try:
            return ClientCredentials(
                token_url=self.token_url, client_id=self.client_id, client_secret=secret, scope=self.scope
            )
        except ValidationError as error:
            raise ConfigurationError(
                "--token-url must begin with https:// or http://, and --client-id must not be empty"
            ) from error


_AS_USUAL = PeerOptions()


def takes_peer_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds all options of :class:`PeerOptions` to a command, and passes them to the parameter ``peer_options``."""
    own = inspect.signature(command, eval_str=True)
    annotations = get_type_hints(PeerOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=annotations[one.name]
        )
        for one in fields(PeerOptions)
    ]

    def run(**given: Any) -> None:
        options = PeerOptions(**{one.name: given.pop(one.name) for one in shared})
        command(**given, peer_options=options)

    parameters = [one for one in own.parameters.values() if one.name != "peer_options"] + shared
    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect documents it
    return run


def parse_address(text: str, options: PeerOptions = _AS_USUAL) -> Peer:
    """Reads a peer given as ``AET@HOST:PORT``.

    Raises:
        ConfigurationError: The text is not of that form, or an option does not apply to such a peer.

    Example:
        >>> parse_address("ORTHANC@[::1]:4242").host
        '::1'
    """
    match = None if _may_hold_a_secret(text) else _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f"{_shown(text)} is not a peer; give AET@HOST:PORT, for example ORTHANC@127.0.0.1:4242"
        )
    of_the_web = ("max_request", "proxy", "token_file", "token_url", "client_id", "client_secret_file", "scope")
    options.require_unset(of_the_web, "only for a peer that is given by a URL")
    more = {} if options.max_pdu is None else {"max_pdu_bytes": options.max_pdu}
    try:
        return Peer(
            name=match["aet"],
            ae_title=match["aet"],
            host=match["host"].strip("[]"),
            port=int(match["port"]),
            tls=options.implies_tls,
            **options.fields_of_peer,
            **more,
        )
    except ValidationError as error:
        raise _refused(
            error, f"{text!r} is not a peer: an AE title has 1 to 16 ASCII characters, a port lies between 1 and 65535"
        ) from error


def parse_address_or_url(text: str, options: PeerOptions = _AS_USUAL) -> Peer:
    """Reads a peer given as ``AET@HOST:PORT``, or as the URL of its DICOMweb root.

    Raises:
        ConfigurationError: The text is neither, or an option does not apply to such a peer.

    Example:
        >>> parse_address_or_url("https://pacs.example/dicom-web").port
        443
    """
    text = text.strip()
    if not _is_of_the_web(text):
        return parse_address(text, options)
    options.require_proxy_without_credentials()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or _WEB_PORTS[parts.scheme]
    except ValueError as error:
        raise ConfigurationError("the URL of the peer is not valid") from error
    if not host:
        raise ConfigurationError("the URL of the peer names no host")
    if options.implies_tls and parts.scheme != "https":
        raise ConfigurationError("the options ask for TLS, but the URL of the peer does not: give https://…")
    options.require_unset(("max_pdu",), "only for a peer that is given as AET@HOST:PORT")
    more = {} if options.max_request is None else {"max_request_bytes": options.max_request}
    proxy = options.proxy or "environment"
    try:
        return Peer(
            name=host,
            ae_title="WEB",
            host=host,
            port=port,
            url=parts.scheme + text[len(parts.scheme) :],
            auth=options.auth(),
            proxy=proxy,
            **options.fields_of_peer,
            **more,
        )
    except ValidationError as error:
        raise _refused(error, "the URL of the peer is not valid") from error


def _is_of_the_web(text: str) -> bool:
    return _WEB.match(text) is not None


def _may_hold_a_secret(text: str) -> bool:
    """Returns whether a text may be a URL, which may hold a password or a token."""
    return "://" in text or _is_of_the_web(text.rpartition("=")[2]) or _is_of_the_web(text)


def _shown(text: str) -> str:
    """Returns the text for a message, unless it may be part of a URL with a password or a token."""
    is_path_with_more = "/" in text and ("@" in text or "?" in text)
    return "what was given" if _may_hold_a_secret(text) or is_path_with_more else repr(text)


def _refused(error: ValidationError, otherwise: str) -> ConfigurationError:
    """Returns an error that names each invalid option among these two; if both are valid, its text is ``otherwise``."""
    options = {"certificate_sha256": "--fingerprint", "tls_server_name": "--tls-name"}
    found = {str(one["loc"][0]): one["msg"].removeprefix("Value error, ") for one in error.errors() if one["loc"]}
    faults = [f"{option}: {found[name]}" for name, option in options.items() if name in found]
    return ConfigurationError("; ".join(faults) or otherwise)


def parse_peer(text: str) -> Peer:
    """Reads a peer given as ``NAME=AET@HOST:PORT``.

    Raises:
        ConfigurationError: The text is not of that form.

    Example:
        >>> parse_peer("PACS=ORTHANC@127.0.0.1:4242").name
        'PACS'
    """
    name, equals, address = text.strip().partition("=")
    if not equals or not name or _may_hold_a_secret(text):
        raise ConfigurationError(
            f"{_shown(text)} is not a peer; give NAME=AET@HOST:PORT, for example PACS=ORTHANC@127.0.0.1:4242"
        )
    return parse_address(address).model_copy(update={"name": name, "id": platform_id("peer", name)})
