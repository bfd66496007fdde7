"""DICOM and NIfTI: reading, inspecting, assembling volumes, converting, picturing.

Import the module that is needed: this package loads nothing by itself.
"""
