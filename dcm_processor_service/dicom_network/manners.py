"""Puts a peer's own time-outs and limits into the options of a sending or a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["TIMEOUTS", "suited_to"]

TIMEOUTS = ("acse_timeout_s", "dimse_timeout_s", "network_timeout_s")
"""The options that the single value ``timeout_s`` sets."""


def suited_to(peer: Peer, options: SendOptions, timeout_s: float | None) -> SendOptions:
    """Returns the options with unset values filled in, from the peer first, then from ``timeout_s``.

    Args:
        peer: Its ``timeout_s`` and ``connection_timeout_s`` are used if the options set none, its ``max_associations``
            always.
        options: The caller's options.
        timeout_s: Our time-out, if neither the options nor the peer set one; None means the defaults of the options.
    """
    patience_s = timeout_s if peer.timeout_s is None else peer.timeout_s
    values: dict[str, float | None] = dict.fromkeys(TIMEOUTS, patience_s)
    values["connection_timeout_s"] = peer.connection_timeout_s
    unnamed: dict[str, float] = {
        name: value for name, value in values.items() if value is not None and name not in options.model_fields_set
    }
    if peer.max_associations is not None:
        unnamed["associations"] = min(options.associations, peer.max_associations)
    return options.model_copy(update=unnamed) if unnamed else options
