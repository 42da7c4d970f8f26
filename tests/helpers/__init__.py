"""Shared code of the tests: data, models, runs of other programs.  Test modules do not import each other."""
