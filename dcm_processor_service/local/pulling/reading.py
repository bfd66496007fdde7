"""Reads DICOM files, however malformed they are; no message shows a value from a file."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from dcm_processor_service.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import DataElement, Dataset
    from pydicom.dataset import FileDataset

__all__ = ["PIXELS", "quiet", "read_dataset", "said", "texts"]

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@contextmanager
def quiet() -> Iterator[None]:
    """Suppresses pydicom's warnings and log lines, since they print values."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)


def read_dataset(content: bytes, *, header_alone: bool = False) -> FileDataset:
    """Reads a DICOM file; with ``header_alone`` only up to the pixels, and even if it lacks the prefix ``DICM``.

    Raises:
        UnreadableFileError: It is not a DICOM file.
    """
    from pydicom import dcmread

    try:
        with quiet():
            return dcmread(BytesIO(content), stop_before_pixels=header_alone, force=header_alone)
    except Exception as error:  # noqa: BLE001  pydicom raises many kinds for a damaged file
        raise UnreadableFileError(f"not readable as DICOM ({type(error).__name__})", faulty=True) from None


def said(dataset: Dataset, keyword: str) -> set[str]:
    """Returns the values of an attribute, as texts in capitals; none if it is missing or malformed."""
    with quiet():
        try:
            return {text.strip().upper() for text in texts(dataset[keyword]) if text.strip()}
        except Exception:  # noqa: BLE001  a malformed element may raise anything
            return set()


def texts(element: DataElement) -> Iterator[str]:
    """Yields the values of an element, as texts; nothing for a sequence or for bytes."""
    if element.VR == "SQ" or element.value is None:
        return
    for one in element.value if element.VM > 1 else [element.value]:
        if not isinstance(one, bytes):
            yield str(one)
