"""What the report of a run costs: processor time of the pictures and of all else in it, beside that of the run.

    python -m tests.benchmarks.bench_report

Twenty series of 60 slices of 256 x 256 with noise, which does not compress; jobs that read headers alone, that read all
pixels, and that write a volume as NIfTI.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dcm_processor_service import RuntimeContext  # noqa: TC001 annotations of callbacks are read when they run
from dcm_processor_service.local.run_report import write_run_report
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.session.reporting import AsyncReporting
from dcm_processor_service.testing import synthetic_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERIES, SLICES, SIDE = 20, 60, 256
SPENT: dict[str, float] = {}


def headers(ctx: RuntimeContext) -> int:
    return len(ctx.session.dicom.get_series().headers())


def pixels(ctx: RuntimeContext) -> int:
    return int(ctx.session.dicom.get_series().volume().array.max())


def nifti(ctx: RuntimeContext) -> None:
    ctx.session.files.save("volume.nii.gz", ctx.session.dicom.get_series().volume().to_nifti())


def labels(ctx: RuntimeContext) -> None:
    volume = ctx.session.dicom.get_series().volume()
    mask = np.zeros(volume.shape, np.uint8)
    mask[40:120, 60:180, 10:50], mask[140:220, 60:180, 10:50] = 1, 2
    ctx.session.files.save("labels.nii.gz", volume.like(mask).to_nifti())


def make_scans(folder: Path, slices: int = SLICES, side: int = SIDE) -> None:
    noise = np.random.default_rng(0).integers(-200, 200, (slices, side, side)).astype("<i2")
    [first] = synthetic_series(slices=1, rows=side, columns=side)
    for number in range(SERIES):
        first.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.1.{200 + number}"
        (folder / str(number)).mkdir()
        for k in range(slices):
            first.SOPInstanceUID, first.InstanceNumber = f"{first.SeriesInstanceUID}.{k}", k + 1
            first.ImagePositionPatient = [0, 0, 2 * k]
            first.PixelData = (noise[k] + 1024).astype("<i2").tobytes()
            first.save_as(folder / str(number) / f"{k:03}.dcm", enforce_file_format=True)


@contextmanager
def timed(*names: str) -> Iterator[None]:
    """Adds up the processor time of methods of the reporting."""
    methods = {name: getattr(AsyncReporting, name) for name in names}
    for name, method in methods.items():
        setattr(AsyncReporting, name, _timed(name, method))
    try:
        yield
    finally:
        for name, method in methods.items():
            setattr(AsyncReporting, name, method)


def _timed(name: str, method: Any) -> Any:
    async def measured(self: AsyncReporting, **options: Any) -> Any:
        started = time.process_time()
        try:
            return await method(self, **options)
        finally:
            SPENT[name] = SPENT.get(name, 0) + time.process_time() - started

    return measured


class Shares(NamedTuple):
    """Seconds of the processor."""

    pictures: float
    rest: float
    """Checksums and the page."""

    total: float


def shares(function: Callable[[RuntimeContext], Any], scans: Path, workspace: Path) -> Shares:
    """Runs a job a series; returns what the pictures and the rest of the report took of it."""
    SPENT.clear()
    with timed("pictures", "collect"):
        place, started = Workspace(workspace), time.process_time()
        filed, _catalogue = place.ingest([scans])
        runs = [place.run(function, one, filed=filed, job_name="bench", params={}) for one in filed.series]
        assert all(one.outcome.ok for one in runs)
        before_page = time.process_time()
        write_run_report(workspace, runs)
        ended = time.process_time()
    return Shares(SPENT["pictures"], SPENT["collect"] + ended - before_page, ended - started)


def measure(function: Callable[[RuntimeContext], Any], scans: Path, workspace: Path) -> str:
    pictures, rest, total = shares(function, scans, workspace)
    return (
        f"{function.__name__:8} {total:6.2f} s; pictures {pictures:5.2f} s = {pictures / total:5.1%}; "
        f"checksums and page {rest:5.2f} s = {rest / total:5.1%}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder, "scans")
        scans.mkdir()
        make_scans(scans)
        for function in (pixels, headers, pixels, nifti, labels):  # the first one loads libraries
            sys.stdout.write(measure(function, scans, Path(folder, function.__name__)) + "\n")


if __name__ == "__main__":
    main()
