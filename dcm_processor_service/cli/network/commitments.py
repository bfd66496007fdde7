"""Storage commitments that a peer answers after ``send`` has ended; until then, a file holds the transaction."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from dcm_processor_service.cli.console import output_console, print_json_line, sentences
from dcm_processor_service.cli.network.bare_container import bare_container
from dcm_processor_service.disk import exists, file_faults, write_whole
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED, EXIT_RETRYABLE, ConfigurationError
from dcm_processor_service.models import SendOptions, StorageCommitment
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE
from dcm_processor_service.runtime.container import opened

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ListenPort", "commitment", "keeper"]


class _TriedOut(Exception):  # noqa: N818 it means success: the file can be written
    """Leaves a block of :func:`write_whole` without writing the file; entering it has shown that this is possible."""


ListenPort = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="A port of this machine that the peer knows, for the answer to --commit"),
]


def commitment(
    file: Annotated[Path, typer.Argument(help="The file of send --commit-later")],
    listen_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="A port of this machine that the peer knows, for the answer")
    ] = None,
    ask_again: Annotated[
        bool,
        typer.Option(
            "--ask-again", help="Ask the peer again first, since its answer may have come while no process listened"
        ),
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds to wait for the answer")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line for each record")] = False,
) -> None:
    """Wait for the answer to the storage commitment of send --commit-later, and write it to the same file.

    With --ask-again the peer is asked again for every instance that it has not promised to keep, also after a refusal.

    Exits with 0 if the peer keeps every instance, with 3 if it has not answered yet, with 1 if it refused.
    """
    with sentences():
        asked = _read(file)
        if asked.is_awaited(ask_again=ask_again):
            asked = _answered(asked, file, listen_port, timeout, ask_again=ask_again)
    if as_json:
        for record in asked.records:
            print_json_line(record.model_dump(mode="json") | {"status_hex": record.status_hex})
    else:
        output_console().print(str(asked), soft_wrap=True)
    raise typer.Exit(EXIT_DONE if asked.ok else EXIT_RETRYABLE if asked.is_open else EXIT_FAILED)


def keeper(file: Path, calling: str) -> Callable[[StorageCommitment], None]:
    """Returns a function that writes a transaction to a file, with the AE title by which the peer knows us.

    Raises:
        ConfigurationError: The file holds a transaction that has no answer yet, or something else than a transaction;
            or it cannot be written, which is tried before anything is sent.
    """
    if exists(file) and _read(file).is_open:
        raise ConfigurationError(
            f"{str(file)!r} holds a transaction that has no answer yet: wait for it with the command commitment, or "
            "name another file"
        )
    with suppress(_TriedOut), write_whole(file, private=True, error=ConfigurationError):
        raise _TriedOut

    def keep(asked: StorageCommitment) -> None:
        peer = asked.peer.model_copy(update={"calling_ae_title": asked.peer.calling_ae_title or calling})
        _write(file, asked.model_copy(update={"peer": peer}))

    return keep


def _answered(
    asked: StorageCommitment, file: Path, listen_port: int | None, timeout: float, *, ask_again: bool
) -> StorageCommitment:
    if listen_port is None and not ask_again:
        raise ConfigurationError(
            "the peer sends its answer to one of our ports: name the port with --listen-port, or give --ask-again"
        )
    latest = [asked]

    def keep(state: StorageCommitment) -> None:
        _write(file, state)
        latest.append(state)

    options = SendOptions(listen_port=listen_port, commitment_timeout_s=timeout)
    with opened(bare_container(asked.peer.calling_ae_title or DEFAULT_AE_TITLE)) as container:
        container.sender().wait_for_commitments([asked], options=options, ask_again=ask_again, on_commitment=keep)
    return latest[-1]


def _read(file: Path) -> StorageCommitment:
    with file_faults(file, "read", ConfigurationError):
        content = file.read_bytes()
    try:
        return StorageCommitment.model_validate_json(content)
    except ValidationError:
        raise ConfigurationError(f"{str(file)!r} is not a file of send --commit-later") from None


def _write(file: Path, asked: StorageCommitment) -> None:
    with write_whole(file, durable=True, private=True) as output:
        output.write(asked.model_dump_json(indent=1).encode())
