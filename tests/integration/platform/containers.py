"""What the platform's docker worker asks of Docker, without Docker: its mounts laid out below another root.

The folders that would be mounted are moved to their places below a root of their own, so that, as inside of a
container, the paths that they have outside do not exist, and the command runs with the container's environment alone.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Docker"]


class Container:
    """One run."""

    def __init__(self, output: bytes) -> None:
        self._output = output

    def logs(self, *, stream: bool) -> Iterator[bytes]:
        assert stream
        yield from self._output.splitlines(keepends=True)

    def wait(self) -> None:
        """It has ended already."""

    def remove(self) -> None:
        """Nothing is left of it."""


class Docker:
    """Stands for ``docker.from_env()``; the image's ``python`` and its ``ENV`` are those that are given."""

    def __init__(self, python: str, env: dict[str, str]) -> None:
        self._python = python
        self._env = env
        self.containers = self

    def run(
        self,
        *,
        command: list[str],
        volumes: dict[str, Any],
        environment: dict[str, str],
        working_dir: str,
        **_more: Any,
    ) -> Container:
        with tempfile.TemporaryDirectory() as root:
            inside = {outside: f"{root}{mount['bind']}" for outside, mount in volumes.items()}
            for outside, place in inside.items():
                shutil.move(outside, place)
            words = [self._python if word == "python" else f"{root}{word}" for word in command]
            variables = {**self._env, **environment, "PYTHONPATH": f"{root}{environment['PYTHONPATH']}"}
            ended = subprocess.run(
                words,
                cwd=Path(f"{root}{working_dir}"),
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=60,
            )
            for outside, place in inside.items():
                shutil.move(place, outside)
        return Container(ended.stdout)
