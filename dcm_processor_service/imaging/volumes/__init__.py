"""Stacks become voxels with their place."""
