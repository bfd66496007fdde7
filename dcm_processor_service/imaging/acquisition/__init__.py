"""How MR was acquired: phase encoding, readout and the times of slices, from standard and private elements."""
