"""A folder with everything that a folder of scans may contain besides scans."""

from __future__ import annotations

import gzip
import os
import zipfile
from typing import TYPE_CHECKING

from pydicom import dcmread

from dcm_processor_service.testing import synthetic_series
from tests.unit.dicom_network.instances import write_dicomdir

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LEFT_OUT", "TAKEN", "make_awkward_folder"]

IS_ROOT = os.geteuid() == 0
"""Whether a folder can be closed to this user; root can open every folder."""

_ENDLESS_SEQUENCE = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"

TAKEN = ("1.dcm", "2", "b/3.dcm", "b/bare", "b/linked.dcm")
"""The files with an instance, in order."""

LEFT_OUT = {
    ".hidden.dcm": "hidden, its name begins with a dot: name it to use it",
    ".thumbnails": "hidden, its name begins with a dot: name it to use it",
    "DICOMDIR": "a DICOMDIR, which lists other files",
    "b/copy.dcm": "the same instance as another file",
    "circle.dcm": "a link that leads in a circle",
    "damaged.dcm": "damaged, its header cannot be read: get it again",
    "dangling.dcm": "a link that leads nowhere",
    "empty.dcm": "empty",
    "folder-link": "a link to a folder, which is not followed: name that folder to use it",
    "loop": "a link to a folder, which is not followed: name that folder to use it",
    "notes.txt": "not readable as DICOM",
    "packed.dcm.gz": "packed with gzip: unpack it first",
    "packed.zip": "packed as ZIP: unpack it first",
    "pipe.dcm": "a pipe, socket or device",
    **({} if IS_ROOT else {"secret": "unreadable (PermissionError): check that it exists and may be read"}),
    "truncated.dcm": "cut off inside its header: get it again",
    "truncated-bare": "cut off inside its header: get it again",
    "unreadable.dcm": "unreadable (OSError): check that it exists and may be read",
    "without-uid.dcm": "without a readable StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID",
}
"""The other files, and the reason that is reported for each."""


def make_awkward_folder(folder: Path, outside: Path) -> Path:
    """Writes the five slices of one series, and files that are left out; some links lead to ``outside``."""
    (folder / "b").mkdir(parents=True)
    outside.mkdir()
    slices = synthetic_series(slices=5)
    for dataset, place in zip(
        slices, (folder / "1.dcm", folder / "2", folder / "b/3.dcm", folder / "b/bare", outside / "5.dcm"), strict=True
    ):
        dataset.save_as(place, enforce_file_format=True)
    whole = (folder / "1.dcm").read_bytes()
    bare = folder / "b/bare"
    meta = 144 + int(dcmread(bare).file_meta.FileMetaInformationGroupLength)
    bare.write_bytes(bare.read_bytes()[meta:])
    (folder / "b/linked.dcm").symlink_to(outside / "5.dcm")
    (folder / "b/copy.dcm").write_bytes(whole)
    (folder / ".hidden.dcm").write_bytes(whole)
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails/1.dcm").write_bytes(whole)
    write_dicomdir(folder, ("2",))
    (folder / "circle.dcm").symlink_to(folder / "circle.dcm")
    (folder / "dangling.dcm").symlink_to(folder / "nowhere")
    (folder / "folder-link").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "damaged.dcm").write_bytes(whole[:meta] + _ENDLESS_SEQUENCE * 4000)
    (folder / "empty.dcm").touch()
    (folder / "notes.txt").write_text("no scan")
    (folder / "packed.dcm.gz").write_bytes(gzip.compress(whole))
    with zipfile.ZipFile(folder / "packed.zip", "w") as packed:
        packed.write(folder / "1.dcm")
    os.mkfifo(folder / "pipe.dcm")
    (folder / "truncated.dcm").write_bytes(whole[: meta + 100])
    (folder / "truncated-bare").write_bytes(bare.read_bytes()[:100])
    del slices[0].StudyInstanceUID
    slices[0].SOPInstanceUID += ".9"
    slices[0].save_as(folder / "without-uid.dcm", enforce_file_format=True)
    (folder / "unreadable.dcm").symlink_to(
        "/proc/self/mem"
    )  # a file that can be opened, but whose first bytes cannot be read
    if not IS_ROOT:
        (folder / "secret").mkdir(mode=0)
    return folder
