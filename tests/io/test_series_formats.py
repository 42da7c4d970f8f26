"""Series of other programs: GPUMD's dpdt.out, i-PI, CP2K, VASP, plain columns; messages about irregular data."""

import numpy as np
import pytest

from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.series import timeseries
from tnep_calc.io.series.collect import collect_series
from tnep_calc.io.series.timeseries import TimeSeries, read_timeseries, write_timeseries
from tnep_calc.spectra import LazySignal, dielectric_spectrum
from tnep_calc.units import ATOMIC_TIME, BOHR, DEBYE

RNG = np.random.default_rng(0)
DIPOLE = RNG.normal(size=(20, 3))
CELL = np.eye(3) * 10


def write(path, text):
    path.write_text(text)
    return path


def table(*columns):
    return "\n".join(" ".join(f"{x:.10g}" for x in row) for row in np.column_stack(columns)) + "\n"


def test_dpdt_gives_current_and_dipole(tmp_path):
    t = 0.5 * np.arange(20)
    current = np.gradient(DIPOLE, 0.5, axis=0)
    path = write(tmp_path / "dpdt.out", table(t, current, DIPOLE))
    series, notes = collect_series([path], temperature=300.0, cell=CELL)
    np.testing.assert_allclose(series.current.values, current, rtol=1e-8)
    np.testing.assert_allclose(series.dipole.values, DIPOLE, rtol=1e-8)
    assert series.current.dt == series.dipole.dt == 0.5 and series.volume == pytest.approx(1000.0)
    output = tmp_path / "run.h5"
    write_timeseries(output, series)
    np.testing.assert_allclose(read_timeseries(output).current.values, current, rtol=1e-8)
    with pytest.raises(InputError, match="leave --dipole-unit"):
        collect_series([path], units={"dipole": "debye"})
    with pytest.raises(DataFileError, match="7 columns"):
        collect_series([write(tmp_path / "dpdt.out", table(t, DIPOLE[:, :1]))])


def test_dpdt_of_appended_runs(tmp_path):
    """Times that begin again are a new run: nothing is dropped, and the integral, zero at its start, is shifted."""
    t, current = 0.5 * np.arange(20), np.gradient(DIPOLE, 0.5, axis=0)
    runs = [table(t[:n], current[:n], DIPOLE[:n] - DIPOLE[0] + shift) for n, shift in ((20, 0.0), (12, 7.0))]
    series, notes = collect_series([write(tmp_path / "dpdt.out", "".join(runs))], temperature=300.0, cell=CELL)
    assert series.current.starts == series.dipole.starts == (0, 20)
    assert series.dipole.dt == 0.5
    np.testing.assert_allclose(series.current.values, np.concatenate([current, current[:12]]), rtol=1e-8)
    first, second = series.dipole.values[:20], series.dipole.values[20:]
    np.testing.assert_allclose(first, DIPOLE - DIPOLE[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(second.mean(0), first.mean(0), atol=1e-9)
    np.testing.assert_allclose(np.diff(second, axis=0), np.diff(DIPOLE[:12], axis=0), atol=1e-8)
    assert any("2 runs in one file" in note for note in notes)
    other = write(tmp_path / "dpdt.out", runs[0] + table(2 * t, current, DIPOLE))
    with pytest.raises(DataFileError, match=r"different sampling intervals \(0.5 and 1 fs\)"):
        collect_series([other])


@pytest.mark.parametrize("unit, factor", [("", BOHR), ("{debye}", DEBYE), ("{eang}", 1.0)])
@pytest.mark.parametrize("time", ["time{picosecond}", "time", None])
def test_ipi_properties(tmp_path, unit, factor, time):
    header = "# column   1     --> step : The current simulation time step.\n"
    header += f"# column   2     --> {time or 'potential{electronvolt}'} : some help\n"
    header += f"# cols.    3-5   --> dipole{unit} : The electric dipole moment (x,y,z components).\n"
    scale = {"time{picosecond}": 1e-3, "time": 1 / ATOMIC_TIME, None: 1.0}[time]
    steps = 2.0 * np.arange(20)
    path = write(tmp_path / "simulation.out", header + table(steps, steps * scale, DIPOLE))
    series, _ = collect_series([path], timestep=None if time else 1.0)
    np.testing.assert_allclose(series.dipole.values, DIPOLE * factor, rtol=1e-8)
    assert series.dipole.dt == pytest.approx(2.0, rel=1e-8)


@pytest.mark.parametrize("style", ["row", "matrix", "json", "cut"])
def test_ipi_extras(tmp_path, style):
    text = ""
    for k, row in enumerate(DIPOLE):
        text += f" #EXTRAS(dipole)# Step:  {5 * (k + 1):10d} \n"
        if style == "json":
            text += '{"energy": 1.0, "dipole": [' + ", ".join(f"{x:.10g}" for x in row) + "]}\n"
        elif style == "matrix":
            text += "\n".join(f"{x:.10g}" for x in row) + "\n"
        else:
            text += " ".join(f"{x:.10g}" for x in row) + "\n"
    if style == "cut":
        text = text[: text.rindex(" ")]
    path = write(tmp_path / "simulation.dip_0", text)
    series, notes = collect_series([path], timestep=0.25, units={"dipole": "e*bohr"})
    count = 19 if style == "cut" else 20
    np.testing.assert_allclose(series.dipole.values, DIPOLE[:count] * BOHR, rtol=1e-8)
    assert series.dipole.dt == 1.25 and bool(notes) == (style == "cut")
    with pytest.raises(InputError, match="states no unit"):
        collect_series([path], timestep=0.25)


def test_ipi_extras_with_a_polarizability_and_a_missing_step(tmp_path):
    nine = RNG.normal(size=(6, 9))
    text = "".join(f" #EXTRAS(polarizability)# Step: {k} \n{table(row[None])}" for k, row in enumerate(nine))
    path = write(tmp_path / "a.pol_0", text)
    series, _ = collect_series([path], timestep=1.0, units={"polarizability": "bohr^3"})
    assert series.polarizability.values.shape == (6, 3, 3)
    path.write_text(text.replace("Step: 3", "Step: 30").replace("Step: 4", "Step: 31").replace("Step: 5", "Step: 32"))
    with pytest.raises(DataFileError, match="step 2 is followed by 30"):
        collect_series([path], timestep=1.0, units={"polarizability": "bohr^3"})


def test_cp2k_moments(tmp_path):
    text = " CP2K| version string: CP2K version 2024.1\n MD| Time step [fs]                  0.500000\n"
    for k, (x, y, z) in enumerate(DIPOLE):
        text += f"  Dipole moment [Debye]\n    X= {x:12.8f} Y= {y:12.8f} Z= {z:12.8f}     Total= 1.0\n MD| Step number   {k}\n"
    series, _ = collect_series([write(tmp_path / "md.out", text)])
    np.testing.assert_allclose(series.dipole.values, DIPOLE * DEBYE, atol=1e-8)
    assert series.dipole.dt == 0.5
    sparse = text.replace("Step number   1\n", "Step number   1\n MD| Step number   101\n MD| Step number 102\n")
    with pytest.raises(DataFileError, match="not equally spaced"):
        collect_series([write(tmp_path / "md.out", sparse + " MD| Step number 103\n" * 1 + " MD| Step number 104\n")])


def test_vasp_molecular_dynamics(tmp_path):
    def outcar(unit, sign):
        text = " vasp.6.4.2 20Jul23 complex\n   POTIM  =  1.0000    time-step for ionic-motion\n"
        text += "      direct lattice vectors                 reciprocal lattice vectors\n"
        text += "".join(f"  {' '.join(f'{x:.9f}' for x in row)}  0.1 0.0 0.0\n" for row in CELL)
        for x, y, z in DIPOLE:
            text += (
                f"            Ionic dipole moment: p[ion]=( {sign * x:.5f} {0.0:.5f} {sign * z:.5f} ) {unit} Angst\n"
            )
            text += f" Total electronic dipole moment: p[elc]=( {0.0:.5f} {sign * y:.5f} {0.0:.5f} ) {unit} Angst\n"
            text += " POSITION                                       TOTAL-FORCE (eV/Angst)\n"
        return text

    for unit, sign in (("electrons", -1), ("|e|", 1)):
        series, _ = collect_series([write(tmp_path / "OUTCAR", outcar(unit, sign))])
        np.testing.assert_allclose(series.dipole.values, DIPOLE, atol=1e-5)
        assert series.dipole.dt == 1.0 and series.volume == pytest.approx(1000.0)
    changed = outcar("|e|", 1).replace(
        " POSITION", "  direct lattice vectors \n" + "  11 0 0 0.1 0 0\n" * 3 + " POSITION", 1
    )
    with pytest.raises(DataFileError, match="cell changes"):
        collect_series([write(tmp_path / "OUTCAR", changed)])
    with pytest.raises(DataFileError, match="ionic step 1 has no dipole"):
        collect_series([write(tmp_path / "OUTCAR", outcar("|e|", 1).replace("p[ion]", "x"))])


def test_plain_columns_with_declared_units(tmp_path):
    t = 0.002 * np.arange(20)
    path = write(tmp_path / "mu.txt", table(t, DIPOLE, DIPOLE[:, :1]))
    options = {"file_format": "columns", "columns": {"dipole": "2-4"}, "units": {"dipole": "debye"}}
    series, _ = collect_series([path], time_unit="ps", **options)
    np.testing.assert_allclose(series.dipole.values, DIPOLE * DEBYE, rtol=1e-8)
    assert series.dipole.dt == pytest.approx(2.0)
    with pytest.raises(InputError, match="--time-unit"):
        collect_series([path], **options)
    bare = write(tmp_path / "bare.txt", table(DIPOLE))
    options["columns"] = {"dipole": "1-3"}
    series, _ = collect_series([bare], time_unit="none", interval=0.5, **options)
    np.testing.assert_allclose(series.dipole.values, DIPOLE * DEBYE, rtol=1e-8)
    with pytest.raises(InputError, match="--interval"):
        collect_series([bare], time_unit="none", **options)


def test_overlaps_gaps_and_uneven_steps_are_named(tmp_path):
    t = np.arange(20.0)
    options = {"file_format": "columns", "time_unit": "fs", "units": {"dipole": "e*A"}}
    path = tmp_path / "mu.txt"
    path.write_text(table(t, DIPOLE) + table(t[15:] + 0, DIPOLE[15:] + 1))
    series, notes = collect_series([path], **options)
    assert len(series.dipole.values) == 20 and "written again" in notes[0]
    np.testing.assert_allclose(series.dipole.values[15:], DIPOLE[15:] + 1, rtol=1e-8)
    path.write_text(table(np.delete(t, [7, 8]), np.delete(DIPOLE, [7, 8], axis=0)))
    with pytest.raises(DataFileError, match="step 6 is followed by 9 .* --allow-gaps"):
        collect_series([path], **options)
    assert collect_series([path], allow_gaps=True, **options)[0].dipole.starts == (0, 7)
    uneven = np.concatenate([t[:10], 9 + 0.7 * np.arange(1, 11)])
    path.write_text(table(uneven, DIPOLE))
    with pytest.raises(DataFileError, match="the steps are not equal"):
        collect_series([path], **options)
    # rounded times count as equal steps
    path.write_text(table(np.round(t / 3, 2), DIPOLE))
    assert collect_series([path], **options)[0].dipole.dt == pytest.approx(1 / 3, rel=2e-3)


def test_commands_for_other_programs(tmp_path, capsys):
    t = np.arange(3000.0)
    motion = np.cos(0.2 * t[:, None] + np.arange(3))
    path = write(tmp_path / "dpdt.out", table(t, -0.2 * np.sin(0.2 * t[:, None] + np.arange(3)), motion))
    run = str(tmp_path / "run.h5")
    assert main(["series", str(path), "-o", run, "--temperature", "300", "--cell", "10"]) == 0
    assert "current: 3000 samples" in capsys.readouterr().out
    for route in ("current", "dipole"):
        assert (
            main(["dielectric", run, "-o", str(tmp_path / f"{route}.txt"), "--route", route, "--resolution", "60"]) == 0
        )
        assert "1062" in capsys.readouterr().out or route == "current"


def test_long_series_are_read_in_chunks(tmp_path, monkeypatch):
    dipole = RNG.normal(size=(30_000, 3))
    path = tmp_path / "long.h5"
    write_timeseries(path, TimeSeries(timeseries.Sampled(dipole, 1.0, (0, 10_000)), None, 300.0, 1000.0, CELL))
    whole = read_timeseries(path).dipole.pieces(1.0)
    monkeypatch.setattr(timeseries, "STREAMED", 1000)
    lazy = read_timeseries(path).dipole.pieces(1.0)
    assert all(isinstance(piece, LazySignal) for piece in lazy) and [len(p) for p in lazy] == [9000, 19_000]
    results = [dielectric_spectrum(1.0, 1000.0, 300.0, dipole=p, resolution=60.0) for p in (whole, lazy)]
    for name in results[0].values:
        np.testing.assert_allclose(results[1].values[name], results[0].values[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("t(ps) x y z", {"time_unit": "fs"}, "says that its time is in ps, --time-unit says fs"),
        ("time [fs] mux muy muz [Debye]", {"units": {"dipole": "e*A"}}, "says that its dipole is in debye"),
        ("x y z", {"units": {"dipole": "e*A"}}, "plain columns need the unit of their first column"),
    ],
)
def test_units_in_the_header_of_plain_columns(tmp_path, header, options, words):
    table = np.c_[np.arange(20), np.random.default_rng(0).normal(size=(20, 3))]
    np.savetxt(tmp_path / "a.txt", table, header=header)
    known = {"file_format": "columns", "columns": {"dipole": "2-4"}, "temperature": 300.0, "volume": 100.0}
    with pytest.raises(InputError, match=words):
        collect_series([tmp_path / "a.txt"], **known, **options)
    np.savetxt(tmp_path / "a.txt", table, header="Time [ps], dipole [e*bohr]")
    series, _ = collect_series([tmp_path / "a.txt"], **known)
    assert series.dipole.dt == 1000.0
    np.testing.assert_allclose(series.dipole.values, table[:, 1:] * BOHR, rtol=1e-12)
