"""Operations on the platform's sessions refuse odd arguments before they open the database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import explain_session, retry_session, sweep_sessions
from dcm_processor_service.cli.sessions import _duration as duration_of
from dcm_processor_service.errors import ConfigurationError, SessionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

ODD: list[Any] = ["", "liver", None, 7, {"$gt": ""}, b"5" * 24, ["5" * 24], "\u0665" * 24, "x" * 5000]


@pytest.mark.parametrize("work", [explain_session, retry_session])
@pytest.mark.parametrize("session_id", ODD)
def test_what_is_no_id_of_a_session_is_refused(work: Callable[[Any], object], session_id: Any) -> None:
    with pytest.raises(SessionNotFoundError, match="24 hex digits") as refused:
        work(session_id)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("older_than", [5, None, "7d", 7.0, timedelta(days=-1)])
def test_a_sweep_wants_a_length_of_time(older_than: Any) -> None:
    with pytest.raises(ConfigurationError, match="older_than is "):
        sweep_sessions(older_than)


@pytest.mark.parametrize("policy", ["odd", 7, ["all"], {"$gt": ""}])
def test_a_sweep_of_an_unknown_policy_changes_nothing(policy: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep or session or all"):
        sweep_sessions(timedelta(days=7), policy=policy)


def test_a_length_of_time_beyond_all_clocks_sweeps_nothing() -> None:
    assert duration_of("99999999999999w") == timedelta.max
    assert duration_of("1d12h") == timedelta(hours=36)
