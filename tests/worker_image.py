"""Builds examples/worker/Dockerfile without Docker, into an empty folder, and runs a job in it as the platform does.

``python -m tests.worker_image dist/*.whl`` takes a wheel of this package in place of the release on an index. The
instructions are carried out one by one: ``RUN`` in a shell, with the paths of the image below the folder; the Python of
the base image is one of this machine. Unlike in a container, the job can reach the files and the network of this
machine. If root starts this program, the job runs under the user of the image.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["DOCKERFILE", "Instruction", "instructions"]

DOCKERFILE = Path(__file__).parents[1] / "examples" / "worker" / "Dockerfile"
_CONTINUED = re.compile(r"\s*\\\n\s*")
_SERVICE = """
import os
from dcm_processor_service import RuntimeContext, entrypoint

def run(ctx: RuntimeContext) -> list[int]:
    ctx.session.data["written"] = True
    return [os.getuid(), os.getgid()]

worker = entrypoint(run)
"""
_MAIN = """
import json, os
from service_module import worker

result = os.path.join(os.path.dirname(__file__), "result.json")
with open(result, "w") as file:
    json.dump({"result": worker(session_id="5" * 24, job_id="1" * 24, params={}, headers={}, added_params={})}, file)
"""
_JOB = {
    "DCM-PROCESSOR-SERVICE-DB-PROVIDER": "memory",
    "DCM-PROCESSOR-SERVICE-SESSION-ID": "5" * 24,
    "DCM-PROCESSOR-SERVICE-JOB-ID": "1" * 24,
}


class Instruction(NamedTuple):
    """One line of a Dockerfile."""

    name: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """Returns the instructions of a Dockerfile, in their order; a continued one as one line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    parted = (line.partition(" ") for line in _CONTINUED.sub(" ", "\n".join(lines)).splitlines())
    return [Instruction(name, rest.strip()) for name, _, rest in parted]


def _base_python() -> Path:
    """Returns a Python that has pip, and that any user of this machine may run."""
    candidates = [Path(getattr(sys, "_base_executable", sys.executable)), Path("/usr/bin/python3")]
    for one in candidates:
        open_to_all = all(folder.stat().st_mode & stat.S_IXOTH for folder in one.resolve().parents)
        if (
            open_to_all
            and subprocess.run([one, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
        ):
            return one
    raise SystemExit(f"none of {', '.join(map(str, candidates))} has pip and may be run by any user")


class _Image:
    """A root folder, and the variables, user and command that the instructions set for it."""

    def __init__(self, work: Path, wheel: Path) -> None:
        self.root = work / "root"
        self._work = work
        self._stages: dict[str, Path] = {}
        self._stage = ""
        self._requirements = f"{wheel.resolve()}[highdicom]\n"
        base = work / "base"
        base.mkdir()
        (base / "python").write_text(f'#!/bin/sh\nexec {_base_python()} "$@"\n', encoding="utf-8")
        (base / "python").chmod(0o755)
        self.variables = {"PATH": f"{base}{os.pathsep}{os.defpath}"}
        self.user = "0:0"
        self.command: list[str] = []

    def carry_out(self, name: str, rest: str) -> None:
        if name == "FROM":
            self._begin(rest.partition(" AS ")[2] or "last")
        elif name == "COPY":
            self._copy(*rest.split())
        elif name == "RUN":
            subprocess.run(["sh", "-ec", self.placed(rest)], check=True, env={**os.environ, **self.variables})
        elif name == "ENV":
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                self.variables[key] = self.placed(value).replace("$PATH", self.variables["PATH"])
        elif name == "USER":
            self.user = rest
        elif name == "CMD":
            self.command = json.loads(rest)
        elif name not in {"ARG", "WORKDIR"}:
            raise SystemExit(f"nobody carries out {name} {rest}")

    def placed(self, text: str) -> str:
        """Puts the paths of the image below its root."""
        return re.sub(r"(?<![\w/.])/(opt|tmp|module)\b", rf"{self.root}/\1", text)

    def _begin(self, name: str) -> None:
        """Moves the root of the stage before aside: installed files name their own path, so all stages use the same."""
        if self._stage:
            self._stages[self._stage] = self.root.rename(self._work / self._stage)
        self._stage = name
        for folder in ("opt", "tmp", "module"):
            (self.root / folder).mkdir(parents=True)

    def _copy(self, *words: str) -> None:
        *options, source, target = words
        if options:
            (stage,) = [one.removeprefix("--from=") for one in options]
            shutil.copytree(self._stages[stage] / source.strip("/"), self.placed(target), symlinks=True)
        else:
            assert source == "requirements.txt"
            Path(self.placed(target)).write_text(self._requirements, encoding="utf-8")

    def run_job(self) -> object:
        """Runs a job as the platform does: its code is mounted, its result is a file beside the code."""
        module = self.root / "module"
        (module / "service_module").mkdir()
        (module / "service_module" / "__init__.py").write_text(_SERVICE, encoding="utf-8")
        (module / "main.py").write_text(_MAIN, encoding="utf-8")
        variables = [f"{name}={value}" for name, value in {**self.variables, **_JOB, "PYTHONPATH": str(module)}.items()]
        command = ["env", "-i", *variables, *map(self.placed, self.command)]
        if os.getuid() == 0:
            user, _, group = self.user.partition(":")
            for folder in (self._work, self.root):
                folder.chmod(0o755)
            for folder in (module, self.root / "tmp"):
                shutil.chown(folder, int(user), int(group))
            command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *command]
        subprocess.run(command, check=True, cwd=module)
        return json.loads((module / "result.json").read_text(encoding="utf-8"))


def main(wheel: Path) -> None:
    """Builds, runs, and prints the size and the result."""
    with tempfile.TemporaryDirectory() as work:
        image = _Image(Path(work), wheel)
        for one in instructions(DOCKERFILE.read_text(encoding="utf-8")):
            image.carry_out(*one)
        result = image.run_job()
        expected = [int(part) for part in image.user.split(":")] if os.getuid() == 0 else [os.getuid(), os.getgid()]
        if result != {"result": expected}:
            raise SystemExit(f"the job should have run as {expected}, and left {result}")
        size = sum(path.lstat().st_size for path in image.root.rglob("*"))
        sys.stdout.write(f"beside the base image {size / 1e6:.0f} MB; the job ran as {image.user}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
