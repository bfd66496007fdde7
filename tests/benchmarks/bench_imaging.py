"""From DICOM files to images: this package beside dcm2niix, dicom2nifti and the way of the platform's former SDK.

Run ``python -m tests.benchmarks.bench_imaging`` from the root of the repository. Rounds are interleaved, so that a busy
machine is busy for everyone; read the ratios, not the seconds. ``--slices 100 --rounds 1`` gives a quick look.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from dcm2niix import bin as dcm2niix_program
from dicom2nifti import dicom_series_to_nifti
from rich.console import Console
from rich.table import Table

from dcm_processor_service.imaging.nifti.convert import AutoConverter
from dcm_processor_service.imaging.series.inspection import inspect_series
from dcm_processor_service.imaging.volumes.read import read_volume
from tests.unit.imaging.synthetic import Recipe, single_frame

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Body(Recipe):
    """A patient-like picture: smooth organs with noise on air, so that compression has its usual work."""

    @property
    def stored(self) -> np.ndarray[Any, Any]:
        random = np.random.default_rng(self.seed)
        x = np.linspace(-1, 1, self.columns)
        y = np.linspace(-1, 1, self.rows)[:, None]
        inside = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
        organs = 1050 + 300 * np.sin(8 * x) * np.cos(7 * y)
        shape = (self.volumes, self.slices, self.rows, self.columns)
        noise = random.normal(0, 10, shape).astype(np.float32) * np.where(inside, 1, 0.2).astype(np.float32)
        return np.clip(np.where(inside, organs, 24) + noise, 0, 2**self.bits_stored - 1).astype(np.int32)


CT = Body(
    columns=512,
    rows=512,
    slices=300,
    step=1.25,
    row_distance=0.7,
    column_distance=0.7,
    rescale=("1", "-1024"),
    bits_stored=12,
    extra={"WindowCenter": "40", "WindowWidth": "400", "Manufacturer": "MAKER"},
)
EPI = Body(
    columns=64,
    rows=64,
    slices=30,
    volumes=40,
    modality="MR",
    signed=False,
    bits_stored=12,
    extra={"RepetitionTime": "2000", "EchoTime": "30", "ScanningSequence": "EP", "SequenceVariant": "SK"},
)


def dcm2niix(source: Path, out: Path, *options: str) -> Path:
    subprocess.run(
        [dcm2niix_program, "-f", "x", *options, "-o", str(out), str(source)], check=True, capture_output=True
    )
    return next(path for path in sorted(out.iterdir()) if ".nii" in path.name)


def predecessor(source: Path, out: Path) -> None:
    """What the former SDK does: dcm2niix with its default gzip, then everything as float32 in memory."""
    image = nib.nifti1.Nifti1Image.from_filename(dcm2niix(source, out, "-z", "y"))
    image.get_fdata(dtype=np.float32)


def rivals(source: Path, out: Path) -> dict[str, Callable[[], Any]]:
    paths = sorted(source.iterdir())
    return {
        "inspect (headers only)": lambda: inspect_series(paths),
        "native, image in memory": lambda: read_volume(paths).to_nifti(),
        "native, .nii": lambda: AutoConverter().convert(paths, out / "n.nii", engine="native"),
        "native, .nii.gz": lambda: AutoConverter().convert(paths, out / "n.nii.gz", engine="native"),
        "engine dcm2niix, .nii.gz": lambda: AutoConverter().convert(paths, out / "d.nii.gz", engine="dcm2niix"),
        "dcm2niix -z n": lambda: dcm2niix(source, out, "-z", "n"),
        "dcm2niix -z i": lambda: dcm2niix(source, out, "-z", "i"),
        "predecessor's way": lambda: predecessor(source, out),
        "dicom2nifti, .nii.gz": lambda: dicom_series_to_nifti(str(source), str(out / "2.nii.gz")),
    }


def measure(source: Path, scratch: Path, rounds: int) -> dict[str, float]:
    out = scratch / "out"
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        shutil.rmtree(out, ignore_errors=True)
        for name, work in rivals(source, out).items():
            out.mkdir(exist_ok=True)
            gc.collect()
            begin = time.perf_counter()
            work()
            times.setdefault(name, []).append(time.perf_counter() - begin)
            shutil.rmtree(out)
    return {name: statistics.median(values) for name, values in times.items()}


_PEAK = """
import re, sys
from pathlib import Path
from dcm_processor_service.imaging.volumes.read import read_volume
paths = sorted(Path(sys.argv[1]).iterdir())
from dcm_processor_service.imaging.nifti import sidecar
from dcm_processor_service.imaging.volumes import interop  # libraries, which writing would load
from dcm_processor_service.imaging.series.inspection import inspect_series
inspect_series(paths[:3])
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
volume = read_volume(paths)
volume.to_nifti(Path(sys.argv[2]))
print((peak() - before) / volume.array.nbytes)
"""


def peak_memory(source: Path, scratch: Path) -> float:
    """Peak memory of reading and writing, above that of the loaded libraries, as a multiple of the array."""
    finished = subprocess.run(
        [sys.executable, "-c", _PEAK, str(source), str(scratch / "peak.nii.gz")],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(finished.stdout)


TARGETS = (
    ("native, image in memory", "dcm2niix -z n", 1.0),
    ("native, .nii.gz", "dcm2niix -z i", 3.0),
    ("native, .nii.gz", "predecessor's way", 5.0),
    ("native, .nii.gz", "dicom2nifti, .nii.gz", 6.0),
)


def report(console: Console, title: str, times: dict[str, float], peak: float) -> None:
    table = Table("way", "s", "against dcm2niix -z n", title=title)
    for name, seconds in times.items():
        table.add_row(name, f"{seconds:.3f}", f"{seconds / times['dcm2niix -z n']:.2f}")
    console.print(table)
    for ours, theirs, target in TARGETS:
        console.print(f"{ours} is {times[theirs] / times[ours]:.1f} times as fast as {theirs} (target {target:g})")
    console.print(f"peak memory of reading and writing .nii.gz: {peak:.2f} times the array (target below 2.2)\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=CT.slices, help="of the CT")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=110)
    cases = {"CT": replace(CT, slices=options.slices), "4D EPI": EPI}
    for name, recipe in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "dicom"
            source.mkdir()
            single_frame(recipe, source)
            shape = " x ".join(map(str, (recipe.columns, recipe.rows, recipe.slices, recipe.volumes)))
            times = measure(source, Path(folder), options.rounds)
            report(console, f"{name}, {shape}", times, peak_memory(source, Path(folder)))


if __name__ == "__main__":
    main()
