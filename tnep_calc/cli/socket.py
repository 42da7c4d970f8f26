"""``tnep socket``: compute for i-PI, or for another program that speaks its socket protocol."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError

EPILOG = """\
The program is a client: it connects to a server (i-PI, or ASE's SocketIOCalculator), computes what the server asks for,
and ends when the server ends. The structure gives the species of the atoms, in the order of the server.

Models of the dipole and the polarizability are evaluated too, and sent as JSON in atomic units in the extras: 'dipole'
(e*bohr), 'polarizability' (bohr^3) and, with --born-charges, 'BEC'. i-PI writes them to files, and uses 'BEC' for
dynamics in a time-dependent electric field.

examples:
  tnep socket init.xyz --energy energy.pt --dipole dipole.pt --unixsocket driver
  tnep socket init.xyz --enthalpy model.pt --host node17 --port 31415 --born-charges
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep socket``."""
    parser.epilog = EPILOG
    parser.add_argument("structure", type=Path, help="structure with the species, in any format of ASE")
    for role in ("energy", "dipole", "susceptibility", "enthalpy", "radnet"):
        parser.add_argument(f"--{role}", metavar="MODEL", help=f"model of the {role}: nep.txt or artifact")
    parser.add_argument("--dipole-unit", help="unit in which the dipole model of a nep.txt was trained (default e*A)")
    parser.add_argument("--susceptibility-unit", help="the same for the polarizability (default e*A^2/V)")
    parser.add_argument("--born-charges", action="store_true", help="send the Born charges, too")
    where = parser.add_argument_group("address of the server")
    where.add_argument("--unixsocket", metavar="NAME", help="name of a UNIX socket: /tmp/ipi_NAME")
    where.add_argument("--host", default="localhost", help="host of an internet socket (default: %(default)s)")
    where.add_argument("--port", type=int, default=31415, help="its port (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Connect, and compute until the server ends."""
    from ..calculators.tnep import TNEPCalculator
    from ..families import ROLES
    from ..interfaces.ipi import QUANTITIES, ResponseClient
    from ..io.structures.single import read_structure

    models = {role: getattr(args, role) for role in ROLES if getattr(args, role) is not None}
    if not {"energy", "enthalpy"} & set(models):
        raise InputError("forces need a model: give --energy or --enthalpy")
    atoms = read_structure(args.structure)
    atoms.calc = TNEPCalculator(**models, dipole_unit=args.dipole_unit, susceptibility_unit=args.susceptibility_unit)
    known = atoms.calc.implemented_properties
    names = [name for name, needed in QUANTITIES.items() if needed in known and (name != "BEC" or args.born_charges)]
    if args.born_charges and "BEC" not in names:
        raise InputError("--born-charges needs a model of the dipole: give --dipole, --enthalpy or --radnet")
    address = {"unixsocket": args.unixsocket} if args.unixsocket else {"host": args.host, "port": args.port}
    client = ResponseClient(names, **address)
    steps = sum(1 for _ in client.irun(atoms, use_stress=bool(atoms.pbc.all())))
    print(f"the server has ended after {steps} evaluations")
