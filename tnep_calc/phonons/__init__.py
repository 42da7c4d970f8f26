"""Lattice dynamics: LO-TO splitting, and infrared, Raman and dielectric spectra of harmonic modes.

=================  ==================================================================================================
``workflow``       structure and calculator -> relaxed crystal with force constants, charges and Raman derivative
``nac``            Born charges and eps_inf of a phonopy object: checks, charge sum rule, Gonze-Lee or Wang method
``loto``           frequencies at q -> 0 by direction, the TO mode that each comes from, Lyddane-Sachs-Teller check
``modes``          modes at Gamma (or at q -> 0) and of molecules, with irreps, activity and degenerate sets
``infrared``       mode charges, intensities, dielectric function and optical constants
``raman``          Raman tensors, invariants, activities, cross-sections, spectra of powders
``raman_source``   derivative of the polarizability: analytic, finite differences, or fitted to displaced structures
``raman_crystal``  oriented crystals: Porto notation, rotation of the polarization, LO modes, average over q
``bands``          bands along the path of seekpath, and density of states
``export``         files for phonopy, Euphonic and PDielec
``anharmonic``     force constants from a potential (pypolymlp, NEP, any calculator), thermal conductivity
``stored``         modes at Gamma from the results of a calculation, also for the atoms of a supercell
``report``         all numbers of a calculation as tables, ``phonons.json`` and one HTML page
=================  ==================================================================================================
"""

from .anharmonic.force_constants import force_constants
from .anharmonic.polymlp import PolymlpCalculator
from .loto import lo_to

__all__ = ["PolymlpCalculator", "force_constants", "lo_to"]
