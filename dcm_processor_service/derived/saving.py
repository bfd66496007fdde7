"""Writes datasets to files, each whole or not at all, and under a name without patient data."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from pydicom import dcmread

from dcm_processor_service.derived.fingerprint import fingerprint
from dcm_processor_service.derived.validation import validate
from dcm_processor_service.derived.writing import write_object
from dcm_processor_service.disk import exists, write_whole
from dcm_processor_service.errors import DerivedObjectError
from dcm_processor_service.imaging.headers.instance_file import contained, read_dataset
from dcm_processor_service.imaging.headers.values import integer, text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.derived.validation import Spelling

__all__ = ["save"]

_SHOWN = 5


def save(datasets: Iterable[Dataset], directory: Path, *, check: bool = True, replace: bool = True) -> list[Path]:
    """Writes each dataset as ``<modality>-<series>-<number>.dcm``.

    ``<series>`` is the last 12 digits of the SeriesInstanceUID, so that files of two series have different names.

    Args:
        datasets: Objects of one or several series, in any order.
        directory: Folder to write to, which is made if it is missing.
        check: Whether a dataset with problems (:func:`validate`) is refused; problems that come from its source are
            allowed.
        replace: Whether a file of an earlier run is replaced. If not, a file with another result raises an error, and a
            file with the same result stays.

    Raises:
        DerivedObjectError: A dataset has problems, or the UID or file name of an earlier one. This dataset is not
            written; the datasets before it are.
        LocalFileError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from dcm_processor_service.derived import Producer, Recipe, StudyIdentity, encapsulated_pdf
        >>> who = StudyIdentity(patient_id="P1", study_instance_uid="2.25.1")
        >>> made = encapsulated_pdf(b"%PDF-1.4", who, Recipe(Producer("reporter", "1.0"), role="report"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.suffix for path in save([made], Path(folder))]
        ['.dcm']
    """
    written: dict[Path, None] = {}  # a set that keeps the order
    uids: set[str] = set()
    known: set[Spelling] = set()
    for dataset in datasets:
        uid = text(dataset, "SOPInstanceUID")
        if uid in uids:
            raise DerivedObjectError(
                f"two objects have the SOPInstanceUID {uid}, and an archive would keep one of them: make each with a "
                "role of its own"
            )
        uids.add(uid)
        if check:
            _refuse_problems(dataset, known)
        path = directory / _name(dataset)
        if path in written:
            raise DerivedObjectError(
                f"two instances of series {text(dataset, 'SeriesInstanceUID')} have one InstanceNumber: number them"
            )
        if replace or not _is_saved_already(dataset, path):
            with write_whole(path) as file:
                write_object(file, dataset)
        written[path] = None
    return list(written)


def _is_saved_already(dataset: Dataset, path: Path) -> bool:
    """Tells whether the file already holds the same result.

    Raises:
        DerivedObjectError: The file holds another result.
    """
    if not exists(path):
        return False
    if fingerprint(read_dataset(path)) == fingerprint(_as_read(dataset)):
        return True
    raise DerivedObjectError(
        f"{path.name} is there already and holds another result with the same UID: give this one a role of its own or "
        "another folder, or say that it may be replaced"
    )


def _as_read(dataset: Dataset) -> Dataset:
    """Returns an object as it is read back from a file, since a file may spell values differently."""
    file = io.BytesIO()
    write_object(file, dataset)
    file.seek(0)
    with contained():
        return dcmread(file)


def _name(dataset: Dataset) -> str:
    modality = re.sub(r"[^A-Z0-9]", "", text(dataset, "Modality").upper()) or "OT"
    series = re.sub(r"\D", "", text(dataset, "SeriesInstanceUID"))[-12:]
    return f"{modality}-{series}-{integer(dataset, 'InstanceNumber') or 0:05d}.dcm"


def _refuse_problems(dataset: Dataset, known: set[Spelling]) -> None:
    problems = [each for each in validate(dataset, known) if each.about == "object"]
    if problems:
        lines = [f"{each.tag} {each.keyword}: {each.rule}; {each.remedy}" for each in problems[:_SHOWN]]
        more = f"\n… and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DerivedObjectError(
            f"instance {text(dataset, 'SOPInstanceUID')} breaks rules of the standard:\n" + "\n".join(lines) + more
        )
