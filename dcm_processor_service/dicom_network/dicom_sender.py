"""The sender of the 0.0.1 API, with its names and results; a thin layer over :mod:`.sender`.

Part of the 0.0.1 API; stays until 2.0.

Code that uses it still works. If a method returns an empty list, there was nothing to send. If no association could be
opened, an error says why. New code uses ``ctx.session.dicom.send``.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydicom import Dataset

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.imaging.headers.fast_scan import LONG_VALUE_BYTES, scan_instance
from dcm_processor_service.imaging.headers.folder import DicomFolders, dicomdir_files, files_in
from dcm_processor_service.imaging.headers.instance_file import read_dataset
from dcm_processor_service.models import LeftOutFile, Outcome, Peer, SendOptions
from dcm_processor_service.models.files import left_out_sentences
from dcm_processor_service.models.network.peers import DEFAULT_AE_TITLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dcm_processor_service.models import InstanceRecord

__all__ = ["DicomSender"]

_LOG = logging.getLogger(__name__)

_StrPath: TypeAlias = "str | os.PathLike[str]"
_Filter: TypeAlias = "Callable[[Dataset], object] | None"

_CONTEXT_NOT_ACCEPTED = 0xC001  # the 0.0.1 API's status if the peer accepted no presentation context for an instance
_ANY_TITLE = "ANY-SCP"
_OPTIONS = SendOptions(check=False)
_OVERRIDES = {
    "host": "host",
    "port": "port",
    "aet": "ae_title",
    "ae_title": "ae_title",
    "tls": "tls",
    "enable_tls": "tls",
    "cert_file": "cert_file",
    "tls_cert_file": "cert_file",
    "key_file": "key_file",
    "tls_key_file": "key_file",
    "ca_file": "ca_file",
    "tls_ca_file": "ca_file",
    "trusted_ca": "trusted_ca",
    "tls_trusted_ca": "trusted_ca",
}


class DicomSender:
    """Sends to one peer.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.dicom.send``.

    Every method takes keyword arguments with values for that call only: ``host``, ``port``, ``aet``, ``tls``,
    ``cert_file``, ``key_file``, ``ca_file``, ``trusted_ca``.

    Args:
        ae_title: Our own AE title (the calling AE title).
        server_host: The peer's host name or address.
        server_port: The peer's port.
        server_ae_title: The peer's AE title (the called AE title).
        enable_tls: Whether to use TLS.
        tls_cert_file: PEM file of our certificate; only for peers that require one.
        tls_key_file: PEM file of our certificate's key.
        tls_ca_file: PEM file of the certificate authority that issued the peer's certificate.
        tls_trusted_ca: Whether to trust the certificate authorities of this machine instead.
        additional_sops: Ignored: the instances determine the contexts to propose.
        additional_syntaxes: Ignored.

    Raises:
        pydantic.ValidationError: A title, host or port is not valid.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> from dcm_processor_service.testing import FakePacs
        >>> with FakePacs() as pacs:
        ...     sender = DicomSender("OURS", pacs.peer.host, pacs.peer.port, server_ae_title=pacs.peer.ae_title)
        ...     statuses = sender.send_dicom_from_filelist([get_testdata_file("CT_small.dcm")])
        >>> [status.Status for status in statuses], pacs.titles
        ([0], [('OURS', 'FAKEPACS')])
    """

    def __init__(
        self,
        ae_title: str | None,
        server_host: str,
        server_port: int | str,
        server_ae_title: str | None = None,
        enable_tls: bool = False,  # noqa: FBT001  the 0.0.1 API's signature
        tls_cert_file: str | None = None,
        tls_key_file: str | None = None,
        tls_ca_file: str | None = None,
        tls_trusted_ca: bool = False,  # noqa: FBT001  the 0.0.1 API's signature
        additional_sops: Iterable[str] | None = None,  # noqa: ARG002  kept for callers
        additional_syntaxes: Iterable[str] | None = None,  # noqa: ARG002  kept for callers
    ) -> None:
        self._settings: dict[str, Any] = {
            "ae_title": server_ae_title or _ANY_TITLE,
            "host": server_host,
            "port": server_port,
            "calling_ae_title": ae_title or DEFAULT_AE_TITLE,
            "tls": enable_tls,
            "cert_file": tls_cert_file,
            "key_file": tls_key_file,
            "ca_file": tls_ca_file,
            "trusted_ca": tls_trusted_ca,
        }
        self._peer({})
        self._sender = PynetdicomSender()

    def send_dicom_from_path(
        self, path: _StrPath, filter_callback: _Filter = None, **overrides: object
    ) -> list[Dataset]:
        """Sends the DICOM files of a folder, but not those of its subfolders, in the order of their names.

        Files that are not DICOM instances or are damaged are left out; the log says how many.

        Args:
            path: The folder.
            filter_callback: Called with each dataset; a dataset for which it returns a false value is left out.
            **overrides: Values for this call only, see :class:`DicomSender`.

        Returns:
            One dataset with the status for each file that was not left out; it is empty if the peer did not answer.

        Raises:
            PeerUnreachableError: No association could be opened; the message says why.
            ConfigurationError: A certificate file is unusable.
        """
        next(Path(path).iterdir(), None)  # a folder that is not there is an error, as in 0.0.1
        found = list(DicomFolders().read(files_in(Path(path))))
        for sentence in left_out_sentences(one for one in found if isinstance(one, LeftOutFile)):
            _LOG.warning(sentence)
        files = [one.path for one in found if not isinstance(one, LeftOutFile)]
        return self._send(_loaded(files, filter_callback), overrides)

    def send_dicom_from_filelist(
        self, filelist: Iterable[_StrPath], filter_callback: _Filter = None, **overrides: object
    ) -> list[Dataset]:
        """Sends DICOM files; arguments and result are those of :meth:`send_dicom_from_path`.

        Raises:
            PeerUnreachableError: No association could be opened; the message says why.
            ConfigurationError: A certificate file is unusable.
            InvalidSeriesError: A file is missing or is not a DICOM file.
        """
        return self._send(_loaded(map(Path, filelist), filter_callback), overrides)

    def send_dicom_from_dataset(
        self, datasets: Iterable[Dataset], filter_callback: _Filter = None, **overrides: object
    ) -> list[Dataset]:
        """Sends datasets without changing them; arguments and result are those of :meth:`send_dicom_from_path`.

        Raises:
            PeerUnreachableError: No association could be opened; the message says why.
            ConfigurationError: A certificate file is unusable.
        """
        chosen = (dataset for dataset in datasets if filter_callback is None or filter_callback(dataset))
        return self._send(chosen, overrides)

    def send_dicom_from_dicomdir(
        self, filename: _StrPath, filter_callback: _Filter = None, **overrides: object
    ) -> list[Dataset]:
        """Sends the files that a DICOMDIR lists, in its order; otherwise like :meth:`send_dicom_from_path`.

        Raises:
            PeerUnreachableError: No association could be opened; the message says why.
            ConfigurationError: A certificate file is unusable.
            InvalidSeriesError: The file is not a DICOMDIR, or a file that it lists is missing or not a DICOM file.
        """
        files = dicomdir_files(Path(filename))
        return self._send(_loaded(files, filter_callback), overrides)

    def send_echo(self, **overrides: object) -> Dataset | None:
        """Sends a C-ECHO and returns the peer's status; if the peer does not answer, logs why and returns None.

        Raises:
            ConfigurationError: A certificate file is unusable.
        """
        result = self._sender.echo(self._peer(overrides))
        if result.status is None:
            _LOG.warning("%s", result)
            return None
        status = Dataset()
        status.Status = result.status
        return status

    def _send(self, items: Iterable[Dataset | Path], overrides: dict[str, object]) -> list[Dataset]:
        report = self._sender.send(items, self._peer(overrides), options=_OPTIONS)
        return [_status(record) for record in report.records]

    def _peer(self, overrides: dict[str, object]) -> Peer:
        """Returns the peer, with the values for one call."""
        settings = dict(self._settings)
        for name, value in overrides.items():
            if name not in _OVERRIDES:
                raise TypeError(f"{name!r} cannot be overridden for one call; these can: {', '.join(_OVERRIDES)}")
            if value is not None:
                settings[_OVERRIDES[name]] = value
        if settings.pop("trusted_ca"):
            settings["ca_file"] = None
        for name in ("cert_file", "key_file", "ca_file"):
            if settings[name] is not None:
                settings[name] = os.fspath(settings[name])
        return Peer(name=str(settings["ae_title"]), **settings)


def _loaded(files: Iterable[Path | None], filter_callback: _Filter) -> Iterator[Dataset | Path]:
    """Yields the files to send; with a filter, yields the datasets that it lets pass, because it may change them."""
    for number, file in enumerate(files, start=1):
        if file is None:
            raise InvalidSeriesError(f"file {number} of those to send is outside of its DICOMDIR's folder")
        try:
            scan_instance(file, longest_value_bytes=LONG_VALUE_BYTES)
            dataset = None if filter_callback is None else read_dataset(file)
        except InvalidSeriesError as error:
            raise InvalidSeriesError(f"file {number} of those to send: {error}") from error
        if filter_callback is None or dataset is None:
            yield file
        elif filter_callback(dataset):
            yield dataset


def _status(record: InstanceRecord) -> Dataset:
    status = Dataset()
    if record.status is not None:
        status.Status = record.status
    elif record.outcome is Outcome.REFUSED:
        status.Status = _CONTEXT_NOT_ACCEPTED
    return status
