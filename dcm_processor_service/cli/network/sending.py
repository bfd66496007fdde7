"""``send``, ``echo`` and ``probe``: sends to DICOM peers and asks what they accept, without a session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcm_processor_service.cli.console import (
    error_console,
    output_console,
    print_json_line,
    print_left_out,
    progress_bar,
    sentences,
    table_of,
)
from dcm_processor_service.cli.images import unpacked
from dcm_processor_service.cli.network.bare_container import bare_container
from dcm_processor_service.cli.network.commitments import ListenPort, keeper
from dcm_processor_service.cli.network.peer_options import (
    PeerOptions,
    parse_address,
    parse_address_or_url,
    takes_peer_options,
)
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED, EXIT_RETRYABLE, ConfigurationError
from dcm_processor_service.models import LeftOutFile, SendOptions
from dcm_processor_service.runtime.container import opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcm_processor_service.models import AcceptedContext, EchoResult, SendReport

__all__ = [
    "echo",
    "print_contexts",
    "print_echo",
    "probe",
    "send",
]

Address = Annotated[str, typer.Argument(help="AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each record")]


@takes_peer_options
def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, DICOMDIRs or folders at any depth")],
    to: Annotated[str, typer.Option(help="AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242, or a DICOMweb root's URL")],
    associations: Annotated[
        int,
        typer.Option(
            min=1,
            max=32,
            help="How many associations send side by side; more than two help only if the peer answers slowly",
        ),
    ] = 1,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Ask the peer afterwards which instances it holds; a missing one is a failure"),
    ] = False,
    commit: Annotated[
        bool,
        typer.Option(
            "--commit", help="Ask for storage commitment, and wait for the answer; a missing answer is a failure"
        ),
    ] = False,
    commit_later: Annotated[
        Path | None,
        typer.Option(help="Ask for storage commitment, and write the request to this file, for the command commitment"),
    ] = None,
    listen_port: ListenPort = None,
    as_json: AsJson = False,
    *,
    peer_options: PeerOptions,
) -> None:
    """Send DICOM files to a peer by C-STORE, or by STOW-RS to a URL, and report on each.

    Files of a folder that are not DICOM instances are left out and named; a damaged instance is a failure.
    """
    with sentences(), opened(bare_container(peer_options.calling)) as container, unpacked(*paths) as places:
        peer = parse_address_or_url(to, peer_options)
        if commit and commit_later is not None:
            raise ConfigurationError("--commit waits for the answer, and --commit-later does not: give one of them")
        if peer.url is not None and (commit or commit_later is not None):
            raise ConfigurationError(
                "storage commitment is asked for over DIMSE, and the peer is given by its URL: give AET@HOST:PORT, or "
                "--verify in place of --commit"
            )
        on_commitment = None if commit_later is None else keeper(commit_later, peer_options.calling)
        options = SendOptions(
            check=False,
            associations=associations,
            verify=verify,
            commit=commit or commit_later is not None,
            wait_for_commitment=commit_later is None,
            listen_port=listen_port,
        )
        with progress_bar(error_console()) as progress:
            imaging = container.imaging()
            total = sum(isinstance(file, Path) for path in places for file in imaging.files_below(path, None))
            task = progress.add_task(f"sending to {peer.name}", total=total)
            report = container.sender().send(
                places,
                peer,
                options=options,
                on_record=lambda _record: progress.advance(task),
                on_commitment=on_commitment,
            )
        if as_json:
            _print_records(report)
        else:
            output_console().print(str(report), soft_wrap=True)
        unread = (LeftOutFile(path=one.path, reason=one.meaning, faulty=True) for one in report.records if one.path)
        print_left_out([*report.left_out, *unread])
    raise typer.Exit(EXIT_DONE if report.ok else EXIT_RETRYABLE if report.retryable else EXIT_FAILED)


@takes_peer_options
def echo(
    address: Address,
    as_json: AsJson = False,
    *,
    peer_options: PeerOptions,
) -> None:
    """Ask a peer whether it answers (C-ECHO)."""
    with sentences(), opened(bare_container(peer_options.calling)) as container:
        peer = parse_address(address, peer_options)
        result = container.sender().echo(peer)
    print_echo(result, as_json=as_json)


def print_echo(result: EchoResult, *, as_json: bool) -> None:
    """Prints the result of a C-ECHO, and ends with 0 or 3."""
    if as_json:
        print_json_line(result.model_dump(mode="json"))
    else:
        output_console().print(str(result), soft_wrap=True)
    raise typer.Exit(EXIT_DONE if result.ok else EXIT_RETRYABLE)


@takes_peer_options
def probe(
    address: Address,
    as_json: AsJson = False,
    *,
    peer_options: PeerOptions,
) -> None:
    """Ask a peer which objects it accepts, in which transfer syntaxes, and propose values for its fields."""
    with sentences(), opened(bare_container(peer_options.calling)) as container:
        peer = parse_address(address, peer_options)
        if not as_json:
            output_console().print(f"proposed for {container.sender().propose(peer)}", soft_wrap=True)
        contexts = container.sender().probe(peer)
    print_contexts(contexts, as_json=as_json)


def print_contexts(contexts: Sequence[AcceptedContext], *, as_json: bool) -> None:
    """Prints what a peer accepts."""
    if as_json:
        for context in contexts:
            print_json_line(context.model_dump(mode="json"))
        return
    table = table_of("object", "accepted in")
    for context in contexts:
        if context.accepted:
            table.add_row(context.name, ", ".join(context.transfer_syntax_uids))
    output_console().print(table)


def _print_records(report: SendReport) -> None:
    for record in report.records:
        print_json_line(record.model_dump(mode="json") | {"status_hex": record.status_hex})
    for file in report.left_out:
        print_json_line({"outcome": "left_out", "path": file.path, "meaning": file.reason})
