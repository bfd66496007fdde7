"""The commands, one module each."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from dcm_processor_service.cli.console import example, output_console
from dcm_processor_service.cli.describe import describe
from dcm_processor_service.cli.doctor import doctor
from dcm_processor_service.cli.execute import execute
from dcm_processor_service.cli.images import convert, inspect
from dcm_processor_service.cli.network import echo, probe, send
from dcm_processor_service.cli.objects import derive, pdf
from dcm_processor_service.cli.peers import peers
from dcm_processor_service.cli.retrieval import fetch, find
from dcm_processor_service.cli.run import run
from dcm_processor_service.cli.service import check, new
from dcm_processor_service.cli.sessions import sessions

__all__ = ["app"]


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it with the option's value
    if wanted:
        output_console().print(f"dcm-processor-service {metadata.version('dcm-processor-service')}")
        raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which hold patient data
    epilog="Exit codes: 0 done, 1 the callback failed, 2 configuration, 3 try again later, 143 ended by SIGTERM.",
)


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end")
    ] = False,
) -> None:
    """Runs code that processes medical images: on a laptop over a folder of scans, or as a job of the platform."""


app.command("run", epilog=example("run segment.py --dicom scans --param threshold=0.5"))(run)
app.command("new", epilog=example("new lung --template segmentation"))(new)
app.command("check", epilog=example("check lung --schema"))(check)
app.command("describe", epilog=example("describe lung --json"))(describe)
app.command("exec", epilog=example("exec their_service.segment:run"))(execute)
app.command("inspect", epilog=example("inspect scans --html inspection.html"))(inspect)
app.command("convert", epilog=example("convert scans niftis --policy largest"))(convert)
app.command("derive", epilog=example("derive mask.nii.gz --like scans/ct --out results --kind seg --segment liver=1"))(
    derive
)
app.command("pdf", epilog=example('pdf report.pdf --like scans/ct --out results --title "Liver volume"'))(pdf)
app.command("send", epilog=example("send results --to ORTHANC@127.0.0.1:4242 --associations 4"))(send)
app.command("find", epilog=example("find ORTHANC@127.0.0.1:4242 --patient-id 4711 --study-date 20240101-"))(find)
app.command("fetch", epilog=example("fetch ORTHANC@127.0.0.1:4242 --patient-id 4711 --modality CT --out priors"))(fetch)
app.command("echo", epilog=example("echo ORTHANC@127.0.0.1:4242"))(echo)
app.command("probe", epilog=example("probe ORTHANC@127.0.0.1:4242"))(probe)
app.add_typer(peers, name="peers")
app.add_typer(sessions, name="sessions")
app.command("doctor", epilog=example("doctor --json"))(doctor)
