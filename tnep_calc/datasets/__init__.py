"""Data sets before training: checks, reports, and the selection of structures to label next."""
