"""What an instrument measures, from a spectrum with the dielectric function: powder, thin film, ATR, with error bars.

Errors are those of a jackknife over the blocks of the run, because the measured quantities are not linear in eps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..conventions import ASE_ORDER
from ..errors import InputError
from .estimate import jackknife_error
from .instruments import attenuated_total_reflection, powder_absorbance, thin_film
from .record import Spectrum
from .response import COMPONENTS

AXES = ("xx", "yy", "zz")
"""Components that an oriented film or sample can be measured along."""

LIGHTS = ("s", "p", "unpolarised")

KEPT = (
    "temperature_K",
    "volume_A3",
    "eps_inf",
    "quantum_correction",
    "window",
    "resolution_fwhm_cm-1",
    "blocks",
    "samples",
    "length_ps",
    "series",
    "series_sha256",
    "source",
    "source_sha256",
)
"""Parameters of the dielectric function that are kept in the result."""


def dielectric_columns(columns: Mapping[str, np.ndarray], component: str) -> np.ndarray:
    """Return a complex dielectric function from columns of a spectrum.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (..., n)
        Columns ``eps_real`` and ``eps_imag``, or those of the components of a tensor (``eps_real_xx``, ...).
    component : str
        ``"mean"``, ``"tensor"``, or one of ``AXES``.

    Returns
    -------
    complex ndarray, shape (..., n), or (..., n, 3, 3) for ``"tensor"``

    Raises
    ------
    InputError
        If a column is missing.
    """

    def of(suffix):
        try:
            return columns[f"eps_real{suffix}"] + 1j * columns[f"eps_imag{suffix}"]
        except KeyError as error:
            hint = " (write it with 'tnep dielectric --tensor')" if suffix else ""
            raise InputError(f"the spectrum has no column {error}, which is needed here{hint}") from None

    if component != "tensor":
        return of("" if component == "mean" else f"_{component}")
    parts = {name: of(f"_{name}") for name in COMPONENTS}
    tensor = np.empty((*parts["xx"].shape, 3, 3), dtype=complex)
    for name, (i, j) in zip(COMPONENTS, ASE_ORDER, strict=True):
        tensor[..., i, j] = tensor[..., j, i] = parts[name]
    return tensor


def _measured(
    spectrum: Spectrum, component: str, measure: Callable[[np.ndarray, np.ndarray], dict], parameters: dict
) -> Spectrum:
    """Return ``measure(wavenumber, eps)``, a dict of dimensionless columns, with jackknife errors."""
    w = spectrum.wavenumber
    values = measure(w, dielectric_columns(spectrum.values, component))
    replicas: dict[str, np.ndarray] = {}
    if spectrum.replicas:
        left_out = dielectric_columns(spectrum.replicas, component)
        found = [measure(w, eps) for eps in left_out]
        replicas = {name: np.array([one[name] for one in found]) for name in values}
    kept = {key: spectrum.parameters[key] for key in KEPT if key in spectrum.parameters}
    if not replicas:
        kept["blocks"] = 0
    return Spectrum(
        "instrument",
        w,
        values,
        dict.fromkeys(values, "1"),
        {name: jackknife_error(columns) for name, columns in replicas.items()},
        {**kept, "component": component, **parameters},
        replicas=replicas,
    )


def measured_powder(
    spectrum: Spectrum,
    thickness: float,
    fraction: float,
    matrix: float = 2.33,
    model: str = "maxwell-garnett",
) -> Spectrum:
    """Return the absorbance of a powder in a pellet (:func:`.instruments.powder_absorbance`).

    Parameters
    ----------
    spectrum : Spectrum
        With the dielectric function. If it has the six components of the tensor and the model is Maxwell Garnett's,
        the particles are anisotropic and have random orientations. Otherwise they have the mean of the tensor.
    thickness : float, in mm
    fraction : float
        Volume fraction of the material.
    matrix : float
        Dielectric constant of the matrix; 2.33 is KBr.
    model : {"maxwell-garnett", "bruggeman"}

    Returns
    -------
    Spectrum
        Of kind ``"instrument"``, with the column ``absorbance`` (base 10).

    Raises
    ------
    InputError
        If the spectrum has no dielectric function, or a number is not valid.
    """
    tensor = all(f"eps_real_{name}" in spectrum.values for name in COMPONENTS) and model == "maxwell-garnett"

    def measure(w, eps):
        return {"absorbance": powder_absorbance(w, eps, thickness, fraction, matrix, model)}

    parameters = {
        "instrument": "powder",
        "effective_medium": model,
        "thickness_mm": float(thickness),
        "volume_fraction": float(fraction),
        "matrix_eps": float(matrix),
    }
    return _measured(spectrum, "tensor" if tensor else "mean", measure, parameters)


def measured_film(
    spectrum: Spectrum,
    thickness: float,
    substrate: complex = 2.33,
    angle: float = 0.0,
    polarization: str = "unpolarised",
    component: str = "mean",
) -> Spectrum:
    """Return reflectivity, transmissivity and absorptivity of a film on a substrate (:func:`.instruments.thin_film`).

    Parameters
    ----------
    spectrum : Spectrum
        With the dielectric function of the film.
    thickness : float, in µm
    substrate : complex
        Dielectric constant of the substrate, a half space.
    angle : float, in degrees
        Angle of incidence.
    polarization : {"s", "p", "unpolarised"}
    component : {"mean", "xx", "yy", "zz"}
        Component of the tensor that the film has in all directions.

    Returns
    -------
    Spectrum
        Of kind ``"instrument"``, with the columns ``reflectivity``, ``transmissivity`` (into the substrate) and
        ``absorptivity`` (in the film, ``1 - R - T``).

    Raises
    ------
    InputError
        If the spectrum has no such component, or a number is not valid.
    """
    lights = _lights(polarization)

    def measure(w, eps):
        both = [thin_film(w, eps, thickness, substrate, angle, light) for light in lights]
        reflected, transmitted = np.mean(both, axis=0)
        return {
            "reflectivity": reflected,
            "transmissivity": transmitted,
            "absorptivity": 1 - reflected - transmitted,
        }

    parameters = {
        "instrument": "film",
        "thickness_um": float(thickness),
        "substrate_eps": [complex(substrate).real, complex(substrate).imag],
        "angle_of_incidence_deg": float(angle),
        "polarization": polarization,
    }
    return _measured(spectrum, component, measure, parameters)


def measured_atr(
    spectrum: Spectrum,
    crystal: float = 5.66,
    angle: float = 45.0,
    polarization: str = "unpolarised",
    reflections: int = 1,
    component: str = "mean",
) -> Spectrum:
    """Return the ATR absorbance of a thick sample (:func:`.instruments.attenuated_total_reflection`).

    Parameters
    ----------
    spectrum : Spectrum
        With the dielectric function of the sample.
    crystal : float
        Dielectric constant of the ATR crystal.
    angle : float, in degrees
        Angle of incidence in the crystal.
    polarization : {"s", "p", "unpolarised"}
    reflections : int
    component : {"mean", "xx", "yy", "zz"}
        Component of the tensor that the sample has in all directions.

    Returns
    -------
    Spectrum
        Of kind ``"instrument"``, with the column ``absorbance`` (base 10).

    Raises
    ------
    InputError
        If the spectrum has no such component, or a number is not valid.
    """
    _lights(polarization)

    def measure(w, eps):
        return {"absorbance": attenuated_total_reflection(w, eps, crystal, angle, polarization, reflections)}

    parameters = {
        "instrument": "atr",
        "crystal_eps": float(crystal),
        "angle_of_incidence_deg": float(angle),
        "polarization": polarization,
        "reflections": int(reflections),
    }
    return _measured(spectrum, component, measure, parameters)


def _lights(polarization: str) -> tuple[str, ...]:
    """Return the polarizations to average over."""
    if polarization not in LIGHTS:
        raise InputError(f"polarization must be one of {', '.join(LIGHTS)}, got '{polarization}'")
    return ("s", "p") if polarization == "unpolarised" else (polarization,)
