"""Opens the content of a file that is to be stored, and finds its content type."""

from __future__ import annotations

import io
import mimetypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from dcm_processor_service.disk import file_faults, open_to_read
from dcm_processor_service.errors import UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileContent", "opened", "sniff_content_type"]

FileContent: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"
"""The content of a file to store: a path, bytes, or a file opened for reading bytes."""

_SNIFF_BYTES = 4096
_DICOM_PREAMBLE_BYTES = 128
_ZIP_SIGNATURE = b"PK\x03\x04"


@contextmanager
def opened(content: FileContent) -> Iterator[BinaryIO]:
    """Opens content to read its bytes; a file that the caller opened stays open.

    Raises:
        LocalFileError: The file at the path cannot be opened.
        UnsupportedValueError: The value cannot be the content of a file, or the file was opened as text.
    """
    given: object = content
    if isinstance(given, io.TextIOBase):
        raise UnsupportedValueError("the file was opened as text, so its bytes are not known; open it with 'rb'")
    if isinstance(content, (bytes, bytearray, memoryview)):
        yield io.BytesIO(content.tobytes() if isinstance(content, memoryview) else content)
    elif isinstance(content, (str, os.PathLike)):
        with open_to_read(content) as source:
            yield cast("BinaryIO", _Content(source))
    elif hasattr(content, "read"):
        yield cast("BinaryIO", _Content(content))  # not closed here: the caller opened it, and will close it
    else:
        raise UnsupportedValueError(
            f"a {type(content).__name__} is not file content; give a path, bytes or a file opened with 'rb', or store "
            "a value with session.files.save(name, value)"
        )


class _Content:
    """A stream of bytes whose exceptions become errors of this package, whichever store reads it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._name = str(getattr(stream, "name", type(stream).__name__))

    def read(self, size: int = -1) -> bytes:
        with file_faults(self._name, "read"):
            content: object = self._stream.read(size)
        if not isinstance(content, bytes):
            raise UnsupportedValueError(
                f"reading the content returns {type(content).__name__} in place of bytes; open it with 'rb'"
            )
        return content

    def seekable(self) -> bool:
        """Returns whether the stream can be read again; a stream that has only ``read`` cannot."""
        with file_faults(self._name, "read"):
            return hasattr(self._stream, "seekable") and self._stream.seekable()

    def tell(self) -> int:
        with file_faults(self._name, "read"):
            return self._stream.tell()

    def seek(self, offset: int) -> int:
        with file_faults(self._name, "read"):
            return self._stream.seek(offset)


def sniff_content_type(name: str, source: BinaryIO) -> str:
    """Returns the content type that the first bytes show, or else the name; restores the position of ``source``."""
    import puremagic

    by_name = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not source.seekable():
        return by_name
    start = source.tell()
    head = source.read(_SNIFF_BYTES)
    source.seek(start)
    if head[_DICOM_PREAMBLE_BYTES:].startswith(b"DICM"):  # PS3.10, section 7.1
        return "application/dicom"
    try:
        guesses = puremagic.magic_string(head, filename=name)
    except (puremagic.PureError, ValueError):  # the content is empty or of no known type
        return by_name
    if not guesses:
        return by_name
    best = [guess.mime_type for guess in guesses if guess.confidence == guesses[0].confidence]
    if head.startswith(_ZIP_SIGNATURE) and len(best) > 1:  # many document formats are ZIP files: the name decides
        return by_name if mimetypes.guess_type(name)[0] else "application/zip"
    return best[0] or by_name
