"""Segments voxels brighter than a threshold, and makes a DICOM segmentation and a report of them.

Try it on a scan that comes with pydicom (the extra ``highdicom`` makes the segmentation)::

    dcm-processor-service run examples/threshold_segmentation.py --sample --param threshold=-50 --param structure=Tissue

With a peer the results go there as well: ``--peer PACS=ORTHANC@127.0.0.1:4242 --param send_to=PACS``.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from dcm_processor_service import RuntimeContext


class Params(BaseModel):
    """The params, which the service's manifest or ``--param`` sets."""

    threshold: float = Field(default=150.0, description="In the unit of the series; HU for CT")
    structure: str = "Bone"
    send_to: str = ""


def run(ctx: RuntimeContext, params: Params) -> dict[str, float]:
    """Stores the mask as NIfTI and as SEG, and its volume in ml."""
    dicom, files = ctx.session.dicom, ctx.session.files
    series = dicom.get_series()
    volume = series.volume()
    mask = volume.like((volume.array > params.threshold).astype(np.uint8))
    volume_ml = float(mask.array.sum() * np.prod(mask.spacing_mm) / 1000)

    files.save("mask.nii.gz", mask.to_nifti())
    segmentation = dicom.derive.segmentation({params.structure: mask.array.astype(bool)}, like=series)
    report = dicom.derive.text_report(f"{params.structure}: {volume_ml:.1f} ml", like=series)
    files.save("segmentation.dcm", segmentation)
    files.save("report.dcm", report)
    ctx.session.data["volume_ml"] = volume_ml
    if params.send_to:
        dicom.send([segmentation, report], to=params.send_to)
    return {"volume_ml": volume_ml}
