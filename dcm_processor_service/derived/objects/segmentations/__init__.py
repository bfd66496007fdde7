"""Makes segmentations (SEG) of one time point or several, and checks masks."""
