"""Compares a CT with the patient's last CT before it, which is fetched from the PACS that sent the images.

Try it on a scan that comes with pydicom, with a PACS that holds an earlier one of the same patient::

    dcm-processor-service run examples/prior_comparison.py --sample --peer PACS=ORTHANC@127.0.0.1:4242
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from dcm_processor_service import RuntimeContext, SeriesKind, Volume


class Params(BaseModel, extra="forbid"):
    """The params, which the service's manifest or ``--param`` sets."""

    threshold: float = Field(default=-400.0, description="Voxels below this value count as lung, in HU")


def run(ctx: RuntimeContext, params: Params) -> dict[str, float | None]:
    """Stores a text report of both volumes in ml and the change in percent, or of one volume if there is no prior."""
    dicom = ctx.session.dicom
    series = dicom.get_series()
    now_ml = measured_ml(series.volume(), params.threshold)

    ctx.progress(0.3, "fetching the prior")
    priors = dicom.priors(modality="CT", most=1)  # raises if a study may be of another patient
    volumes = [prior for prior in priors.series if prior.inspect().kind is SeriesKind.VOLUME]  # no localizer
    before_ml = measured_ml(volumes[0].volume(), params.threshold) if volumes else None
    change = (now_ml - before_ml) / before_ml * 100 if before_ml else None

    text = f"Lung: {now_ml:.2f} ml."
    if before_ml is not None:
        text += f" Before: {before_ml:.2f} ml." + (f" Change: {change:+.0f} %." if change is not None else "")
    ctx.session.files.save("report.dcm", dicom.derive.text_report({"findings": text}, like=series))
    return {"now_ml": now_ml, "before_ml": before_ml, "change_percent": change}


def measured_ml(volume: Volume, threshold: float) -> float:
    """Returns the volume of the voxels below a threshold, in ml."""
    return float((volume.array < threshold).sum() * np.prod(volume.spacing_mm) / 1000)
