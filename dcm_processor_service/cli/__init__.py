"""The command line: a thin skin over runner, workspace and container."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line ``dcm-processor-service``."""
    from dcm_processor_service.cli.app import app

    app(prog_name="dcm-processor-service")
