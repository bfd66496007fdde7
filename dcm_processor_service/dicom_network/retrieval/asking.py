"""Asks a peer what it holds, by C-FIND, or by QIDO-RS if it has a URL."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.query import NotAnsweredError, find, finding
from dcm_processor_service.dicom_network.retrieval.answers import found_records
from dcm_processor_service.dicom_network.retrieval.keys import identifier, parameters
from dcm_processor_service.dicom_network.retrieval.levels import ask_by_levels
from dcm_processor_service.errors import ConfigurationError, FindError, FindIncompleteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from dcm_processor_service.dicom_network.dicomweb.web_client import WebClient
    from dcm_processor_service.models import FindQuery, FoundItem, Peer, SendOptions

    Inquiry: TypeAlias = Callable[[FindQuery], list[FoundItem]]

__all__ = ["asking", "not_found", "web_client"]


@contextmanager
def asking(peer: Peer, options: SendOptions, calling_ae_title: str) -> Iterator[Inquiry]:
    """Yields a function that sends queries over one association or one connection.

    The function raises NotAnsweredError if the peer does not answer.

    Raises:
        PeerUnreachableError: No association could be opened.
        NotAnsweredError: The peer does not offer queries.
        ConfigurationError: A certificate file or the URL of the peer is unusable.
    """
    if peer.url is None:
        with finding(peer, options, calling_ae_title) as association:

            def ask(query: FindQuery) -> list[FoundItem]:
                return found_records(find(association, identifier(query), most=query.limit), query)

            yield partial(ask_by_levels, ask)
        return
    from dcm_processor_service.dicom_network.dicomweb.web_query import find_by_web

    client = web_client(peer, options)
    try:
        yield lambda query: found_records(find_by_web(client, *parameters(query), most=query.limit), query)
    finally:
        client.close()


def web_client(peer: Peer, options: SendOptions) -> WebClient:
    """Makes the HTTP client for a peer.

    Raises:
        ConfigurationError: The HTTP library is not installed, or the peer's URL or certificate is unusable.
    """
    try:
        from dcm_processor_service.dicom_network.dicomweb.web_client import WebClient
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the peer {peer.name!r} has a URL, and DICOMweb needs: pip install dcm-processor-service[web]"
        ) from error
    return WebClient(peer, options)


def not_found(peer: Peer, error: NotAnsweredError) -> FindError:
    """Makes the error for a peer that did not answer a query."""
    kind = FindIncompleteError if error.retryable else FindError
    return kind(f"{peer.name}: {error}")
