"""The Dockerfile of a worker suits the platform and does not run as root; tests/worker_image.py builds it in CI."""

from __future__ import annotations

import json

from tests.worker_image import DOCKERFILE, Instruction, instructions

INSTRUCTIONS = instructions(DOCKERFILE.read_text(encoding="utf-8"))
LAST_STAGE = INSTRUCTIONS[max(i for i, one in enumerate(INSTRUCTIONS) if one.name == "FROM") :]


def of(name: str) -> list[str]:
    return [one.rest for one in LAST_STAGE if one.name == name]


def test_continued_lines_and_comments_are_read() -> None:
    text = "# a\nRUN one \\\n && two\n\nUSER 1:1\n"
    assert instructions(text) == [Instruction("RUN", "one && two"), Instruction("USER", "1:1")]


def test_what_runs_is_not_root_and_says_so_by_number() -> None:
    (user,) = of("USER")
    assert all(int(part) > 0 for part in user.split(":"))


def test_what_runs_installs_nothing_and_holds_what_the_first_stage_made() -> None:
    assert of("RUN") == []
    assert of("COPY") == ["--from=build /opt/worker /opt/worker"]


def test_it_runs_what_the_platform_mounts() -> None:
    assert json.loads(of("CMD")[0]) == ["python", "/module/main.py"]
    assert of("WORKDIR") == ["/module"]
