"""Lattice dynamics with response: LO-TO splitting, infrared, Raman and dielectric spectra of harmonic modes.

=================  ==================================================================================================
``workflow``       structure and calculator -> relaxed crystal with force constants, charges and Raman derivative
``nac``            Born charges and eps_inf of a phonopy object: checks, charge sum rule, Gonze-Lee or Wang
``loto``           frequencies at q -> 0 by direction, what becomes of each TO mode, Lyddane-Sachs-Teller check
``modes``          modes at Gamma (or at q -> 0) with irreps, activity and degenerate sets; molecules
``infrared``       mode charges, intensities, dielectric function and optical constants
``raman``          Raman tensors, invariants, activities, cross-sections, spectra of powders
``raman_source``   derivative of the polarizability: analytic, finite differences, or fitted to displaced structures
``raman_crystal``  oriented crystals: Porto notation, rotation of the polarization, LO modes, average over q
``bands``          bands along the seekpath path and density of states
``export``         files of phonopy, Euphonic and PDielec
``anharmonic``     force constants through a potential (pypolymlp, NEP, any calculator), thermal conductivity
``report``         all numbers of a calculation as tables, ``phonons.json`` and one HTML page
=================  ==================================================================================================
"""

from .anharmonic.force_constants import force_constants
from .anharmonic.polymlp import PolymlpCalculator
from .loto import lo_to

__all__ = ["PolymlpCalculator", "force_constants", "lo_to"]
