"""How a job runs: settings, context, container, callbacks, runner, worker, logs, clean-up."""
