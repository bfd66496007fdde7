"""Verifies that this package and dcm2niix, which share no code, read the same voxels from a series."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dcm_processor_service.errors import NiftiConversionError, UnsupportedValueError
from dcm_processor_service.imaging.nifti.engine_dcm2niix import check_against_series, run_dcm2niix
from dcm_processor_service.imaging.nifti.task import ConversionTask
from dcm_processor_service.imaging.series.inspection import examine
from dcm_processor_service.imaging.series.policies import chosen_stacks
from dcm_processor_service.models import SeriesKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dcm_processor_service.imaging.nifti.dcm2niix_image import Dcm2niixImage
    from dcm_processor_service.models.images.limits import Limits
    from dcm_processor_service.models.images.nifti import Policy

__all__ = ["verified", "verify_series"]


def verify_series(paths: Sequence[Path], policy: Policy, limits: Limits, folder: Path) -> None:
    """Does the same as :func:`verified`, without a destination; temporary files are in ``folder``."""
    with verified(ConversionTask(examine(paths, limits), folder / "volume.nii", policy, "none", limits)):
        pass


@contextmanager
def verified(task: ConversionTask) -> Iterator[tuple[Dcm2niixImage, ...]]:
    """Converts a series with dcm2niix, and compares every voxel with the voxels that this package reads.

    Yields the images of dcm2niix. They are in a temporary folder beside the destination, which is removed at the end of
    the ``with`` block.

    Raises:
        InvalidSeriesError: The policy refuses the series.
        NiftiConversionError: Voxels differ, or dcm2niix cannot read the series; the message says how or why.
        UnsupportedValueError: The policy is ``resample``, which interpolates voxels.
    """
    report = task.inspection.report
    if task.policy == "resample":
        raise UnsupportedValueError(
            "policy resample interpolates voxels, so nothing can be compared: verify with another policy"
        )
    is_mosaic = report.kind is SeriesKind.MOSAIC
    expected = 1 if is_mosaic else len(chosen_stacks(task.inspection, task.policy))
    parent = task.destination.parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".verify-") as folder:
        images = run_dcm2niix(task.image_paths, Path(folder), report, task.timeout_s, task.dcm2niix_program)
        check_against_series(images, task, whole=True)
        if len(images) < expected:
            raise NiftiConversionError(
                f"series {report.series_instance_uid} cannot be verified: dcm2niix makes {len(images)} images of it, "
                f"and policy {task.policy} {expected}"
            )
        yield images
