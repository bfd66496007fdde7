"""A shell completes commands, options and sub-commands."""

from __future__ import annotations

import pytest

from tests.command_line import run_process


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("dcm-processor-service se", ["send", "sessions"]), ("dcm-processor-service run --sa", ["--sample"])],
)
def test_bash_is_offered_what_may_follow(typed: str, offered: list[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    ran = run_process(variables={"_DCM_PROCESSOR_SERVICE_COMPLETE": "complete_bash", **words})
    assert ran.code == 0, ran.stderr
    assert ran.stdout.split() == offered
