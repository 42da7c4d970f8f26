"""ABINIT: the same calculation through its main output, DDB and netCDF files."""

import lzma

import numpy as np
import pytest

from helpers.paths import DATA
from tnep_calc.errors import DataFileError
from tnep_calc.io.structures.abinit import read_abinit
from tnep_calc.units import BOHR, EPSILON_0, HARTREE

ABINIT = DATA / "abinit"
ALL = ("bn.abo.xz", "bn_DS3_DDB.xz", "bn_DS3_DDB.nc.xz", "bn_DS1_DDB.xz", "bn_DS1_GSR.nc.xz")


def test_main_output():
    (s,) = read_abinit([ABINIT / "bn.abo.xz"])
    assert s.symbols == ("B", "N") and s.pbc.all()
    assert s.energy == pytest.approx(-13.100486971 * HARTREE, abs=1e-8)
    np.testing.assert_allclose(s.positions[0], [0.0513, -0.0188, 0.0814], atol=1e-9)  # xangst
    np.testing.assert_allclose(
        s.forces[1], np.array([2.9431887479e-2, 2.7446548107e-3, 4.7443404426e-2]) * HARTREE / BOHR
    )
    stress = -s.virial / s.volume / HARTREE * BOHR**3
    np.testing.assert_allclose(
        stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        [5.51441328e-3, 5.30036036e-3, 5.65377790e-3, 7.81927121e-4, 9.31256635e-4, 8.58153667e-4],
        rtol=1e-8,
    )
    epsilon = np.eye(3) + s.polarizability / (EPSILON_0 * s.volume)
    np.testing.assert_allclose(epsilon[0], [5.8395492, -2.0534689, -1.5959480], atol=1e-6)
    # "dir pert dir pert": displacement y of atom 1, field x
    assert s.born_charges[0, 0, 1] == pytest.approx(0.2987189889)
    assert s.born_charges[0, 1, 0] == pytest.approx(0.2935394808)
    assert s.born_charges[1, 2, 2] == pytest.approx(-2.3360157833)
    total = np.array([-0.0614171108, -0.0643950937, -0.0606799403]) / BOHR**2 * s.volume
    quanta = (total - s.dipole) @ np.linalg.inv(s.cell)
    np.testing.assert_allclose(quanta, np.round(quanta), atol=1e-7)
    assert (np.abs(s.dipole @ np.linalg.inv(s.cell)) <= 0.5).all()


@pytest.mark.parametrize(
    "name, labels",
    [
        ("bn_DS3_DDB.xz", {"born_charges", "polarizability"}),
        ("bn_DS3_DDB.nc.xz", {"born_charges"}),
        ("bn_DS1_DDB.xz", {"energy", "forces", "virial"}),
        ("bn_DS1_GSR.nc.xz", {"energy", "forces", "virial"}),
    ],
)
def test_other_files_agree_with_the_main_output(name, labels):
    (main,), (s,) = read_abinit([ABINIT / "bn.abo.xz"]), read_abinit([ABINIT / name])
    assert s.symbols == main.symbols
    for label in ("positions", "cell", "energy", "forces", "virial", "born_charges", "polarizability", "dipole"):
        if label in labels or label in ("positions", "cell"):
            np.testing.assert_allclose(getattr(s, label), getattr(main, label), atol=3e-9)
        else:
            assert getattr(s, label) is None


def test_files_of_one_geometry_are_merged():
    (s,) = read_abinit([ABINIT / name for name in reversed(ALL)])
    assert s.source.endswith("bn_DS1_GSR.nc.xz")
    assert all(getattr(s, label) is not None for label in ("energy", "forces", "virial", "dipole", "born_charges"))


def test_errors_name_the_file(tmp_path):
    text = lzma.open(ABINIT / "bn.abo.xz", "rt").read()
    for old, new, message in [
        ("echo values of variables after", "echo of", "did not finish"),
        ("            xred  ", "            xred1 ", "'xred' differs between datasets"),
        ("optdriver3          1", "optdriver3          0", "dataset 3: energy differs from that in .*a.abo, dataset 1"),
        ("berryopt1         -1", "berryopt1          4", "constant field"),
        ("Version 9.6.2 of ABINIT", "Version 9.6.2 of another code", "neither a main output nor a DDB of ABINIT"),
        ("znucl        5", "zn         5", "no 'znucl' in the echo"),
    ]:
        assert old in text
        (tmp_path / "a.abo").write_text(text.replace(old, new))
        with pytest.raises(DataFileError, match=rf"a\.abo(: |, ).*{message}"):
            read_abinit([tmp_path / "a.abo"])
    changed = text.replace("fcart1    -2.94", "fcart1    -2.95")
    (tmp_path / "b.abo").write_text(changed)
    with pytest.raises(DataFileError, match=r"DS1_GSR\.nc\.xz: forces differs from that in .*b\.abo"):
        read_abinit([tmp_path / "b.abo", ABINIT / "bn_DS1_GSR.nc.xz"])
    ddb = lzma.open(ABINIT / "bn_DS3_DDB.xz", "rt").read()
    (tmp_path / "DDB").write_text(ddb.replace("qpt  0.0", "qpt  0.5"))
    with pytest.raises(DataFileError, match="has no energy, forces, dielectric tensor or Born charges"):
        read_abinit([tmp_path / "DDB"])
    (tmp_path / "DDB").write_text(ddb.replace("zion", "zinn"))
    with pytest.raises(DataFileError, match="DDB: no zion in this DDB"):
        read_abinit([tmp_path / "DDB"])
    (tmp_path / "x.nc").write_bytes(b"CDF\x01")
    with pytest.raises(DataFileError, match="x.nc: is not netCDF-4"):
        read_abinit([tmp_path / "x.nc"])
