"""Scattering geometries of oriented crystals in Porto notation ``a(bc)d``.

``a`` is the direction in which the incident light travels, ``b`` is its polarization, ``c`` is the detected
polarization, and ``d`` is the direction in which the scattered light travels (Damen, Porto and Tell, Phys. Rev. 142,
570 (1966)).  The intensity of a mode with the Raman tensor ``A`` is proportional to ``|c . A . b|^2``, and the phonon
has the wave vector ``q = k_a - k_d``.

The axes ``x``, ``y`` and ``z`` are Cartesian.  A minus sign or a bar reverses a direction (``-z``, ``z̄``).  Any other
direction is given in brackets, ``[1,1,0]`` or ``[1-10]``, as Cartesian components, or in lattice vectors if a cell is
given.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
BARS = "\u0304\u0305"
"""Combining macron and overline, which put a bar over the preceding letter."""

TRANSVERSE = 1e-4
"""Largest accepted cosine between a polarization and the direction of its light."""

_DIRECTION = rf"-?(?:[xyz][{BARS}]?|\[[^\[\]()]*\])"
_PORTO = re.compile(rf"({_DIRECTION})\(({_DIRECTION})[,\s]*({_DIRECTION})\)({_DIRECTION})")
_SHORT_INDICES = re.compile(r"(?:-?\d){3}")


@dataclass(frozen=True, eq=False)
class Geometry:
    """A scattering geometry: four unit vectors in the Cartesian frame of the crystal.

    Attributes
    ----------
    label : str
        The notation of the user, without blanks.
    incident, scattered : ndarray, shape (3,)
        Directions in which the incident and the scattered light travel inside the crystal.
    incident_field, scattered_field : ndarray, shape (3,)
        Polarizations, which are perpendicular to these directions.

    Raises
    ------
    InputError
        If a polarization is not perpendicular to its direction.
    """

    label: str
    incident: np.ndarray
    incident_field: np.ndarray
    scattered_field: np.ndarray
    scattered: np.ndarray

    def __post_init__(self):
        for light in ("incident", "scattered"):
            direction, field = getattr(self, light), getattr(self, f"{light}_field")
            if abs(direction @ field) > TRANSVERSE:
                raise InputError(
                    f"{self.label}: the {light} polarization {_text(field)} must be perpendicular to the direction "
                    f"{_text(direction)} in which the {light} light travels"
                )

    @property
    def q(self) -> np.ndarray | None:
        """Unit vector along the phonon's wave vector, ``k_incident - k_scattered``; None for forward scattering."""
        transfer = self.incident - self.scattered
        length = np.linalg.norm(transfer)
        return None if length < TRANSVERSE else transfer / length

    def project(self, tensor):
        """Return ``c . A . b``, shape (...), of tensors of shape (..., 3, 3); its absolute square is the intensity."""
        return np.einsum("i,...ij,j->...", self.scattered_field, np.asarray(tensor), self.incident_field)

    def rotated(self, rotation) -> Geometry:
        """Return the geometry with all four vectors rotated by an orthogonal matrix of shape (3, 3)."""
        matrix = np.asarray(rotation, dtype=float)
        if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-8):
            raise InputError("a rotation must be an orthogonal matrix of shape (3, 3)")
        turned = (matrix @ v for v in (self.incident, self.incident_field, self.scattered_field, self.scattered))
        return Geometry(self.label, *turned)


def _text(vector) -> str:
    return "[" + ", ".join(f"{value + 0.0:.4g}" for value in vector) + "]"


def parse_direction(text: str, cell=None) -> np.ndarray:
    """Return the unit vector of one direction: ``x``, ``-y``, ``z̄``, ``[1,1,0]``, ``[1 -1 0]`` or ``[1-10]``.

    Parameters
    ----------
    text : str
    cell : array_like, shape (3, 3), optional
        Lattice vectors in rows.  If given, brackets mean ``u a + v b + w c``; letters are always Cartesian.

    Returns
    -------
    ndarray, shape (3,)

    Raises
    ------
    InputError
        If the text is not a direction.

    Examples
    --------
    >>> parse_direction("-y").tolist()
    [0.0, -1.0, 0.0]
    >>> parse_direction("[1-10]").round(4).tolist()
    [0.7071, -0.7071, 0.0]
    """
    word = unicodedata.normalize("NFD", text.strip())
    sign = 1.0
    if word.startswith("-"):
        sign, word = -1.0, word[1:].strip()
    if word and word[-1] in BARS and word[:-1] in AXES:
        sign, word = -sign, word[:-1]
    if word in AXES:
        return sign * np.array(AXES[word]) + 0.0  # no negative zeros
    problem = InputError(
        f"a direction is x, y, z, -x, -y, -z or three numbers in brackets such as [1,1,0], got '{text.strip()}'"
    )
    if not (word.startswith("[") and word.endswith("]")):
        raise problem
    inner = word[1:-1].strip()
    short = _SHORT_INDICES.fullmatch(inner)
    words = re.findall(r"-?\d", inner) if short else re.split(r"[,\s]+", inner)
    try:
        vector = np.array([float(number) for number in words])
    except ValueError:
        raise problem from None
    if vector.shape != (3,) or not np.isfinite(vector).all() or not vector.any():
        raise problem
    if cell is not None:
        lattice = np.asarray(cell, dtype=float)
        if lattice.shape != (3, 3):
            raise InputError(f"cell must have shape (3, 3), got {lattice.shape}")
        vector = vector @ lattice
    return sign * vector / np.linalg.norm(vector)


def parse_porto(text: str, cell=None) -> Geometry:
    """Return the geometry of ``a(bc)d`` in Porto notation.

    Parameters
    ----------
    text : str
        For example ``z(xy)-z`` (backscattering along z, crossed polarizations) or ``x([0,1,1][0,1,1])-x``.
    cell : array_like, shape (3, 3), optional
        Lattice vectors in rows; see :func:`parse_direction`.

    Returns
    -------
    Geometry

    Raises
    ------
    InputError
        If the text is not Porto notation, or a polarization is not perpendicular to its light.

    Examples
    --------
    >>> geometry = parse_porto("z(xy)-z")
    >>> geometry.q.tolist(), float(geometry.project([[0, 5, 0], [5, 0, 0], [0, 0, 1]]))
    ([0.0, 0.0, 1.0], 5.0)
    """
    label = re.sub(r"\s+", "", re.sub(r"(?<=\d)\s+(?=-?\d)", ",", text))
    match = _PORTO.fullmatch(re.sub(r"\s*([()])\s*", r"\1", unicodedata.normalize("NFD", label)))
    if match is None:
        raise InputError(
            f"'{label}' is not in Porto notation a(bc)d, such as z(xy)-z: direction of the incident light, incident "
            "and detected polarization in parentheses, direction of the scattered light"
        )
    return Geometry(label, *(parse_direction(part, cell) for part in match.groups()))


def polarization_settings(incident, vertical, scattered=None) -> dict[str, Geometry]:
    """Return the four geometries VV, VH, HV and HH of an experiment.

    The first letter is the incident polarization, and the second is the detected one.  Horizontal (H) is perpendicular
    to vertical (V) and to the direction of the light.

    Parameters
    ----------
    incident : array_like, shape (3,)
        Direction in which the incident light travels.
    vertical : array_like, shape (3,)
        Vertical direction, perpendicular to incident and scattered light.
    scattered : array_like, shape (3,), optional
        Direction in which the scattered light travels. Default: backscattering.

    Returns
    -------
    dict of str to Geometry

    Examples
    --------
    >>> settings = polarization_settings([0, 0, 1], [1, 0, 0])
    >>> tensor = np.array([[1.0, 2.0, 0.0], [2.0, 3.0, 0.0], [0.0, 0.0, 9.0]])
    >>> {name: float(abs(g.project(tensor))) for name, g in settings.items()}
    {'VV': 1.0, 'VH': 2.0, 'HV': 2.0, 'HH': 3.0}
    """
    k_in, up = (_unit(v, name) for v, name in ((incident, "incident"), (vertical, "vertical")))
    k_out = -k_in if scattered is None else _unit(scattered, "scattered")
    for light in (k_in, k_out):
        if abs(light @ up) > TRANSVERSE:
            raise InputError(f"vertical {_text(up)} must be perpendicular to the light along {_text(light)}")
    fields_in = {"V": up, "H": np.cross(k_in, up)}
    fields_out = {"V": up, "H": np.cross(k_out, up)}
    return {a + b: Geometry(a + b, k_in, fields_in[a], fields_out[b], k_out) for a in "VH" for b in "VH"}


def _unit(vector, name) -> np.ndarray:
    array = np.asarray(vector, dtype=float)
    if array.shape != (3,) or not np.isfinite(array).all() or not array.any():
        raise InputError(f"{name} must be three numbers, not all zero, got {vector}")
    return array / np.linalg.norm(array)
