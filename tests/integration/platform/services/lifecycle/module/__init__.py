"""A service with a job for every event of the platform, in both styles: of this package and of its predecessor."""

from __future__ import annotations

import base64
import logging
import sys
import tempfile
import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from dcm_processor_service import (
    RuntimeContext,
    download_session_file,
    entrypoint,
    get_dicom_sender,
    get_series_dicom,
    get_session_data,
    has_session_file,
    make_pdf_dicom,
    make_series_dicom,
    set_session_data,
    upload_session_file,
)
from dcm_processor_service.errors import AmbiguousJobError


def _measure(ctx: RuntimeContext) -> dict[str, Any]:
    """Stable series: measures the series and leaves numbers and a volume for the jobs after it."""
    series = ctx.session.dicom.get_series()
    mean = np.mean([float(dataset.pixel_array.mean()) for dataset in series.datasets()])
    measurement = {
        "series_instance_uid": series.series_instance_uid,
        "instance_count": series.instance_count(),
        "mean": mean,
        "scaled": mean * ctx.job.params["factor"],
        "told_by_registry": ctx.job.added_params["measure"]["told_by_registry"],
        "measured_at": datetime.now(timezone.utc),
    }
    ctx.session.data["measurement"] = measurement
    with tempfile.TemporaryDirectory() as folder:
        converted = series.to_nifti(Path(folder, "volume.nii.gz"))
        ctx.session.files.put("volume.nii.gz", converted.paths[0], metadata={"engine": converted.engine})
    # as rich as callbacks return things: each of these kills a job of the bare worker
    return {**measurement, "huge": 2**80, "mean_array": np.asarray([mean]), "path": Path("volume.nii.gz")}


def _summarise(ctx: RuntimeContext) -> dict[str, Any]:
    """Stable study: reads what the jobs of every series left, by the name of the job."""
    found = ctx.session.data.collect("measurement", job="measure")
    volumes = {}
    for output in found.values():
        image = ctx.session.files.load("volume.nii.gz", job=output.job)
        volumes[output.value["series_instance_uid"]] = list(image.shape)
    try:
        ctx.session.data.get("measurement", job="measure")
        ambiguous = "one of two was chosen"
    except AmbiguousJobError as error:
        ambiguous = f"{len(error.job_ids)} jobs of that name"
    summary = {
        "means": {output.value["series_instance_uid"]: output.value["mean"] for output in found.values()},
        "volumes": volumes,
        "ambiguous": ambiguous,
        "from_legacy": ctx.session.data.get("legacy", job="legacy"),
        "note": ctx.session.files.read("note.txt", job="legacy").decode(),
        "params": ctx.job.params,
        "python": sys.executable,
        "session_is_that_of_arguments": ctx.session.id == ctx.job.read().session_id,
    }
    ctx.session.data["summary"] = summary
    return summary


def _report(ctx: RuntimeContext) -> dict[str, Any]:
    """Stable patient: sends a report and a derived series to the archive, and notes what the archive said."""
    summary = ctx.session.data.get("summary", job="summarise")
    series = max(ctx.session.dicom.series(), key=lambda one: one.instance_count())
    datasets = list(series.datasets())
    text = f"%PDF-1.4 mean of {len(summary['means'])} series".encode()
    report = make_pdf_dicom(datasets[0], base64.b64encode(text).decode(), "Report")
    derived = make_series_dicom(datasets[0], datasets, "Derived")
    sender = get_dicom_sender("archive")
    if sender is None:
        raise RuntimeError("the archive is not known")
    statuses = sender.send_dicom_from_dataset([report])
    ctx.progress(0.5, "report sent")
    sent = ctx.session.dicom.send(derived, to="archive")
    # what must never be seen: whoever logs it, it stands in no log
    name = datasets[0].PatientName
    ctx.log.info("sent to the archive", patient=str(name))
    logging.getLogger("another.library").warning("sent %s", name)
    warnings.warn(f"sent {name}", stacklevel=1)
    return {"statuses": [int(status.Status) for status in statuses], "ok": sent.ok, "stored": sent.stored}


measure = entrypoint(_measure)
summarise = entrypoint(_summarise)
report = entrypoint(_report)


def legacy(
    session_id: str,
    job_name: str,
    headers: dict[str, Any],
    params: dict[str, Any],
    added_params: dict[str, Any],
    **kwargs: Any,
) -> dict[str, Any]:
    """Stable series, written for the 0.0.1 API: arguments and functions, no context."""
    measured = get_session_data("measurement", job_name="measure")
    datasets = get_series_dicom(headers["_id"]) or []
    volume = download_session_file("volume.nii.gz", job_name="measure")
    set_session_data("legacy", {"mean": measured["mean"], "instances": len(datasets)})
    upload_session_file(b"written by the old style", "note.txt", ext=".txt")
    return {
        "session_id": session_id,
        "job_name": job_name,
        "event": kwargs["event"],
        "params": params,
        "added": sorted(added_params),
        "series": measured["series_instance_uid"],
        "volume_is_gzip": volume is not None and volume.read(2) == b"\x1f\x8b",
        "note_is_there": has_session_file("note.txt"),
    }
