"""Reads how MR images were acquired: phase encoding, readout and slice times, from standard and private elements."""
