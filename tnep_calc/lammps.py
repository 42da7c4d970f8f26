"""Write LAMMPS inputs for a model file, run them under MPI, and read their output."""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .artifact import read_metadata
from .errors import InputError, TnepError
from .io.files import atomic_output
from .units import EPSILON_0

TEMPLATES = {
    "nve": "dynamics at constant energy",
    "npt": "dynamics at constant temperature and pressure",
    "ir": "equilibration, then dynamics with the dipole for 'tnep ir'",
    "raman": "equilibration, then dynamics with the polarizability for 'tnep raman'",
    "spectrum": "equilibration, then dynamics that accumulates spectra without storing a series",
    "field": "dynamics in a constant electric field, with the conserved energy",
    "dielectric": "dielectric constants, clamped and relaxed, from the response to a small field",
    "hysteresis": "dipole along a cycle of the field at constant temperature",
}
"""Name of each template, and a description of its input."""

_HEAD = """\
# {title}
#   lmp -in {name}          or, on 4 MPI ranks:          mpiexec -n 4 lmp -in {name}
# Lines "variable NAME index VALUE" are defaults: change them here or with -var NAME VALUE.
variable     data        index {data}     # structure: one atom type per element, in the order of pair_coeff
variable     model       index {model}
variable     precision   index {precision}        # {remark}
{variables}
units        metal                              # A, eV, ps, K, bar, e; fields in V/A
atom_style   atomic
boundary     p p p
read_data    ${{data}}
pair_style   tnep precision ${{precision}}
pair_coeff   * * ${{model}} {elements}        # cutoff {cutoff:g} A
neighbor     {skin:.1f} bin
{ghosts}neigh_modify every 1 delay 0 check yes
timestep     ${{dt}}
"""
_SKIN = 1.0  # A
_DYNAMICS = {
    "dt": "0.0005        # ps: 0.5 fs; hydrogen needs such a short step, for oxides 0.001 is enough",
    "steps": "20000",
    "temperature": "300",
    "seed": "4928",
}
_START = "velocity     all create ${temperature} ${seed} mom yes rot no dist gaussian\n"
_EQUILIBRATE = (
    _START + "fix          bath all nvt temp ${temperature} ${temperature} 0.1\n"
    "thermo       1000\nrun          ${equilibration}\nunfix        bath\nreset_timestep 0\n\n"
)
_NVE = "fix          move all nve\n"


def _nve(c):
    return (
        _DYNAMICS,
        _START + _NVE + "thermo_style custom step temp pe ke etotal press\nthermo       100\nrun          ${steps}\n",
    )


def _npt(c):
    body = (
        _START + "fix          move all npt temp ${temperature} ${temperature} 0.1 aniso ${pressure} ${pressure} 1.0\n"
    )
    body += "thermo_style custom step temp pe etotal press vol lx ly lz\nthermo       100\nrun          ${steps}\n"
    return _DYNAMICS | {"pressure": "0             # bar"}, body


def _sampled(compute, file, command):
    body = _EQUILIBRATE + compute
    body += _NVE + f"# A line every ${{every}} steps. Afterwards: {command}\n"
    body += f"fix          sample all ave/time ${{every}} 1 ${{every}} c_r[*] file {file} format ' %.12g'\n"
    body += "thermo_style custom step temp pe etotal press\nthermo       1000\nrun          ${steps}\n"
    return _DYNAMICS | {"equilibration": "10000", "every": "4             # steps between samples"}, body


def _ir(c):
    return _sampled(f"compute      r all tnep/dipole {c.dipole} {c.elements}\n", "dipole.dat", "tnep series, tnep ir")


def _raman(c):
    compute = f"compute      r all tnep/polarizability {c.polarizability} {c.elements}\n"
    return _sampled(compute, "polarizability.dat", "tnep series, tnep raman")


def _spectrum(c):
    body = _EQUILIBRATE + _NVE + f"compute      mu all tnep/dipole {c.dipole} {c.elements}\n"
    quantities, commands = "dipole c_mu", "tnep ir, tnep dielectric"
    if c.polarizability:
        body += f"compute      alpha all tnep/polarizability {c.polarizability} {c.elements}\n"
        quantities, commands = quantities + " polarizability c_alpha", commands + ", tnep raman"
    body += f"# Correlation functions, which a restart continues. Afterwards, with spectrum.corr: {commands}\n"
    body += f"fix          S all tnep/spectrum ${{every}} file spectrum.corr {quantities} resolution ${{resolution}}\n"
    body += "restart      ${save} spectrum.restart.1 spectrum.restart.2\n"
    body += "thermo_style custom step temp pe etotal press\nthermo       1000\nrun          ${steps}\n"
    more = {"equilibration": "10000", "every": "4             # steps between samples"}
    more |= {"resolution": "10            # cm^-1; twice as coarse needs half of the memory", "save": "100000"}
    return _DYNAMICS | more, body


def _field(c):
    body = _START + _NVE + f"fix          F all tnep/field ${{Ex}} ${{Ey}} ${{Ez}}{c.response}\n"
    body += "# etotal is the conserved enthalpy H(R, E) plus the kinetic energy; f_F its part from the field\n"
    body += (
        "thermo_style custom step temp etotal f_F f_F[1] f_F[2] f_F[3] press\nthermo       100\nrun          ${steps}\n"
    )
    return _DYNAMICS | {"Ex": "0", "Ey": "0", "Ez": "0.01          # V/A"}, body


def _dielectric(c):
    body = f"""min_style    fire          # converges to small forces; cg stops when the energy has no more digits
minimize     0 1e-6 2000 20000
fix          F all tnep/field 0 0 0{c.response}
run          0
variable     before equal $(f_F[3]:%.17g)
unfix        F
fix          F all tnep/field 0 0 ${{Ez}}{c.response}
run          0
variable     factor equal 1/({EPSILON_0:.13g}*vol*${{Ez}})       # eps_zz - 1 = (P - P0) / (eps0 V E)
print        "eps_zz of clamped atoms: $(1+v_factor*(f_F[3]-v_before):%.6f)"
minimize     0 1e-6 2000 20000
print        "eps_zz of relaxed atoms: $(1+v_factor*(f_F[3]-v_before):%.6f)"
"""
    return {"dt": "0.001", "Ez": "0.01          # V/A; the response must be linear in it"}, body


def _hysteresis(c):
    body = _START + "fix          move all nvt temp ${temperature} ${temperature} 0.1\n"
    body += "variable     Ez equal ${Emax}*cos(2*PI*time/(${steps}*dt))      # one cycle during the run\n"
    body += f"fix          F all tnep/field 0 0 v_Ez{c.response}\n"
    body += "# field (V/A), dipole in it (e*A per cell; the polarization is f_F[3]/vol in e/A^2) and its induced part\n"
    body += "fix          loop all ave/time 10 1 10 v_Ez f_F[3] f_F[6] file loop.dat format ' %.12g'\n"
    body += "thermo_style custom step temp pe v_Ez f_F[3] f_F[10]\nthermo       100\nrun          ${steps}\n"
    return _DYNAMICS | {"Emax": "0.3           # V/A"}, body


_BODIES = {
    "nve": _nve,
    "npt": _npt,
    "ir": _ir,
    "raman": _raman,
    "spectrum": _spectrum,
    "field": _field,
    "dielectric": _dielectric,
    "hysteresis": _hysteresis,
}


@dataclass(frozen=True)
class _Choices:
    elements: str
    dipole: str
    polarizability: str
    response: str


def lammps_input(
    template: str, model, data: str = "structure.data", dipole=None, polarizability=None, name: str = "in.lammps"
) -> str:
    """Return a complete, commented LAMMPS input.

    Parameters
    ----------
    template : str
        A key of `TEMPLATES`.
    model : str or path
        Artifact of a potential or of an electric enthalpy, from which elements and cutoff are read.
    data : str
        Name of the data file that the input reads; its atom types must be the model's elements in their order.
    dipole, polarizability : str or path, optional
        Artifacts of these kinds.  Templates with a response need them unless the model is an enthalpy.
    name : str
        Name of the input file in the comment at its top.

    Raises
    ------
    InputError
        If the template is unknown, or a model is of the wrong kind or missing.
    """
    if template not in _BODIES:
        raise InputError(f"template must be one of {', '.join(TEMPLATES)}, got '{template}'")
    metadata = read_metadata(model)
    if metadata.kind not in ("potential", "enthalpy"):
        raise InputError(f"{model} is a {metadata.kind} model; LAMMPS needs a potential or an enthalpy for the forces")
    enthalpy = metadata.kind == "enthalpy"
    given, longest = {"dipole": dipole, "polarizability": polarizability}, metadata.cutoff
    for kind, path in given.items():
        if path is None:
            continue
        found = read_metadata(path)
        longest = max(longest, found.cutoff)
        if found.kind not in (kind, "enthalpy"):
            raise InputError(f"{path} is a {found.kind} model, expected a {kind} model")
        if found.species != metadata.species:
            raise InputError(
                f"{path} is for {' '.join(found.species)}, but {model} for {' '.join(metadata.species)}: the templates "
                "need models of the same elements in the same order"
            )
    needed = {
        "ir": "dipole",
        "raman": "polarizability",
        "spectrum": "dipole",
        "field": "dipole",
        "dielectric": "dipole",
        "hysteresis": "dipole",
    }
    if not enthalpy and template in needed and given[needed[template]] is None:
        kind = needed[template]
        raise InputError(f"template {template} also needs a {kind} model, as {model} is a potential: add --{kind} FILE")
    elements, response = " ".join(metadata.species), ""
    if not enthalpy and dipole is not None:
        response = f" dipole {dipole} {elements}"
        if polarizability is not None:
            response += f" polarizability {polarizability} {elements}"
    own = "${model}" if enthalpy else ""
    choices = _Choices(elements, str(dipole or own), str(polarizability or own), response)
    values, body = _BODIES[template](choices)
    variables = "\n".join(f"variable     {key:<11} index {value}" for key, value in values.items())
    title = TEMPLATES[template][0].upper() + TEMPLATES[template][1:] + "."
    ghosts = ""
    if longest > metadata.cutoff:
        ghosts = f"comm_modify  cutoff {longest + _SKIN:g}              # another model sees {longest:g} A\n"
    precision = "single" if metadata.dtype == "float32" and template != "dielectric" else "double"
    head = _HEAD.format(
        title=title,
        name=name,
        data=data,
        model=model,
        variables=variables,
        elements=elements,
        cutoff=metadata.cutoff,
        precision=precision,
        remark="minimizations need it" if template == "dielectric" else "of the arithmetic: single or double",
        skin=_SKIN,
        ghosts=ghosts,
    )
    return head + "\n" + body


def structure_text(atoms, species: tuple[str, ...]) -> str:
    """Return the content of a LAMMPS data file whose atom types are the elements of a model in their order.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic in all directions; the cell is rotated to the triangular form of LAMMPS.
    species : tuple of str
        Elements of the model; each becomes an atom type with its mass.

    Raises
    ------
    InputError
        If the model does not know an element, or the structure is not periodic.
    """
    from ase.io import write

    unknown = sorted(set(atoms.symbols) - set(species))
    if unknown:
        raise InputError(f"the model knows {' '.join(species)}, but the structure has {' '.join(unknown)}")
    if not atoms.pbc.all():
        raise InputError(f"the inputs are periodic in three directions, but the structure has pbc {atoms.pbc.tolist()}")
    text = io.StringIO()
    write(text, atoms, format="lammps-data", specorder=list(species), masses=True)
    return text.getvalue()


def write_structure(path, atoms, species: tuple[str, ...], force: bool = False) -> None:
    """Write the content of :func:`structure_text` to a file, which may exist only with `force`.

    Raises
    ------
    InputError
        If the file exists, the model does not know an element, or the structure is not periodic.
    """
    text = structure_text(atoms, species)
    with atomic_output(path, force=force) as temporary:
        Path(temporary).write_text(text)


@dataclass(frozen=True)
class LammpsRun:
    """Output of a LAMMPS run.

    Attributes
    ----------
    folder : Path
        Working directory of the run.
    thermo : dict of str to ndarray, shape (n,)
        Columns of the thermo output of all ``run`` commands, with LAMMPS' names and units; NaN in rows of runs that
        lack the column.
    text : str
        Screen output.
    """

    folder: Path
    thermo: dict[str, np.ndarray]
    text: str

    def table(self, name: str) -> dict[str, np.ndarray]:
        """Return the columns of a file written by ``fix ave/time``, by their names in its header.

        Raises
        ------
        InputError
            If the file cannot be read or is not such a table.
        """
        path = self.folder / name
        try:
            lines = path.read_text().splitlines()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        headers = [line[1:].split() for line in lines if line.startswith("#")]
        rows = np.array([[float(word) for word in line.split()] for line in lines if not line.startswith("#")])
        if not headers or rows.ndim != 2 or rows.shape[1] != len(headers[-1]):
            raise InputError(f"{path}: not a table of fix ave/time (a header, and rows with as many numbers as names)")
        return dict(zip(headers[-1], rows.T, strict=True))


def run_lammps(
    text: str, folder, ranks: int = 1, variables: Mapping[str, object] | None = None, name: str = "in.lammps"
) -> LammpsRun:
    """Run an input with the LAMMPS of this environment and wait for its end.

    Parameters
    ----------
    text : str
        The input, for example from `lammps_input`.
    folder : str or path
        Working directory, created if it is missing; receives the input and ``log.lammps``.
    ranks : int, default 1
        Number of MPI processes.
    variables : mapping, optional
        Values of variables of the input, passed with ``-var``.
    name : str
        Name of the input file.

    Returns
    -------
    LammpsRun

    Raises
    ------
    TnepError
        If LAMMPS is not installed, or stops with an error, which the message quotes.
    """
    from tnep_calc_lammps import lmp_command

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_output(folder / name, force=True) as temporary:
        Path(temporary).write_text(text)
    try:
        command = [*lmp_command(ranks), "-in", name]
    except FileNotFoundError as error:
        raise TnepError(str(error)) from error
    for key, value in (variables or {}).items():
        command += ["-var", key, str(value)]
    # os.environ lacks what an MPI library in this process has set, which would stop another MPI library in LAMMPS
    done = subprocess.run(command, cwd=folder, env=dict(os.environ), capture_output=True, text=True)
    screen = done.stdout + done.stderr
    if done.returncode != 0:
        reason = (re.findall(r"ERROR.*", screen) or screen.strip().split("\n")[-1:])[0]
        raise TnepError(f"LAMMPS stopped in {folder / name}: {reason}")
    return LammpsRun(folder, read_thermo(screen), screen)


def read_thermo(screen: str) -> dict[str, np.ndarray]:
    r"""Return the columns of all thermo tables in a log or screen output, NaN where a table lacks a column.

    Examples
    --------
    >>> read_thermo("   Step  Temp\n 0  300\n 10  290\nLoop time of 1").keys()
    dict_keys(['Step', 'Temp'])
    """
    rows: list[dict[str, float]] = []
    header: list[str] | None = None
    for line in screen.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            header = words
        elif header and len(words) == len(header):
            try:
                rows.append(dict(zip(header, map(float, words), strict=True)))
            except ValueError:
                header = None
        elif words[:1] != ["WARNING:"]:
            header = None
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
