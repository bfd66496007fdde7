"""Reads how MR was acquired: phase encoding, readout and slice times, from standard and private elements."""
