"""Registry functions of rules: which jobs a series gets."""

from __future__ import annotations

from dcm_processor_service import SeriesRules, accepts

takes_ct = accepts(SeriesRules(modality="CT", min_slices=2))
takes_mr = accepts(SeriesRules(modality="MR"))
