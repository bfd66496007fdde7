"""A process killed after, or in, a step: the next run goes on from what is done, and starts what is not anew."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import Container, RuntimeSettings, opened

if TYPE_CHECKING:
    from pathlib import Path

RUN = """
import json, os, sys
from dcm_processor_service import Container, RuntimeSettings, opened
from dcm_processor_service.runtime.steps.tools import StepTiming

folder, kill_at = sys.argv[1:]
waited = []

class Clock:
    now = 0.0
    def __call__(self):
        return self.now
    def sleep(self, seconds):
        self.now += seconds
        waited.append(seconds)

def die(place):
    if place == kill_at:
        os.kill(os.getpid(), 9)

settings = RuntimeSettings.without_environment(
    db_provider="sqlite", db_url=folder, session_id="5" * 24, job_id="1" * 24)
clock = Clock()
ran = []
with opened(Container(settings=settings)) as container:
    container.step_timing.override(StepTiming(clock=clock, sleep=clock.sleep))
    ctx = container.context()
    for name in ("segment", "measure"):
        with ctx.step(name, {"threshold": 0.5}) as step:
            if not step.done:
                ran.append(name)
                die(f"{name} begun")
                step.files.put("mask.bin", name.encode() * 100_000)
                die(f"{name} has a file")
                step.data["value"] = len(name)
                die(f"{name} has data")
        die(f"{name} done")
        assert step.files.read("mask.bin") == name.encode() * 100_000
        assert step.data["value"] == len(name)
print(json.dumps({"ran": ran, "waited": sum(waited)}))
"""


def run(folder: Path, kill_at: str) -> subprocess.CompletedProcess[str]:
    (folder / "run.py").write_text(RUN)
    command = [sys.executable, str(folder / "run.py"), str(folder / "workspace"), kill_at]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("kill_at", "ran"),
    [
        ("segment begun", ["segment", "measure"]),
        ("segment has a file", ["segment", "measure"]),
        ("segment has data", ["segment", "measure"]),
        ("segment done", ["measure"]),
        ("measure begun", ["measure"]),
        ("measure has data", ["measure"]),
        ("measure done", []),
    ],
)
def test_a_killed_job_goes_on_from_the_steps_that_are_done(kill_at: str, ran: list[str], tmp_path: Path) -> None:
    assert run(tmp_path, kill_at).returncode == -signal.SIGKILL
    again = run(tmp_path, "never")
    assert again.returncode == 0, again.stderr
    told: dict[str, Any] = json.loads(again.stdout)
    assert told["ran"] == ran
    assert told["waited"] == pytest.approx(0 if kill_at.endswith("done") else 60, abs=1)
    settings = RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(tmp_path / "workspace"), session_id="5" * 24, job_id="1" * 24
    )
    with opened(Container(settings=settings)) as container:
        store = container.backend()
        assert container.session().data.keys() == []
        assert store is not None
    contents = list((tmp_path / "workspace" / "files").iterdir())
    assert len(contents) == 2  # none is left of the run that was killed
