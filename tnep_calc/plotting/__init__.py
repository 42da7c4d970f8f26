"""Matplotlib figures of results; the only room that plots, and it chooses no backend."""
