"""Physical constants and conversion factors; the only module that defines them.

Internal units: Å, eV, e, amu, fs, V/Å (so e·V/Å = eV/Å).  Values are CODATA 2018 (exact where the SI defines them).

Examples
--------
>>> round(THZ_TO_INV_CM, 10)
33.3564095198
>>> round(COULOMB, 5)
14.39965
>>> round(hertz_to_inv_cm(1e12), 6)
33.35641
"""

from math import pi

# SI base
SPEED_OF_LIGHT = 299792458.0  # m/s
ELEMENTARY_CHARGE = 1.602176634e-19  # C
PLANCK = 6.62607015e-34  # J s
HBAR = PLANCK / (2 * pi)  # J s
BOLTZMANN_SI = 1.380649e-23  # J/K
AVOGADRO = 6.02214076e23  # 1/mol
EPSILON_0_SI = 8.8541878128e-12  # F/m
ATOMIC_MASS = 1.66053906660e-27  # kg

# lengths and dipoles
BOHR = 0.529177210903  # Å
DEBYE = 1e-21 / SPEED_OF_LIGHT / ELEMENTARY_CHARGE * 1e10  # e·Å
HARTREE = 27.211386245988  # eV
ATOMIC_TIME = 0.024188843265857  # fs

# eV-Å-e system
BOLTZMANN = BOLTZMANN_SI / ELEMENTARY_CHARGE  # eV/K
EPSILON_0 = EPSILON_0_SI / ELEMENTARY_CHARGE * 1e-10  # e/(V·Å)
COULOMB = 1.0 / (4 * pi * EPSILON_0)  # e²/(4 pi eps0) in eV·Å
EV_PER_A3_TO_GPA = ELEMENTARY_CHARGE * 1e30 * 1e-9  # GPa per eV/Å³
EV_PER_A3_TO_BAR = EV_PER_A3_TO_GPA * 1e4  # bar per eV/Å³
V_PER_A_TO_MV_PER_CM = 100.0  # MV/cm per V/Å
E_PER_A2_TO_MICROCOULOMB_PER_CM2 = ELEMENTARY_CHARGE * 1e22  # µC/cm² per e/Å²

# frequencies
FEMTOSECOND = 1e-15  # s
INV_CM_TO_HERTZ = SPEED_OF_LIGHT * 100.0  # Hz per cm^-1
THZ_TO_INV_CM = 1e12 / INV_CM_TO_HERTZ  # cm^-1 per THz
INV_CM_TO_RAD_PER_FS = 2 * pi * INV_CM_TO_HERTZ * FEMTOSECOND  # rad/fs per cm^-1
# sqrt(eV/Å²/amu) as angular frequency in rad/fs, and as wavenumber in cm^-1
SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS = (ELEMENTARY_CHARGE * 1e20 / ATOMIC_MASS) ** 0.5 * FEMTOSECOND
SQRT_EV_PER_A2_AMU_TO_INV_CM = SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS / INV_CM_TO_RAD_PER_FS

# polarizabilities: factors from e·Å²/V to other units
POLARIZABILITY_TO_A3 = COULOMB  # polarizability volume in Å³ per e·Å²/V
POLARIZABILITY_TO_BOHR3 = COULOMB / BOHR**3  # bohr³ per e·Å²/V


def hertz_to_inv_cm(frequency):
    """Return the wavenumber in cm^-1 of a frequency in Hz."""
    return frequency / INV_CM_TO_HERTZ


def hc_over_kt(temperature):
    """Return ``h c / (k_B T)`` in cm, so that ``hc_over_kt(T) * wavenumber`` is the reduced energy.

    Parameters
    ----------
    temperature : float
        Temperature in K, positive.

    Returns
    -------
    float
        The factor in cm (per cm^-1).
    """
    return PLANCK * INV_CM_TO_HERTZ / (BOLTZMANN_SI * temperature)


# Names of units that users can give, with the factors to e·Å and to e·Å²/V.  (bohr³ is also the atomic unit
# e²·bohr²/Hartree.)
DIPOLE_UNITS = {"e*A": 1.0, "e*bohr": BOHR, "debye": DEBYE}
POLARIZABILITY_UNITS = {
    "e*A^2/V": 1.0,
    "A^3": 1.0 / POLARIZABILITY_TO_A3,
    "bohr^3": 1.0 / POLARIZABILITY_TO_BOHR3,
}
