"""``python -m dcm_processor_service`` is ``dcm-processor-service``."""

from dcm_processor_service.cli import main

main()
