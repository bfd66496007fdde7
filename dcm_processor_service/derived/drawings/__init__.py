"""Structures as outlines and pictures: what is drawn of masks, on the slices of their source."""
