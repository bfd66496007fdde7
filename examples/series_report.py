"""Describes a series: what it is, its volume as NIfTI, and the mean intensity of each slice.

Try it on a scan that comes with pydicom::

    dcm-processor-service run examples/series_report.py --sample
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import BaseModel

from dcm_processor_service import RuntimeContext


class SliceReport(BaseModel):
    """The values that are reported of each slice."""

    instance_number: int
    mean: float


def run(ctx: RuntimeContext) -> dict[str, int]:
    """Stores a description, a table and the volume of the job's series."""
    series = ctx.session.dicom.get_series()
    slices = [
        SliceReport(instance_number=int(dataset.InstanceNumber), mean=float(dataset.pixel_array.mean()))
        for dataset in series.datasets()
    ]
    ctx.session.data["modality"] = series.info.modality
    ctx.session.data["slices"] = slices
    ctx.session.files.save("slices.json", {"slices": slices})
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder, "volume.nii.gz")
        series.to_nifti(volume)
        ctx.session.files.put("volume.nii.gz", volume)
    return {"slice_count": len(slices)}
