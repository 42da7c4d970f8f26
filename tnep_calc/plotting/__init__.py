"""Matplotlib figures of results.  All plotting code is in this package, and it does not choose a backend."""
