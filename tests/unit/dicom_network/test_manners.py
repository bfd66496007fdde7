"""The precedence of time-outs and limits: the caller's, then the peer's, then ours."""

from __future__ import annotations

from typing import Any

import pytest

from dcm_processor_service.dicom_network.manners import TIMEOUTS, suited_to
from dcm_processor_service.models import Peer, SendOptions

PLACE = {"name": "PACS", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
DEFAULTS = SendOptions()


def suited(peer: dict[str, Any], options: dict[str, Any], ours: float | None = None) -> SendOptions:
    return suited_to(Peer.model_validate(PLACE | peer), SendOptions(**options), ours)


@pytest.mark.parametrize("field", TIMEOUTS)
@pytest.mark.parametrize(
    ("peer_s", "caller_s", "ours_s", "holds"),
    [
        (None, None, None, "default"),
        (None, None, 7.0, 7.0),
        (5.0, None, None, 5.0),
        (5.0, None, 7.0, 5.0),
        (5.0, 3.0, 7.0, 3.0),
        (None, 3.0, 7.0, 3.0),
    ],
)
def test_a_time_out_is_the_callers_else_the_peers_else_ours_else_the_default(
    field: str, peer_s: float | None, caller_s: float | None, ours_s: float | None, holds: Any
) -> None:
    peer = {} if peer_s is None else {"timeout_s": peer_s}
    found = suited(peer, {} if caller_s is None else {field: caller_s}, ours_s)
    assert getattr(found, field) == (getattr(DEFAULTS, field) if holds == "default" else holds)
    others = {name for name in SendOptions.model_fields if name not in TIMEOUTS}
    assert {name: getattr(found, name) for name in others} == {name: getattr(DEFAULTS, name) for name in others}


def test_the_time_for_a_connection_is_a_value_of_its_own() -> None:
    assert suited({"timeout_s": 5.0}, {}, 7.0).connection_timeout_s == DEFAULTS.connection_timeout_s
    assert suited({"connection_timeout_s": 2.0}, {}).connection_timeout_s == 2.0
    assert suited({"connection_timeout_s": 2.0}, {"connection_timeout_s": 4.0}).connection_timeout_s == 4.0
    assert suited({"connection_timeout_s": 2.0}, {}).acse_timeout_s == DEFAULTS.acse_timeout_s


@pytest.mark.parametrize(("most", "wanted", "holds"), [(None, 4, 4), (2, 4, 2), (4, 2, 2), (1, 1, 1)])
def test_a_peer_gets_no_more_associations_than_it_takes(most: int | None, wanted: int, holds: int) -> None:
    assert suited({"max_associations": most}, {"associations": wanted}).associations == holds


def test_options_that_leave_nothing_open_are_handed_on() -> None:
    options = SendOptions()
    assert suited_to(Peer.model_validate(PLACE), options, None) is options
