"""Polynomial machine-learned potentials of pypolymlp: parameters, files, and an ASE calculator."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ...errors import InputError, MissingComponentError, ModelFileError
from ...io.files import COMPRESSED, read_bytes, read_text, reading

REMEDY = (
    'pip install scikit-build-core "cmake<4" ninja pybind11 nanobind setuptools_scm cmeel-eigen, then '
    "CMAKE_PREFIX_PATH=SITE_PACKAGES/cmeel.prefix pip install --no-build-isolation pypolymlp"
)
"""Commands that install pypolymlp, which has no wheels."""

VOIGT = [0, 1, 2, 4, 5, 3]
"""Indices of pypolymlp's virial (called stress there; eV, xx yy zz xy yz zx) in ASE's order."""


def require_pypolymlp() -> None:
    """Raise MissingComponentError, with the commands to install it, if pypolymlp is not installed."""
    try:
        import pypolymlp  # noqa: F401
    except ImportError as error:
        raise MissingComponentError(f"pypolymlp is not installed: {REMEDY}") from error


@contextlib.contextmanager
def same_print_options() -> Iterator[None]:
    """Restore numpy's print options, which pypolymlp changes for the whole process."""
    with np.printoptions():
        yield


def is_polymlp(path) -> bool:
    """Return whether a file is a potential of pypolymlp (``polymlp.yaml``, or ``phono3py.pmlp`` of phono3py 3)."""
    path = Path(path)
    name = path.stem if path.suffix.lower() in COMPRESSED else path.name
    if not name.lower().endswith((".yaml", ".pmlp", ".lammps")):
        return False
    head = read_bytes(path)[:4000]
    return b"gtinv" in head or b"feature_type" in head


def load_polymlp(path) -> Any:
    """Return the ``Pypolymlp`` object of a potential file.

    Parameters
    ----------
    path : path
        ``polymlp.yaml``, or ``phono3py.pmlp`` of phono3py 3 (also in the text format of early versions), possibly
        compressed.

    Raises
    ------
    ModelFileError
        If the file is not a potential of pypolymlp.
    MissingComponentError
        If pypolymlp is not installed.
    """
    require_pypolymlp()
    from pypolymlp.mlp_dev.pypolymlp import Pypolymlp

    content = read_text(path)
    what = "a potential that pypolymlp reads"
    with reading(path, what, ModelFileError, caught=(Exception,)), same_print_options():
        potential = Pypolymlp()
        potential.load_mlp(io.StringIO(content))
    return potential


def default_parameters() -> dict[str, Any]:
    """Return the parameters of pypolymlp with phono3py's defaults."""
    import dataclasses

    from phonopy.interface.pypolymlp import PypolymlpParams

    known = dataclasses.asdict(PypolymlpParams())
    return {name: value for name, value in known.items() if name not in ("ntrain", "ntest", "optimal")}


def polymlp_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of pypolymlp, with those of `given` instead of the defaults.

    Raises
    ------
    InputError
        If a name is unknown, or a value has the wrong type or length.

    Examples
    --------
    >>> polymlp_parameters({"cutoff": 6})["cutoff"]
    6.0
    """
    parameters = default_parameters()
    for name, value in given.items():
        if name not in parameters:
            raise InputError(f"pypolymlp has no parameter '{name}'; known: {', '.join(parameters)}")
        default = parameters[name]
        if isinstance(default, tuple):
            value = value if isinstance(value, (list, tuple)) else (value,)
            if name != "gtinv_maxl" and len(value) != len(default):
                raise InputError(f"parameter '{name}' of pypolymlp needs {len(default)} numbers, got {list(value)}")
            kinds = [type(default[min(k, len(default) - 1)]) for k in range(len(value))]
            parameters[name] = tuple(_converted(name, x, kind) for kind, x in zip(kinds, value, strict=True))
        elif name == "atom_energies":
            if not (value is None or isinstance(value, Mapping)):
                raise InputError(f"parameter '{name}' of pypolymlp must be a mapping of element to eV, got {value!r}")
            parameters[name] = None if value is None else {k: _converted(name, x, float) for k, x in value.items()}
        else:
            parameters[name] = _converted(name, value, type(default))
    return parameters


def _converted(name: str, value: Any, kind: type) -> Any:
    """Return a value as a bool, int, float or str; InputError if it is not one, or changes by that."""
    try:
        converted = kind(value)
        same = converted == value or kind is float
    except (TypeError, ValueError, OverflowError):
        same = False
    if not same or kind is float and not math.isfinite(converted):
        raise InputError(f"parameter '{name}' of pypolymlp must be of type {kind.__name__}, got {value!r}")
    return converted


class PolymlpCalculator(Calculator):
    """ASE calculator of a polynomial potential of pypolymlp.

    Its properties are ``energy`` and ``free_energy`` (eV), ``forces`` (eV/Å) and ``stress`` (eV/Å³, ASE's sign and
    order).

    Parameters
    ----------
    potential : path or Pypolymlp
        File of a potential, or the result of :func:`load_polymlp`.
    **kwargs
        Passed to ASE's ``Calculator``.

    Attributes
    ----------
    elements : tuple of str
        Chemical symbols of the potential.
    cutoff : float, in Å
        Largest cutoff of the potential.

    Raises
    ------
    ModelFileError
        If the file is not a potential of pypolymlp.
    MissingComponentError
        If pypolymlp is not installed.
    InputError
        During evaluation, if an element is not one of the potential, or the structure is not periodic.

    Examples
    --------
    >>> atoms.calc = PolymlpCalculator("polymlp.yaml")  # doctest: +SKIP
    >>> atoms.get_forces()  # doctest: +SKIP
    """

    atoms: Atoms
    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, potential, **kwargs):
        super().__init__(**kwargs)
        require_pypolymlp()
        from pypolymlp.calculator.properties import Properties

        loaded = load_polymlp(potential) if isinstance(potential, (str, Path)) else potential
        with same_print_options():
            self._properties = Properties(params=loaded.parameters, coeffs=loaded.coeffs)
        self.elements = tuple(self._properties.elements)
        self.cutoff = max(float(part.model.cutoff) for part in loaded.parameters)

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=tuple(all_changes)):
        """Compute all properties."""
        super().calculate(atoms, properties, system_changes)
        from pypolymlp.core.data_format import PolymlpStructure

        symbols = self.atoms.get_chemical_symbols()
        if unknown := sorted(set(symbols) - set(self.elements)):
            raise InputError(f"the polynomial potential knows {', '.join(self.elements)}, not {', '.join(unknown)}")
        if self.atoms.cell.rank < 3 or not self.atoms.pbc.all():
            raise InputError("a polynomial potential needs a structure that is periodic in three directions")
        types = np.array([self.elements.index(symbol) for symbol in symbols])
        structure = PolymlpStructure(
            axis=self.atoms.cell.array.T,
            positions=self.atoms.get_scaled_positions().T,
            n_atoms=[int((types == kind).sum()) for kind in range(len(self.elements))],
            elements=symbols,
            types=types,
        )
        energy, forces, stress = self._properties.eval(structure)
        self.results = {
            "energy": float(energy),
            "free_energy": float(energy),
            "forces": np.array(forces).T.copy(),
            "stress": -np.array(stress)[VOIGT] / self.atoms.get_volume(),
        }
