"""Data sets before training: checks, reports, and the selection of structures for the next calculations."""
