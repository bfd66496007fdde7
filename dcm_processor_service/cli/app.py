"""The commands, one module each."""

from __future__ import annotations

import typer

from dcm_processor_service.cli.doctor import doctor
from dcm_processor_service.cli.execute import execute
from dcm_processor_service.cli.images import convert, inspect
from dcm_processor_service.cli.network import echo, probe, send
from dcm_processor_service.cli.objects import derive, pdf
from dcm_processor_service.cli.peers import peers
from dcm_processor_service.cli.run import run

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which hold patient data
    help="Runs code that processes medical images: on a laptop over a folder of scans, or as a job of the platform.",
    epilog="Exit codes: 0 done, 1 the callback failed, 2 configuration, 3 try again later, 143 ended by SIGTERM.",
)
app.command("run")(run)
app.command("exec")(execute)
app.command("inspect")(inspect)
app.command("convert")(convert)
app.command("derive")(derive)
app.command("pdf")(pdf)
app.command("send")(send)
app.command("echo")(echo)
app.command("probe")(probe)
app.add_typer(peers, name="peers")
app.command("doctor")(doctor)
