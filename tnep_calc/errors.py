"""Errors of the package: one base class; each error is also a builtin error, so that generic handlers work."""


class TnepError(Exception):
    """Base class of every error that the package raises on purpose."""


class InputError(TnepError, ValueError):
    """A value, array or option is invalid; the message says what was expected, what was found, and what to do."""


class ModelFileError(TnepError, ValueError):
    """A model file (``nep.txt`` or exported artifact) cannot be used; the message names the file and the reason."""


class DataFileError(TnepError, ValueError):
    """A data or trajectory file cannot be used; the message names the file, the place in it and the reason."""


class MissingComponentError(TnepError, RuntimeError):
    """A native library, program or optional package is missing; the message says how to install it."""


class MissingFileError(ModelFileError, FileNotFoundError):
    """A model file does not exist; the message names it."""
