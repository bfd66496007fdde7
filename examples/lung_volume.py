"""Measures the lung in a CT, sends a segmentation, coloured pictures and a PDF to a PACS, and asks it for them.

Try it on a scan that comes with pydicom (the extra ``highdicom`` makes the segmentation)::

    dcm-processor-service run examples/lung_volume.py --sample

With a peer the results go there, and the job fails unless the peer says that it holds each of them::

    dcm-processor-service run examples/lung_volume.py --sample --peer PACS=ORTHANC@127.0.0.1:4242 --param send_to=PACS
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from dcm_processor_service import RuntimeContext, SendOptions


class Params(BaseModel, extra="forbid"):
    """The params, which the service's manifest or ``--param`` sets."""

    threshold: float = Field(default=-400.0, description="Voxels below this value count as lung, in HU")
    send_to: str = Field(default="", description="Name of the peer that gets the results; empty: none")


def run(ctx: RuntimeContext, params: Params) -> dict[str, float]:
    """Stores the volume in ml and the derived objects; sends these to the peer that ``send_to`` names."""
    dicom, files = ctx.session.dicom, ctx.session.files
    series = dicom.get_series()
    volume = series.volume()  # in HU; refused unless the series is one uniform volume
    lung = volume.array < params.threshold
    volume_ml = float(lung.sum() * np.prod(volume.spacing_mm) / 1000)
    ctx.session.data["volume_ml"] = volume_ml
    files.save("mask.nii.gz", volume.like(lung.astype(np.uint8)).to_nifti())  # report.html draws its outline

    ctx.progress(0.5, "making DICOM")
    fullest = int(lung.sum(axis=(0, 1)).argmax())
    made = [
        dicom.derive.segmentation({"Lung": lung}, like=series),
        *dicom.derive.overlay(volume, {"Lung": lung}, like=series, slices=[fullest], text=f"{volume_ml:.1f} ml"),
        dicom.derive.pdf(one_page(volume.preview(lung)), like=series, title="Lung volume", shows_identity=False),
    ]
    for dataset in made:
        files.save(f"{dataset.Modality.lower()}-{dataset.SOPClassUID.name.split()[0].lower()}.dcm", dataset)
    if params.send_to:
        report = dicom.send(made, to=params.send_to, options=SendOptions(verify=True))
        ctx.log.info("sent", stored=report.stored)
    return {"volume_ml": volume_ml, "objects": len(made)}


def one_page(picture: bytes) -> bytes:
    """Returns a PDF of one page that shows a picture, a PNG file."""
    page = BytesIO()
    Image.open(BytesIO(picture)).convert("RGB").save(page, "PDF")
    return page.getvalue()
