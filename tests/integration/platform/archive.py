"""A storage SCP of the tests: takes in what is sent, and refuses who does not know its title."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from pydicom import Dataset

__all__ = ["Archive", "listening_archive"]

VERIFICATION = "1.2.840.10008.1.1"


@dataclass
class Archive:
    """What a storage SCP has seen."""

    ae_title: str
    port: int
    datasets: list[Dataset] = field(default_factory=list)
    callers: list[tuple[str, str]] = field(default_factory=list)
    """Calling and called AE title of each association."""

    def store(self, event: Any) -> int:
        """Keeps one dataset with its meta information."""
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.datasets.append(dataset)
        return 0x0000

    def request(self, event: Any) -> None:
        """Notes who calls whom."""
        primitive = event.assoc.requestor.primitive
        self.callers.append((primitive.calling_ae_title.strip(), primitive.called_ae_title.strip()))


@contextmanager
def listening_archive(
    ae_title: str,
    *,
    sop_classes: list[str] | None = None,
    transfer_syntaxes: list[str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Archive]:
    """Starts a storage SCP on a free loopback port; only those who call it by its title get in."""
    entity = AE(ae_title)
    entity.require_called_aet = True
    # what comes first is what is chosen; explicit, since the 0.0.1 API cannot convert
    accepted = transfer_syntaxes or [ExplicitVRLittleEndian, *ALL_TRANSFER_SYNTAXES]
    for sop_class in sop_classes or [str(context.abstract_syntax) for context in AllStoragePresentationContexts]:
        entity.add_supported_context(sop_class, accepted)
    entity.add_supported_context(VERIFICATION)
    archive = Archive(ae_title, port=0)
    handlers: list[Any] = [(evt.EVT_C_STORE, archive.store), (evt.EVT_REQUESTED, archive.request)]
    server: Any = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=tls, evt_handlers=handlers)
    archive.port = server.socket.getsockname()[1]
    try:
        yield archive
    finally:
        server.shutdown()
        entity.shutdown()
