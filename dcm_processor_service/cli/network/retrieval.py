"""``find`` and ``fetch``: lists and fetches what DICOM peers hold, without a session."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dcm_processor_service.cli.console import (
    error_console,
    output_console,
    print_json_line,
    progress_bar,
    sentences,
    table_of,
)
from dcm_processor_service.cli.network.bare_container import bare_container
from dcm_processor_service.cli.network.peer_options import PeerOptions, parse_address_or_url, takes_peer_options
from dcm_processor_service.cli.network.sending import AsJson
from dcm_processor_service.errors import EXIT_DONE, EXIT_FAILED, EXIT_RETRYABLE, ConfigurationError
from dcm_processor_service.models import FetchOptions, FindQuery, FoundInstance, FoundSeries, FoundStudy
from dcm_processor_service.runtime.container import opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from dcm_processor_service.models import FetchReport, FindKeys, FindLevel, FoundItem

__all__ = ["fetch", "find"]


class Level(str, Enum):
    """The level of the listed items."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


class Method(str, Enum):
    """How instances are fetched."""

    AUTO = "auto"
    C_GET = "c-get"
    C_MOVE = "c-move"


Place = Annotated[
    str, typer.Argument(help="AET@HOST:PORT, such as ORTHANC@127.0.0.1:4242, or the URL of a DICOMweb root")
]
PatientId = Annotated[str, typer.Option(help="PatientID; * and ? are wildcards, as in other texts")]
PatientName = Annotated[str, typer.Option(help="PatientName as DICOM writes it: Family^Given")]
BirthDate = Annotated[str, typer.Option(help="PatientBirthDate: YYYYMMDD")]
Accession = Annotated[str, typer.Option(help="AccessionNumber")]
StudyDate = Annotated[str, typer.Option(help="StudyDate: YYYYMMDD, or a range such as 20240101-20241231 or 20240101-")]
Modality = Annotated[str, typer.Option(help="Modality, such as CT")]
StudyUid = Annotated[list[str] | None, typer.Option("--study", help="StudyInstanceUID; may be repeated")]
SeriesUid = Annotated[list[str] | None, typer.Option("--series", help="SeriesInstanceUID; may be repeated")]
Limit = Annotated[
    int, typer.Option(min=1, help="The largest number of answers; more are an error, and the peer is told to stop")
]


@takes_peer_options
def find(
    address: Place,
    patient_id: PatientId = "",
    patient_name: PatientName = "",
    birth_date: BirthDate = "",
    accession: Accession = "",
    study_date: StudyDate = "",
    modality: Modality = "",
    study: StudyUid = None,
    series: SeriesUid = None,
    level: Annotated[Level, typer.Option(help="Which items are listed")] = Level.STUDY,
    limit: Limit = 1000,
    as_json: AsJson = False,
    *,
    peer_options: PeerOptions,
) -> None:
    """List what a peer holds, by C-FIND or QIDO-RS; --json also prints the patient of each item."""
    with sentences(), opened(bare_container(peer_options.calling)) as container:
        peer = parse_address_or_url(address, peer_options)
        keys = _keys(patient_id, patient_name, birth_date, accession, study_date, modality, study, series, limit)
        found = container.retriever().find(peer, FindQuery.of(level.value, keys))
    if as_json:
        for one in found:
            print_json_line(one.model_dump(mode="json"))
    else:
        output_console().print(_table(found, level.value))


@takes_peer_options
def fetch(
    address: Place,
    out: Annotated[Path, typer.Option(help="The folder that files are written to, a folder for each series")],
    patient_id: PatientId = "",
    patient_name: PatientName = "",
    birth_date: BirthDate = "",
    accession: Accession = "",
    study_date: StudyDate = "",
    modality: Modality = "",
    study: StudyUid = None,
    series: SeriesUid = None,
    limit: Limit = 1000,
    method: Annotated[Method, typer.Option(help="auto uses C-GET, or C-MOVE if only that works")] = Method.AUTO,
    listen_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Our port for a C-MOVE, as the peer knows it")
    ] = None,
    as_json: AsJson = False,
    *,
    peer_options: PeerOptions,
) -> None:
    """Fetch studies as files, or some of their series with --modality or --series, and report on each instance.

    Fetches by C-GET, C-MOVE or WADO-RS, and writes each file as it was received. An instance that is damaged or was not
    asked for is not kept.
    """
    with sentences(), opened(bare_container(peer_options.calling)) as container:
        peer = parse_address_or_url(address, peer_options)
        keys = _keys(patient_id, patient_name, birth_date, accession, study_date, modality, study, series, limit)
        if not keys.keys() - {"limit"}:
            raise ConfigurationError("fetch would take all that the peer holds; say what: --patient-id, --study, …")
        level: FindLevel = "series" if modality or series else "study"
        found = container.retriever().find(peer, FindQuery.of(level, keys))
        if not found:
            error_console().print("the peer found nothing that matches", soft_wrap=True)
            raise typer.Exit(EXIT_FAILED)
        options = FetchOptions(check=False, method=method.value, listen_port=listen_port)
        with progress_bar(error_console()) as progress:
            task = progress.add_task(f"fetching from {peer.name}", total=None)
            report = container.retriever().fetch(
                found,
                peer,
                out,
                options=options,
                on_record=lambda _record: progress.advance(task),
                on_begin=lambda total: progress.update(task, total=total),
            )
    _print_report(report, as_json=as_json)
    raise typer.Exit(EXIT_DONE if report.ok else EXIT_RETRYABLE if report.retryable else EXIT_FAILED)


def _print_report(report: FetchReport, *, as_json: bool) -> None:
    if not as_json:
        output_console().print(str(report), soft_wrap=True)
        return
    for record in report.records:
        print_json_line(record.model_dump(mode="json"))


def _keys(
    patient_id: str,
    patient_name: str,
    birth_date: str,
    accession: str,
    study_date: str,
    modality: str,
    study: list[str] | None,
    series: list[str] | None,
    limit: int,
) -> FindKeys:
    keys: FindKeys = {
        "patient_id": patient_id,
        "patient_name": patient_name,
        "patient_birth_date": birth_date,
        "accession_number": accession,
        "study_date": study_date,
        "modality": modality,
        "study_instance_uid": study or (),
        "series_instance_uid": series or (),
    }
    given = {name: value for name, value in keys.items() if value}
    return cast("FindKeys", {**given, "limit": limit})


def _table(found: Sequence[FoundItem], level: FindLevel) -> Table:
    heads = {
        "study": ("StudyInstanceUID", "date", "modalities", "description", "series", "instances"),
        "series": ("SeriesInstanceUID", "date", "modality", "description", "number", "instances"),
        "instance": ("SOPInstanceUID", "SOP class", "number"),
    }
    table = table_of(*heads[level])
    for one in found:
        table.add_row(*("" if value is None else str(value) for value in _row(one)))
    return table


def _row(one: FoundItem) -> tuple[object, ...]:
    if isinstance(one, FoundStudy):
        modalities = ", ".join(one.modalities)
        return one.study_instance_uid, one.study_date, modalities, one.description, one.series_count, one.instance_count
    if isinstance(one, FoundSeries):
        return one.series_instance_uid, one.study_date, one.modality, one.description, one.number, one.instance_count
    assert isinstance(one, FoundInstance)
    return one.sop_instance_uid, one.sop_class_uid, one.number
