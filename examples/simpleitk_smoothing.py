"""Smooths a series with SimpleITK and makes DICOM of it again, on the same slices.

Try it on a scan that comes with pydicom (needs the extra ``simpleitk``)::

    dcm-processor-service run examples/simpleitk_smoothing.py --sample --param iterations=3

With MONAI (extra ``monai``) the same two lines are ``tensor = volume.to_monai()`` and ``volume.like(result)``.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 its own documentation's name for it
from pydantic import BaseModel, Field

from dcm_processor_service import RuntimeContext


class Params(BaseModel):
    """The params, which the service's manifest or ``--param`` sets."""

    iterations: int = Field(default=5, ge=1, description="More iterations smooth more")
    spacing_mm: float = Field(default=2.0, gt=0, description="Spacing of the overview, along all three axes")


def run(ctx: RuntimeContext, params: Params) -> dict[str, float | int]:
    """Stores the smoothed series as DICOM and NIfTI, and an overview on a coarse grid."""
    dicom, files = ctx.session.dicom, ctx.session.files
    series = dicom.get_series()
    volume = series.volume()
    image = sitk.Cast(volume.to_sitk(), sitk.sitkFloat32)  # LPS mm, as in DICOM

    smooth = sitk.CurvatureAnisotropicDiffusion(image, timeStep=0.03, numberOfIterations=params.iterations)
    result = volume.like(sitk.Cast(sitk.Round(smooth), sitk.sitkInt16))  # the same grid, so with its slices
    for number, instance in enumerate(dicom.derive(result, like=series, role="smoothed"), start=1):
        files.save(f"smoothed-{number:04}.dcm", instance)
    files.save("smoothed.nii.gz", result.to_nifti())

    zoom = np.array(image.GetSpacing()) / params.spacing_mm
    size = [max(1, round(count * factor)) for count, factor in zip(image.GetSize(), zoom, strict=True)]
    coarse = sitk.Resample(
        smooth,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        [params.spacing_mm] * 3,
        image.GetDirection(),
    )
    overview = volume.like(coarse)  # another grid, at the place that SimpleITK gives
    files.save("overview.nii.gz", overview.to_nifti())
    removed = float(np.abs(result.array.astype(float) - volume.array).mean())
    return {"slices": result.shape[2], "mean_change": removed}
