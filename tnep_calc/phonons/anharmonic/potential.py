"""Potentials given by their files, from which worker processes can make calculators."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ...errors import InputError
from ...io.files import sha256
from .polymlp import PolymlpCalculator, is_polymlp

ROLES = ("polymlp", "energy", "enthalpy", "calculator")


@dataclass(frozen=True)
class Potential:
    """A potential, which can be pickled; calling it makes an ASE calculator.

    Attributes
    ----------
    role : str
        ``"polymlp"``: a file of pypolymlp; ``"energy"`` or ``"enthalpy"``: a model for that argument of
        :class:`tnep_calc.TNEPCalculator`; ``"calculator"``: a class or function of any package.
    source : str
        File, or ``"module:name"`` of the class or function.

    Examples
    --------
    >>> Potential("calculator", "ase.calculators.emt:EMT")().name
    'emt'
    """

    role: str
    source: str

    def __call__(self):
        """Return a new ASE calculator; InputError if that of ``"module:name"`` cannot be made."""
        if self.role == "polymlp":
            return PolymlpCalculator(self.source)
        if self.role == "calculator":
            module, _, name = self.source.partition(":")
            try:
                return getattr(import_module(module), name)()
            except (ImportError, AttributeError, TypeError, ValueError) as error:
                raise InputError(
                    f"'{self.source}' must be MODULE:NAME of a class or function that makes an ASE calculator without "
                    f"arguments ({error})"
                ) from error
        from ...calculators.tnep import TNEPCalculator

        return TNEPCalculator(enthalpy=self.source) if self.role == "enthalpy" else TNEPCalculator(energy=self.source)

    @property
    def identity(self) -> str:
        """Text that identifies the potential: the SHA-256 of the file, or ``"module:name"``."""
        return self.source if self.role == "calculator" else sha256(self.source)


def potential_of_file(path) -> Potential:
    """Return the potential of a file of pypolymlp, or of a model of this package (``nep.txt`` or artifact).

    Raises
    ------
    InputError
        If the file does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; the potential must be polymlp, nep, none, or a file")
    if is_polymlp(path):
        return Potential("polymlp", str(path))
    from ...artifact import is_artifact, read_metadata

    enthalpy = is_artifact(path) and read_metadata(path).kind == "enthalpy"
    return Potential("enthalpy" if enthalpy else "energy", str(path))
