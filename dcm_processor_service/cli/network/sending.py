"""``send``, ``echo`` and ``probe``: DICOM peers from the shell, without a session."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

import typer
from pydantic import ValidationError
from rich.table import Table

from dcm_processor_service.cli.console import (
    error_console,
    output_console,
    print_json_line,
    print_left_out,
    progress_bar,
    sentences,
)
from dcm_processor_service.cli.images import unpacked
from dcm_processor_service.env_vars import read_variables
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED, EXIT_RETRYABLE, ConfigurationError
from dcm_processor_service.models import BearerToken, LeftOutFile, Peer, SendOptions
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE
from dcm_processor_service.models.platform_ids import NO_ID, platform_id
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings, SettingsValues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.models import AcceptedContext, EchoResult, SendReport

__all__ = [
    "bare_container",
    "echo",
    "parse_address",
    "parse_peer",
    "parse_place",
    "print_contexts",
    "print_echo",
    "probe",
    "send",
]

_WEB_PORTS = {"http": 80, "https": 443}
_ADDRESS = re.compile(r"(?P<aet>[^@]+)@(?P<host>\[[^\]]+\]|[^:@]+):(?P<port>[0-9]{1,5})")

Address = Annotated[str, typer.Argument(help="AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242")]
Tls = Annotated[bool, typer.Option("--tls", help="Speak TLS, and verify the peer's certificate against its host name")]
CaFile = Annotated[
    Path | None, typer.Option(help="The authority that signed the peer's certificate, PEM; implies --tls")
]
CertFile = Annotated[Path | None, typer.Option(help="Our certificate, PEM, where the peer asks for one; implies --tls")]
KeyFile = Annotated[Path | None, typer.Option(help="Our private key, PEM")]
TokenFile = Annotated[Path | None, typer.Option(help="A file that holds the bearer token for a DICOMweb peer")]
Calling = Annotated[str, typer.Option(help="Our AE title")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each record")]


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, DICOMDIRs or folders at any depth")],
    to: Annotated[str, typer.Option(help="AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242, or a DICOMweb root's URL")],
    calling: Calling = DEFAULT_AE_TITLE,
    associations: Annotated[int, typer.Option(min=1, max=32, help="How many associations send side by side")] = 1,
    tls: Tls = False,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    token_file: TokenFile = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Ask the peer afterwards which instances it holds; a miss is a failure")
    ] = False,
    commit: Annotated[
        bool, typer.Option("--commit", help="Ask for storage commitment, and wait for it; none is a failure")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send DICOM files to a peer by C-STORE, or by STOW-RS to a URL, and report on each.

    What is no DICOM instance in a folder is left out and named; a damaged one is a failure.
    """
    with sentences(), opened(bare_container(calling)) as container, unpacked(*paths) as places:
        peer = parse_place(to, tls=tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file, token_file=token_file)
        options = SendOptions(check=False, associations=associations, verify=verify, commit=commit)
        with progress_bar(error_console()) as progress:
            imaging = container.imaging()
            total = sum(isinstance(file, Path) for path in places for file in imaging.files_below(path, None))
            task = progress.add_task(f"sending to {peer.name}", total=total)
            report = container.sender().send(
                places, peer, options=options, on_record=lambda _record: progress.advance(task)
            )
        if as_json:
            _print_records(report)
        else:
            output_console().print(str(report), soft_wrap=True)
        unread = (LeftOutFile(path=one.path, reason=one.meaning, faulty=True) for one in report.records if one.path)
        print_left_out([*report.left_out, *unread])
    raise typer.Exit(EXIT_DONE if report.ok else EXIT_RETRYABLE if report.retryable else EXIT_FAILED)


def echo(
    address: Address,
    calling: Calling = DEFAULT_AE_TITLE,
    tls: Tls = False,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask a peer whether it is there (C-ECHO)."""
    with sentences(), opened(bare_container(calling)) as container:
        peer = parse_address(address, tls=tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
        result = container.sender().echo(peer)
    print_echo(result, as_json=as_json)


def print_echo(result: EchoResult, *, as_json: bool) -> None:
    """Prints the result of a C-ECHO, and ends with 0 or 3."""
    if as_json:
        print_json_line(result.model_dump(mode="json"))
    else:
        output_console().print(str(result), soft_wrap=True)
    raise typer.Exit(EXIT_DONE if result.ok else EXIT_RETRYABLE)


def probe(
    address: Address,
    calling: Calling = DEFAULT_AE_TITLE,
    tls: Tls = False,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask a peer which kinds of objects it takes, in which transfer syntaxes, and for values of its own fields."""
    with sentences(), opened(bare_container(calling)) as container:
        peer = parse_address(address, tls=tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
        if not as_json:
            output_console().print(f"proposed for {container.sender().propose(peer)}", soft_wrap=True)
        contexts = container.sender().probe(peer)
    print_contexts(contexts, as_json=as_json)


def print_contexts(contexts: Sequence[AcceptedContext], *, as_json: bool) -> None:
    """Prints what a peer takes."""
    if as_json:
        for context in contexts:
            print_json_line(context.model_dump(mode="json"))
        return
    table = Table("object", "taken in")
    for context in contexts:
        if context.accepted:
            table.add_row(context.name, ", ".join(context.transfer_syntax_uids))
    output_console().print(table)


def parse_address(
    text: str,
    *,
    tls: bool = False,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    ca_file: Path | None = None,
) -> Peer:
    """Reads a peer given as ``AET@HOST:PORT``.

    Raises:
        ConfigurationError: It is not of that form.

    Example:
        >>> parse_address("ORTHANC@[::1]:4242").host
        '::1'
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"{text!r} is no peer; give AET@HOST:PORT, for example ORTHANC@127.0.0.1:4242")
    given = {"cert_file": cert_file, "key_file": key_file, "ca_file": ca_file}
    files = {name: str(path) for name, path in given.items() if path is not None}
    try:
        return Peer(
            name=match["aet"],
            ae_title=match["aet"],
            host=match["host"].strip("[]"),
            port=int(match["port"]),
            tls=tls or bool(files),
            **files,
        )
    except ValidationError as error:
        raise ConfigurationError(
            f"{text!r} is no peer: an AE title has 1 to 16 ASCII characters, a port lies between 1 and 65535"
        ) from error


def parse_place(
    text: str,
    *,
    tls: bool = False,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    ca_file: Path | None = None,
    token_file: Path | None = None,
) -> Peer:
    """Reads a peer given as ``AET@HOST:PORT``, or as the URL of its DICOMweb root.

    Raises:
        ConfigurationError: It is neither.

    Example:
        >>> parse_place("https://pacs.example/dicom-web").port
        443
    """
    if not text.startswith(("http://", "https://")):
        if token_file is not None:
            raise ConfigurationError("--token-file is for a peer that is given by its URL")
        return parse_address(text, tls=tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or _WEB_PORTS[parts.scheme]
    except ValueError as error:
        raise ConfigurationError("the URL of the peer is not valid") from error
    if not host:
        raise ConfigurationError("the URL of the peer names no host")
    files = {"ca_file": ca_file, "cert_file": cert_file, "key_file": key_file}
    given = {name: str(path) for name, path in files.items() if path is not None}
    auth = None if token_file is None else BearerToken(file=str(token_file))
    return Peer(name=host, ae_title="WEB", host=host, port=port, url=text, auth=auth, proxy="environment", **given)


def parse_peer(text: str) -> Peer:
    """Reads a peer given as ``NAME=AET@HOST:PORT``.

    Raises:
        ConfigurationError: It is not of that form.

    Example:
        >>> parse_peer("PACS=ORTHANC@127.0.0.1:4242").name
        'PACS'
    """
    name, equals, address = text.strip().partition("=")
    if not equals or not name:
        raise ConfigurationError(
            f"{text!r} is no peer; give NAME=AET@HOST:PORT, for example PACS=ORTHANC@127.0.0.1:4242"
        )
    return parse_address(address).model_copy(update={"name": name, "id": platform_id("peer", name)})


def bare_container(calling: str) -> Container:
    """Makes a container without a session, with our AE title."""
    values: SettingsValues = {"db_provider": "memory", "session_id": NO_ID, "job_id": NO_ID, "ae_title": calling}
    values.update(cast("SettingsValues", read_variables(["dicom_timeout_s"])))  # the settings say what is wrong with it
    settings = RuntimeSettings.without_environment(**values)
    container = Container()
    container.settings.override(settings)
    return container


def _print_records(report: SendReport) -> None:
    for record in report.records:
        print_json_line(record.model_dump(mode="json") | {"status_hex": record.status_hex})
    for file in report.left_out:
        print_json_line({"outcome": "left_out", "path": file.path, "meaning": file.reason})
