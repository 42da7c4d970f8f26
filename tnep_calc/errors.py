"""Errors of the package: one base class, each error also a builtin so that generic handlers work."""


class TnepError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(TnepError, ValueError):
    """A value, array or option is not what was expected; the message says what was, and what to do."""


class ModelFileError(TnepError, ValueError):
    """A model file (``nep.txt`` or exported artifact) cannot be used; the message names file and reason."""


class DataFileError(TnepError, ValueError):
    """A data or trajectory file cannot be used; the message names file, place and reason."""


class MissingComponentError(TnepError, RuntimeError):
    """A native library, program or optional package is missing; the message says how to supply it."""


class MissingFileError(ModelFileError, FileNotFoundError):
    """A model file is not there; the message names it."""
