"""Files in the layout of Quantum ESPRESSO's ph.x and q2r.x, from known numbers."""

import numpy as np

from tnep_calc.units import BOHR, HARTREE, POLARIZABILITY_TO_A3

RYDBERG_MASS = 911.4442431  # Rydberg units of mass per amu
_ROW = "{:24.12f}" * 3


def _structure(cell, symbols, masses, positions, alat):
    """Return the lines of lattice, species and atoms; every atom is a species."""
    n = len(symbols)
    lines = [f"  {n}    {n}    0  {alat / BOHR:.10f}" + "   0.0000000" * 5]
    lines += ["Basis vectors"] + [_ROW.format(*row) for row in np.array(cell) / alat]
    kinds = enumerate(zip(symbols, masses, strict=True), 1)
    lines += [f"  {k}  '{s} '  {m * RYDBERG_MASS:.9f}" for k, (s, m) in kinds]
    return lines + [f"  {k}  {k}" + _ROW.format(*x) for k, x in enumerate(np.array(positions) / alat, 1)]


def matrix_file(reference) -> str:
    """Return a matrix file of ph.x with the numbers of an ABINIT calculation of a zincblende crystal."""
    r = reference
    mass, cell = np.array(r["masses_abinit"]), np.array(r["cell"])
    alat = np.linalg.norm(cell[0]) * np.sqrt(2)
    spring = (r["TO_cm1"] / 109737.31568) ** 2 * RYDBERG_MASS / (1 / mass).sum()  # Ry/bohr^2
    lines = ["Dynamical matrix file", ""]
    lines += _structure(cell, r["symbols"], mass, np.array(r["scaled_positions"]) @ cell, alat)
    lines += ["", "     Dynamical  Matrix in cartesian axes", ""]
    lines += ["     q = (    0.000000000   0.000000000   0.000000000 )", ""]
    for i, j in np.ndindex(2, 2):
        lines.append(f"    {i + 1}    {j + 1}")
        lines += ["  ".join(f"{x:.12f}  0.0" for x in row) for row in (1 if i == j else -1) * spring * np.eye(3)]
    lines += ["", "     Dielectric Tensor:", ""] + [_ROW.format(*row) for row in r["epsilon_inf"] * np.eye(3)]
    lines += ["", "     Effective Charges E-U: Z_{alpha}{s,beta}", ""]
    for k, z in enumerate(r["born_xx_raw"], 1):
        lines += [f"     atom # {k:4d}"] + [_ROW.format(*row) for row in z * np.eye(3)]
    slope = r["volume_A3"] / (4 * np.pi) * r["d_eps_yz_du_x_atom0_per_A"]  # Å²
    lines += ["", "     Raman tensor (A^2)", ""]
    for k, axis in np.ndindex(2, 3):
        tensor = np.zeros((3, 3))
        i, j = (x for x in range(3) if x != axis)
        tensor[i, j] = tensor[j, i] = (1, -1)[k] * slope
        lines += [f"     atom # {k + 1:4d}    pol.{axis + 1:3d}"]
        lines += ["".join(f"{x:24.12E}" for x in row) for row in tensor]
    return "\n".join([*lines, "", "     Diagonalizing the dynamical matrix", "", "     q = (    0.0   0.0   0.0 )", ""])


def matrix_xml(run, newer: bool = True, alat: float = 3.0) -> str:
    """Return the matrix file in XML of a PhononRun; Fortran writes the first index fastest.

    `newer` chooses between the layouts of versions 7 (one attribute per coordinate, complex numbers as two words) and 6.
    """

    def tag(name, values, comma=False):
        numbers = [f"{x:.15E}" for x in np.ravel(values)]
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return f"<{name}>\n" + ("\n".join(map(",".join, pairs)) if comma else " ".join(numbers)) + f"\n</{name}>"

    n = len(run.symbols)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<Root>", "<GEOMETRY_INFO>"]
    lines += [f"<NUMBER_OF_TYPES>{n}</NUMBER_OF_TYPES>", f"<NUMBER_OF_ATOMS> {n} </NUMBER_OF_ATOMS>"]
    lines += [tag("CELL_DIMENSIONS", [alat / BOHR, 0, 0, 0, 0, 0]), tag("AT", run.cell / alat)]
    for k, (symbol, mass) in enumerate(zip(run.symbols, run.masses, strict=True), 1):
        lines += [f"<TYPE_NAME.{k}>{symbol} </TYPE_NAME.{k}>", tag(f"MASS.{k}", mass)]
    for k, x in enumerate(run.positions / alat, 1):
        words = [f"{c:.15E}" for c in x]
        where = "".join(f' TAU{a}="{c}"' for a, c in zip("XYZ", words, strict=True))
        lines.append(f'<ATOM.{k} INDEX="{k}"' + (where if newer else f' TAU="{" ".join(words)}"') + "/>")
    lines += ["</GEOMETRY_INFO>", '<DIELECTRIC_PROPERTIES epsil="true" zstar="true" raman="true">']
    lines += [tag("EPSILON", run.dielectric.T), "<ZSTAR>"]
    lines += [tag(f"Z_AT_.{k}", z.T) for k, z in enumerate(run.born_charges, 1)]
    lines += ["</ZSTAR>", "<RAMAN_TENSOR_A2>"]
    for k, axis in np.ndindex(n, 3):
        tensor = run.polarizability_gradient[k, axis] * POLARIZABILITY_TO_A3
        lines.append(tag(f"RAMAN_S_ALPHA.{k + 1}.{axis + 1}", tensor.T))
    lines += ["</RAMAN_TENSOR_A2>", "</DIELECTRIC_PROPERTIES>", "<DYNAMICAL_MAT_.1>", tag("Q_POINT", np.zeros(3))]
    for i, j in np.ndindex(n, n):
        phi = run.force_constants[i, j].T.ravel() / (HARTREE / 2 / BOHR**2)
        lines.append(tag(f"PHI.{i + 1}.{j + 1}", np.column_stack([phi, np.zeros(9)]), comma=not newer))
    return "\n".join([*lines, "</DYNAMICAL_MAT_.1>", "</Root>", ""])


def q2r_file(phonon, born=None) -> str:
    """Return the force constants of a phonopy object in the layout of q2r.x.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With a diagonal supercell of its primitive cell, which is also the unit cell.
    born : Charges, optional
        Written before the force constants.
    """
    p, s = phonon.primitive, phonon.supercell
    repeats, n = np.diag(phonon.supercell_matrix), len(p)
    lines = _structure(p.cell, p.symbols, p.masses, p.positions, 4.0)
    lines.remove("Basis vectors")
    if born is None:
        lines.append(" F")
    else:
        lines += [" T", *(_ROW.format(*row) for row in born.dielectric)]
        for k, z in enumerate(born.used, 1):
            lines += [f"    {k}", *(_ROW.format(*row) for row in z)]
    lines.append("  ".join(map(str, repeats)))
    cells = s.positions @ np.linalg.inv(p.cell) - p.scaled_positions[np.repeat(np.arange(n), len(s) // n)]
    site = {(k // (len(s) // n), *np.rint(c).astype(int) % repeats): k for k, c in enumerate(cells)}
    constants = phonon.force_constants / (HARTREE / 2 / BOHR**2)
    first = [site[(k, 0, 0, 0)] for k in range(n)]
    if constants.shape[0] != constants.shape[1]:
        rows = {atom: row for row, atom in enumerate(p.p2s_map)}
        first = [rows[k] for k in first]
    for a, b, i, j in np.ndindex(3, 3, n, n):
        lines.append(f"{a + 1:4d}{b + 1:4d}{i + 1:4d}{j + 1:4d}")
        for m3, m2, m1 in np.ndindex(*repeats[::-1]):
            # the atom i is in the cell m, the atom j in the first cell
            value = constants[first[j], site[(i, m1, m2, m3)], b, a]
            lines.append(f"{m1 + 1:4d}{m2 + 1:4d}{m3 + 1:4d}  {value:.11E}")
    return "\n".join(lines) + "\n"
