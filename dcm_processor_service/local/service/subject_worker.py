"""A process that runs the jobs of one subject: it reads its request from the standard input and answers job by job."""

from __future__ import annotations

import json
import os
import sys

from dcm_processor_service.local.service.running import ServiceRun

__all__ = ["main"]


def main() -> None:
    """Runs the request of this process, which its parent writes to the standard input."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the standard output holds answers only, not what a callback prints
    service_run, plan = ServiceRun.of_request(json.load(sys.stdin))
    with channel:
        for one in service_run.run_subject(plan):
            channel.write(json.dumps(one.as_portable()) + "\n")
            channel.flush()
