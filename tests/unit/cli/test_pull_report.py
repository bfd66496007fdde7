"""What ``pull`` prints of what it brought."""

from __future__ import annotations

import pytest

from dcm_processor_service.cli import pull
from dcm_processor_service.local.pulling.report import LeftBehind, PullReport


@pytest.mark.parametrize(
    ("number", "end"),
    [(0, "4 files."), (1, "4 files; left behind: 1, each named below."), (3, ": 3, each named below.")],
)
def test_what_is_left_behind_is_counted_and_named(number: int, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    left = tuple(LeftBehind(what=f"file mask{one}.nii.gz of the job segment", reason="r") for one in range(number))
    report = PullReport(workspace="w", session_id="5" * 24, deidentified=True, files=4, left_behind=left)
    pull._print(report)
    pull._warn(report)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].endswith(end)
    assert printed.err.count("left behind: file mask") == number
