"""The functions of the 0.0.1 API: data, files and peers of this process's own job.

Part of the 0.0.1 API; stays until 2.0.

They have the names, parameters and results of 0.0.1, and read and write the same session as ``ctx.session``. Functions
that were broken in 0.0.1 work here. Each docstring names the differences of its function, and ``docs/migrating.md``
lists all. New code uses a context.
"""

from __future__ import annotations

import logging
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from dcm_processor_service.codec import check_name, check_text, shown, to_normal
from dcm_processor_service.disk import file_faults
from dcm_processor_service.errors import ConfigurationError, StoredFileNotFoundError
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.own_session import own_container, own_session
from dcm_processor_service.session.files import RESERVED_METADATA, put_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from dcm_processor_service.dicom_network import DicomSender
    from dcm_processor_service.session.file_content import FileContent

__all__ = [
    "download_session_file",
    "get_dicom_sender",
    "get_mgr",
    "get_peer",
    "get_session_data",
    "get_session_file",
    "has_session_data",
    "has_session_file",
    "remove_session_data",
    "remove_session_file",
    "set_session_data",
    "upload_session_file",
]

_LOG = logging.getLogger(__name__)


def get_mgr() -> Any:
    """Returns a new ``DBManager`` of the platform's package ``dcm-processor-db-provider``, over this job's database.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session``.

    This package itself does not use it. Unlike in 0.0.1, each call makes a new one.

    Raises:
        ConfigurationError: That package is not installed here.
    """
    try:
        manager = import_module("dcm_processor_db_provider").DBManager
    except ImportError as error:
        raise ConfigurationError(
            "get_mgr() needs the platform's package: pip install dcm-processor-db-provider; ctx.session does without it"
        ) from error
    settings = own_container().settings()
    return manager(dburl=settings.db_url.get_secret_value(), dbname=settings.db_name, dbprovider=settings.db_provider)


def get_session_data(name: str, default: Any = None, job_name: str | None = None) -> Any:
    """Returns a value of this job, or of another job of the session by its name; ``default`` if there is none.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.data.get``.

    Unlike in 0.0.1, ``job_name`` finds the value. Jobs for another series, study or patient are never considered. Among
    the others, the name means the job that this one depends on, else the one for the same subject, else the only one of
    that name. If no job of the session has the name, the default is returned, and the log has a warning. Datetimes come
    back with their zone, UTC.

    Raises:
        AmbiguousJobError: The name may mean several jobs.
        UpstreamFailedError: That job failed; its output is not replaced by the default.
    """
    return own_session().data.get(name, default=default, job=job_name)


def set_session_data(name: str, value: object) -> str | int:
    """Stores a value; returns the id of a new one, else 1 when it changed and 0 when it was the same.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.data.set``.

    A datetime without a time zone is taken as UTC. Unlike 0.0.1 it takes models, dataclasses, arrays and paths too, and
    concurrent writers leave one value.

    Raises:
        UnsupportedValueError: The value, or a part of it, cannot be stored; the message says which part.
    """
    container = own_container()
    documents = container.platform_documents()
    normal = to_normal(value, naive_utc=True)
    return run_inline(documents.set_value(container.job_key(), check_name(name, "data"), normal))


def has_session_data(name: str, job_name: str | None = None) -> bool:
    """Returns whether there is a value of this name; raises the errors of :func:`get_session_data`.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.data.has``.
    """
    return own_session().data.has(name, job=job_name)


def remove_session_data(name: str) -> int | None:
    """Removes a value; returns 1, or None if there was none.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.data.delete``.
    """
    return 1 if own_session().data.delete(name) else None


def upload_session_file(
    file: FileContent,
    name: str,
    meta: Mapping[str, Any] | None = None,
    content_type: str | None = None,
    ext: str | None = None,
) -> Any:
    """Stores a file, and replaces an earlier one of the name; returns its id, with MongoDB an ObjectId.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.files.put``.

    Unlike in 0.0.1, bytes need no ``content_type``, an upload that fails keeps the earlier version, and the arguments
    are not changed: an open file stays open, and ``meta`` gets no entries.

    Args:
        file: A path, bytes, or a file opened with ``rb``, which is read from its start.
        name: Name of the session file.
        meta: Values to keep with the file.
        content_type: Detected from the content when not given.
        ext: With MongoDB, the ending of the stored file's internal name, such as ``.pdf``; that of ``name`` when None.
            If ``name`` has no extension, the content type is derived from ``ext``, too.

    Raises:
        LocalFileError: The file cannot be read; LocalFileNotFoundError if there is none.
    """
    container = own_container()
    kept = {key: value for key, value in (meta or {}).items() if key not in RESERVED_METADATA}
    kept = to_normal(kept, naive_utc=True)
    if hasattr(file, "seek"):
        with file_faults(str(getattr(file, "name", type(file).__name__)), "read"):
            cast("BinaryIO", file).seek(0)
    if content_type is None and ext and "." not in name.rpartition("/")[2]:
        content_type = _content_type(ext)
    stored = run_inline(
        put_file(
            container.file_repository(),
            container.job_key(),
            container.offload(),
            name,
            file,
            content_type=content_type,
            metadata=kept,
            extension=ext or "",
        )
    )
    return container.platform_documents().file_id(stored)


def _content_type(ext: str) -> str | None:
    import mimetypes

    return mimetypes.guess_type(f"file.{ext.lstrip('.')}")[0]


def download_session_file(
    name: str, filename: str | os.PathLike[str] | None = None, job_name: str | None = None
) -> BytesIO | None:
    """Returns a file's content; None if there is no such file, or if the content is written to ``filename``.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.files.read`` and ``get``.

    Unlike in 0.0.1, it finds the file. ``filename`` appears when the content is complete.

    Raises:
        AmbiguousJobError: The name may mean several jobs.
        UpstreamFailedError: That job failed.
    """
    files = own_session().files
    if job_name is not None and not files.has(name, job=job_name):
        return None
    try:
        if filename is None:
            return BytesIO(files.read(name, job=job_name))
        files.get(name, filename, job=job_name)
    except StoredFileNotFoundError:
        pass
    return None


def get_session_file(
    name: str, select: Iterable[str] | None = None, job_name: str | None = None
) -> dict[str, Any] | None:
    """Returns the document of a file, or None: ``_id``, ``length``, ``contentType``, ``uploadDate``, ``metadata``.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.files.info``.

    Unlike in 0.0.1, it finds the file, and ``select`` names the fields to return besides ``_id``. It raises the errors
    of :func:`download_session_file`.
    """
    container = own_container()
    check_name(name, "file")
    key = run_inline(container.jobs().output_key_if_any(job_name))
    document = None if key is None else run_inline(container.platform_documents().file(key, name))
    if document is None or select is None:
        return document
    wanted = {"_id", *(field.partition(".")[0] for field in select)}
    return {field: value for field, value in document.items() if field in wanted}


def has_session_file(name: str, job_name: str | None = None) -> bool:
    """Returns whether there is a file; raises the errors of :func:`download_session_file`.

    Unlike in 0.0.1, it finds the file.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.files.has``.
    """
    return own_session().files.has(name, job=job_name)


def remove_session_file(name: str) -> bool:
    """Removes a file; returns whether there was one. Unlike in 0.0.1, it finds the file.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.files.delete``.
    """
    return own_session().files.delete(name)


def get_peer(name: str | None = None) -> dict[str, Any] | None:
    """Returns the document of a peer by name, or of the one that sent this session's images; None if it is not known.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.peers.get`` and ``current``.

    If the peer is not known, a warning with the known names is logged. Unlike in 0.0.1, the peer that sent the images
    is also found when the session is closed.
    """
    container = own_container()
    documents = container.platform_documents()
    if name is not None:
        found = run_inline(documents.peer(name=check_text(name, "name of a peer")))
        what = f"no peer is named {shown(name)}"
    else:
        peer_id = container.settings().peer_id or _peer_of_session()
        found = run_inline(documents.peer(peer_id=peer_id)) if peer_id else None
        what = "it is not known who sent this session's images"
    if found is None:
        known = ", ".join(peer.name for peer in run_inline(container.peer_repository().list()))
        _LOG.warning("%s; known peers: %s", what, known or "none")
    return found


def _peer_of_session() -> str:
    container = own_container()
    session = run_inline(container.session_repository().find(container.settings().session_id))
    return session.peer_id if session else ""


def get_dicom_sender(
    peer_name: str | None = None,
    additional_sops: Iterable[str] | None = None,
    additional_syntaxes: Iterable[str] | None = None,
) -> DicomSender | None:
    """Returns a sender to a peer by name, or to the one that sent this session's images; None if it is not known.

    Part of the 0.0.1 API; stays until 2.0. New code: ``ctx.session.dicom.send``.

    Unlike in 0.0.1, the called AE title is the peer's, and the calling one is ours (the setting ``AE_TITLE``, or the
    peer's ``calling_aet``). The sender proposes the classes and syntaxes of the files that it sends, so the two
    arguments for additional ones are not needed.
    """
    peer = get_peer(peer_name)
    if peer is None:
        return None
    tls = bool(peer.get("tls"))
    title = {"ae_title": peer["calling_aet"]} if peer.get("calling_aet") else {}
    return own_container().node_sender(
        **title,
        server_host=peer.get("host"),
        server_port=peer.get("port"),
        server_ae_title=peer.get("aet"),
        enable_tls=tls,
        tls_cert_file=(peer.get("cert_file") or None) if tls else None,
        tls_key_file=(peer.get("key_file") or None) if tls else None,
        tls_ca_file=(peer.get("ca_file") or None) if tls else None,
        tls_trusted_ca=tls and not peer.get("ca_file"),
        additional_sops=additional_sops,
        additional_syntaxes=additional_syntaxes,
    )
