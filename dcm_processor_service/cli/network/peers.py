"""``peers``: the DICOM peers that a store knows by name, of the platform's environment or of a workspace."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcm_processor_service.cli.commands import example
from dcm_processor_service.cli.console import output_console, print_json_line, sentences, table_of
from dcm_processor_service.cli.network.sending import print_contexts, print_echo
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.models.platform_ids import NO_ID
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.session.network.peers import Peers

__all__ = ["peers"]

Name = Annotated[str, typer.Argument(help="Name of the peer, as peers list shows it")]
Place = Annotated[
    Path | None, typer.Option(help="A workspace's folder; if left out, the store that the environment variables name")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each record")]

peers = typer.Typer(
    no_args_is_help=True,
    help="List, ask and probe the DICOM peers that a store knows by name.",
    epilog=example("peers list"),
)


@contextmanager
def _open_peers(workspace: Path | None) -> Iterator[Peers]:
    container = Container()
    with sentences():
        settings = RuntimeSettings(session_id=NO_ID, job_id=NO_ID) if workspace is None else None  # no job is needed
        container.settings.override(settings or Workspace(workspace or Path()).settings())
    with sentences(), opened(container):
        ask = container.backend().warnings
        if ask is not None:
            run_inline(ask())  # a store that is not there is an error, not a store without peers
        yield container.session().peers


@peers.command("list", epilog=example("peers list --workspace dcm-workspace"))
def list_peers(workspace: Place = None, as_json: AsJson = False) -> None:
    """List the peers."""
    with _open_peers(workspace) as known:
        nodes = known.list()
    if as_json:
        for node in nodes:
            print_json_line(node.model_dump(mode="json", include={"name", "ae_title", "host", "port", "tls"}))
        return
    table = table_of("name", "address", "TLS")
    for node in nodes:
        table.add_row(node.name, node.address, "yes" if node.tls else "no")
    output_console().print(table)


@peers.command("echo", epilog=example("peers echo PACS"))
def echo_peer(name: Name, workspace: Place = None, as_json: AsJson = False) -> None:
    """Ask a peer whether it answers (C-ECHO)."""
    with _open_peers(workspace) as known:
        result = known.echo(name)
    print_echo(result, as_json=as_json)


@peers.command("probe", epilog=example("peers probe PACS --workspace dcm-workspace"))
def probe_peer(name: Name, workspace: Place = None, as_json: AsJson = False) -> None:
    """Print which kinds of objects a peer accepts, in which transfer syntaxes; sends none."""
    with _open_peers(workspace) as known:
        contexts = known.probe(name)
    print_contexts(contexts, as_json=as_json)
