"""Puts the time-outs and limits that a peer's settings state into the options of a sending or a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["TIMEOUTS", "suited_to"]

TIMEOUTS = ("acse_timeout_s", "dimse_timeout_s", "network_timeout_s")
"""The names of the options that the single value ``timeout_s`` sets."""


def suited_to(peer: Peer, options: SendOptions, timeout_s: float | None) -> SendOptions:
    """Returns the options with values for those time-outs that the caller did not set.

    Args:
        peer: The peer. Its ``timeout_s`` and ``connection_timeout_s`` are used for time-outs that the options do not
            set; its ``max_associations`` is always respected.
        options: The caller's options.
        timeout_s: The time-out if neither the options nor the peer set one; None for the defaults of the options.
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
