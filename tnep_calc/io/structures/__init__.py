"""Readers and writers of labelled structures."""
