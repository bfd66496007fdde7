"""DICOM and NIfTI: reading, inspecting, assembling volumes, converting, picturing.

Import the module that you need: this package imports nothing by itself.
"""
