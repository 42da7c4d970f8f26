"""Readers of LAMMPS and GPUMD output, the HDF5 time series, and the text spectrum file."""

import gzip
import hashlib

import h5py
import numpy as np
import pytest

from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.files import atomic_output, sha256
from tnep_calc.io.series.collect import cell_from_numbers, collect_series
from tnep_calc.io.series.columns import read_table
from tnep_calc.io.series.gpumd import read_gpumd_output
from tnep_calc.io.series.lammps import read_ave_time, select_columns
from tnep_calc.io.series.spectrum_text import read_spectrum, write_spectrum
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, read_timeseries, write_timeseries
from tnep_calc.spectra import Spectrum
from tnep_calc.units import BOHR, EPSILON_0, POLARIZABILITY_UNITS

TITLE = "# Time-averaged data for fix 2\n"


def ave_time(values, names, every=2, first=0, digits=".12g"):
    lines = [TITLE, "# TimeStep " + " ".join(names) + "\n"]
    for k, row in enumerate(values):
        lines.append(f"{first + every * k} " + " ".join(format(x, digits) for x in row) + "\n")
    return "".join(lines)


def names(label, count):
    return [f"c_{label}[{k + 1}]" for k in range(count)]


@pytest.fixture
def dipole():
    return np.random.default_rng(2).normal(size=(50, 3))


@pytest.fixture
def dipole_file(tmp_path, dipole):
    path = tmp_path / "dipole.dat"
    path.write_text(ave_time(dipole, names("dip", 3)))
    return path


def appended(path, text):
    with open(path, "a") as stream:
        stream.write(text)
    return path


# --- tables


def test_tables_are_read_in_pieces_of_any_size(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(300, 4))
    ends = ["\n# note\n\n" if k % 7 == 0 else "\r\n" for k in range(300)]
    text = "".join(" ".join(f"{x:.17g}" for x in row) + end for row, end in zip(values, ends, strict=True))
    (tmp_path / "t").write_text(text)
    for chunk in (101, 997, 1 << 22):
        monkeypatch.setattr("tnep_calc.io.series.columns.CHUNK", chunk)
        table = read_table(tmp_path / "t")
        assert np.array_equal(table.values, values)
        assert [row for row, _ in table.comments] == list(range(1, 301, 7))
        assert table.notes == []


@pytest.mark.parametrize(
    "text, match",
    [
        ("1 2 3\n4 5\n", "line 2: expected 3 numbers, found 2"),
        ("# a\n1 2\n3 x\n", "line 3: expected numbers, found 'x'"),
        ("1 2\n3 4 # late\n3 5,0\n", "line 3: .*'5,0'"),
        ("", "no complete line"),
        ("1 2 3", "no complete line"),
    ],
)
def test_table_errors_name_the_line(tmp_path, text, match):
    (tmp_path / "t").write_text(text)
    with pytest.raises(DataFileError, match=match):
        read_table(tmp_path / "t")


def test_missing_file_and_broken_gzip(tmp_path):
    with pytest.raises(DataFileError, match="no such file"):
        read_table(tmp_path / "none")
    (tmp_path / "t.gz").write_bytes(gzip.compress(b"1 2\n" * 1000)[:20])
    with pytest.raises(DataFileError, match=r"damaged, or not a .gz archive"):
        read_table(tmp_path / "t.gz")


# --- fix ave/time


def test_mode_scalar(dipole_file, dipole):
    rows = read_ave_time(dipole_file)
    np.testing.assert_allclose(rows.values, dipole, rtol=1e-11)
    assert rows.steps.tolist() == list(range(0, 100, 2)) and rows.starts == [0] and rows.notes == []
    assert rows.names == names("dip", 3)


def test_mode_vector_as_lammps_writes_it(tmp_path):
    head = "# Time-averaged data for fix 3\n# TimeStep Number-of-rows\n# Row c_p\n"
    body = "0 6\n1 2495.58\n2 2462.3\n3 2555.57\n4 253.442\n5 -213.762\n6 -69.186\n"
    body += "5 6\n1 2509.04\n2 2476.82\n3 2571.87\n4 253.351\n5 -214.236\n6 -69.1118\n"
    path = tmp_path / "v.dat"
    path.write_text(head + body + "10 6\n1 2.5\n")
    rows = read_ave_time(path)
    assert rows.steps.tolist() == [0, 5]
    assert rows.values.tolist()[1] == [2509.04, 2476.82, 2571.87, 253.351, -214.236, -69.1118]
    assert "incomplete" in rows.notes[0]
    path.write_text(head + body.replace("5 6\n1 2509.04", "5 6\n2 2509.04"))
    with pytest.raises(DataFileError, match="rows"):
        read_ave_time(path)
    path.write_text(head + "0 2\n1 2.0 3.0\n2 1.0 1.0\n1 2\n1 2.0 3.0\n2 1.0 1.0\n")
    with pytest.raises(DataFileError, match="2 vectors per step"):
        read_ave_time(path)


def test_a_killed_job_loses_its_last_line_only(dipole_file, dipole):
    text = dipole_file.read_text()
    dipole_file.write_text(text[:-4])
    rows = read_ave_time(dipole_file)
    assert len(rows.steps) == 49 and "running or was killed" in rows.notes[0]


def test_a_restart_repeats_steps_and_the_later_rows_are_kept(dipole_file, dipole):
    appended(dipole_file, "100 1.0 2.0")  # killed here, then restarted from step 80
    later = dipole[40:] + 1.0
    appended(dipole_file, ave_time(np.vstack([later, later]), names("dip", 3), first=80))
    rows = read_ave_time(dipole_file)
    assert rows.steps.tolist() == list(range(0, 120, 2))
    np.testing.assert_allclose(rows.values[40:50], later, rtol=1e-11)
    np.testing.assert_allclose(rows.values[:40], dipole[:40], rtol=1e-11)
    assert "is incomplete" in rows.notes[0] and "10 samples (steps 80 to 98)" in rows.notes[1]


def test_gaps_are_an_error_or_separate_pieces(dipole_file, dipole):
    appended(dipole_file, ave_time(dipole[:20], names("dip", 3), first=110))
    with pytest.raises(DataFileError, match="step 98 is followed by 110"):
        read_ave_time(dipole_file)
    rows = read_ave_time(dipole_file, allow_gaps=True)
    assert rows.starts == [0, 50] and rows.lengths().tolist() == [50, 20]
    assert "2 separate pieces" in rows.notes[0]


@pytest.mark.parametrize("bad", ["nan", "-nan", "inf"])
def test_values_that_are_not_finite(dipole_file, bad):
    appended(dipole_file, f"100 1.0 {bad} 2.0\n")
    with pytest.raises(DataFileError, match="step 100 is not finite"):
        read_ave_time(dipole_file)


def test_other_lammps_errors(tmp_path, dipole):
    path = tmp_path / "x.dat"
    path.write_text(ave_time(dipole[:1], names("dip", 3)))
    with pytest.raises(DataFileError, match="at least 2"):
        read_ave_time(path)
    path.write_text(TITLE + "0.5 1 2 3\n1.5 1 2 3\n")
    with pytest.raises(DataFileError, match="first column must be the time step"):
        read_ave_time(path)
    path.write_text(TITLE + "0\n1\n")
    with pytest.raises(DataFileError, match="one column only"):
        read_ave_time(path)
    path.write_text("# Time-averaged data for fix 4\n---\nkeywords: ['c_p', ]\ndata:\n")
    with pytest.raises(DataFileError, match="YAML"):
        read_ave_time(path)


def test_six_digits_of_a_large_value_are_noticed(tmp_path, dipole):
    path = tmp_path / "dipole.dat"
    large = dipole * 1e-2 + 100.0
    path.write_text(ave_time(large, names("dip", 3), digits=".6g"))
    assert 'format " %.12g"' in read_ave_time(path).notes[0]
    path.write_text(ave_time(large, names("dip", 3)))
    assert read_ave_time(path).notes == []


def test_columns_by_name_and_number(tmp_path, dipole):
    path = tmp_path / "both.dat"
    alpha = np.random.default_rng(1).normal(size=(50, 6))
    path.write_text(ave_time(np.hstack([alpha[:, :1], dipole, alpha]), ["v_t", *names("dip", 3), *names("pol", 6)]))
    rows = read_ave_time(path)
    np.testing.assert_allclose(select_columns(rows, "c_dip", path), dipole, rtol=1e-11)
    np.testing.assert_allclose(select_columns(rows, "6-11", path), alpha, rtol=1e-11)
    for wrong in ("c_di", "1-3", "6-20"):
        with pytest.raises(InputError, match="it has v_t"):
            select_columns(rows, wrong, path)
    with pytest.raises(InputError, match="10 columns besides the step"):
        collect_series([path], timestep=1.0)
    series, _ = collect_series([path], timestep=1.0, columns={"dipole": "c_dip", "polarizability": "c_pol"})
    np.testing.assert_allclose(series.polarizability.values[:, 0, 2], alpha[:, 4], rtol=1e-11)


# --- GPUMD


def gpumd(values, every=2, header=None):
    lines = list(header or [])
    lines += [f"{every * (k + 1) - 1:d}" + "".join(f"{x:20.10e}" for x in row) + "\n" for k, row in enumerate(values)]
    return "".join(lines)


def gpumd_header(keyword, dt, atoms=648):
    return [
        f"# {keyword} 2\n",
        "# format_version 1\n",
        f"# num_atoms {atoms}\n",
        "# cell 10 0 0 1 11 0 0 2 12\n",
        f"# dt_output {dt} fs\n",
        "# columns step\n",
    ]


def test_gpumd_with_and_without_header(tmp_path, dipole):
    path = tmp_path / "dipole.out"
    path.write_text(gpumd(dipole))
    rows = read_gpumd_output(path)
    np.testing.assert_allclose(rows.values, dipole, rtol=1e-9)
    assert rows.header == {} and rows.steps[0] == 1
    path.write_text(gpumd(dipole, header=gpumd_header("dump_dipole", 1.0)))
    rows = read_gpumd_output(path)
    assert rows.header["dt_output"] == 1.0 and rows.header["num_atoms"] == 648
    assert rows.header["cell"].tolist()[2] == [0.0, 2.0, 12.0]
    series, _ = collect_series([path], units={"dipole": "e*bohr"})
    np.testing.assert_allclose(series.dipole.values, dipole * BOHR, rtol=1e-9)
    assert series.volume == pytest.approx(1320.0) and series.dipole.dt == 1.0


@pytest.mark.parametrize("header", [True, False])
def test_runs_of_gpumd_are_separate_pieces(tmp_path, dipole, header):
    block = gpumd_header("dump_dipole", 1.0) if header else None
    path = tmp_path / "dipole.out"
    path.write_text(gpumd(dipole[:20], header=block) + gpumd(dipole[20:], header=block))
    rows = read_gpumd_output(path)
    assert rows.starts == [0, 20] and "2 runs" in rows.notes[-1]
    np.testing.assert_allclose(rows.values, dipole, rtol=1e-9)


def test_susceptibility_times_atoms(tmp_path):
    path = tmp_path / "polarizability.out"
    six = np.array([2.0, 3.0, 4.0, 0, 0, 0]) * 648 * np.ones((5, 1))
    path.write_text(gpumd(six, header=gpumd_header("dump_polarizability", 1.0)))
    series, _ = collect_series([path], units={"polarizability": "N*chi"})
    np.testing.assert_allclose(series.polarizability.values[0], np.diag([2.0, 3.0, 4.0]) * EPSILON_0 * 1320.0)
    series, notes = collect_series([path], units={"polarizability": "N*chi"}, volume=660.0, atoms=324)
    np.testing.assert_allclose(series.polarizability.values[0], np.diag([2.0, 3.0, 4.0]) * EPSILON_0 * 1320.0)
    assert series.cell is None and "not used" in notes[0]
    path.write_text(gpumd(six))
    with pytest.raises(InputError, match="number of atoms"):
        collect_series([path], timestep=1.0, units={"polarizability": "N*chi"})
    with pytest.raises(InputError, match="got 'debye'"):
        collect_series([path], timestep=1.0, units={"polarizability": "debye"})


def test_gpumd_errors(tmp_path, dipole):
    path = tmp_path / "dipole.out"
    first = gpumd(dipole, header=gpumd_header("dump_dipole", 1.0))
    path.write_text(first + gpumd(dipole, header=gpumd_header("dump_dipole", 2.0)))
    with pytest.raises(DataFileError, match=r"1 and 2 fs"):
        read_gpumd_output(path)
    path.write_text(gpumd(dipole) + gpumd(dipole, every=5))
    with pytest.raises(DataFileError, match="different sampling intervals"):
        read_gpumd_output(path)
    path.write_text(gpumd(dipole[:, :2]))
    with pytest.raises(DataFileError, match="4 columns"):
        read_gpumd_output(path)
    path.write_text("# dt_output x\n" + gpumd(dipole))
    with pytest.raises(DataFileError, match="dt_output x"):
        read_gpumd_output(path)
    path.write_text(first)
    with pytest.raises(InputError, match="--dipole-unit"):
        collect_series([path])
    with pytest.raises(InputError, match="samples are 1 fs apart, but 2 steps of 1 fs"):
        collect_series([path], timestep=1.0, units={"dipole": "e*A"})


# --- one series of several files


def test_component_orders_differ_between_programs(tmp_path):
    six = np.arange(1.0, 7.0) * np.ones((5, 1))
    lammps, other = tmp_path / "p.dat", tmp_path / "polarizability.out"
    lammps.write_text(ave_time(six, names("p", 6)))
    other.write_text(gpumd(six))
    a = collect_series([lammps], timestep=0.5)[0].polarizability.values[0]
    b = collect_series([other], timestep=0.5, units={"polarizability": "bohr^3"})[0].polarizability.values[0]
    assert a.tolist() == [[1.0, 4.0, 5.0], [4.0, 2.0, 6.0], [5.0, 6.0, 3.0]]
    expected = np.array([[1.0, 4.0, 6.0], [4.0, 2.0, 5.0], [6.0, 5.0, 3.0]])
    np.testing.assert_allclose(b, expected * POLARIZABILITY_UNITS["bohr^3"])
    nine = np.arange(9.0) * np.ones((5, 1))
    lammps.write_text(ave_time(nine, names("p", 9)))
    assert collect_series([lammps], timestep=0.5)[0].polarizability.values[0].tolist() == nine[0].reshape(3, 3).tolist()


def test_dipole_and_polarizability_with_their_own_intervals(tmp_path, dipole_file, dipole):
    other = tmp_path / "pol.dat"
    other.write_text(ave_time(np.ones((10, 6)), names("pol", 6), every=10))
    series, notes = collect_series([other, dipole_file], timestep=0.5, temperature=300.0, volume=900.0)
    assert (series.dipole.dt, series.polarizability.dt) == (1.0, 5.0)
    assert series.dipole.provenance["source_sha256"] == hashlib.sha256(dipole_file.read_bytes()).hexdigest()
    assert (series.temperature, series.volume, notes) == (300.0, 900.0, [])


def test_collect_errors(tmp_path, dipole_file, dipole):
    with pytest.raises(InputError, match="time step"):
        collect_series([dipole_file])
    with pytest.raises(InputError, match="positive"):
        collect_series([dipole_file], timestep=-1.0)
    with pytest.raises(InputError, match="lammps, gpumd"):
        collect_series([dipole_file], timestep=1.0, file_format="xyz")
    copy = tmp_path / "copy.dat"
    copy.write_text(dipole_file.read_text())
    with pytest.raises(InputError, match="both .* have a dipole"):
        collect_series([dipole_file, copy], timestep=1.0)
    with pytest.raises(InputError, match="give a name of one file"):
        collect_series([dipole_file, copy], timestep=1.0, columns={"dipole": "c_dip"})
    with pytest.raises(InputError, match="needs 3 columns, got 2"):
        collect_series([dipole_file], timestep=1.0, columns={"dipole": "2-3"})
    plain = tmp_path / "plain.dat"
    plain.write_text(gpumd(dipole))
    with pytest.raises(InputError, match="--format"):
        collect_series([plain], timestep=1.0)
    series, _ = collect_series([plain], timestep=1.0, file_format="lammps")
    assert series.dipole.dt == 2.0 and series.volume is None


def test_cells():
    assert cell_from_numbers([2, 3, 4]).tolist() == np.diag([2.0, 3.0, 4.0]).tolist()
    cell = cell_from_numbers([2, 3, 4, 90, 90, 60])
    assert abs(np.linalg.det(cell)) == pytest.approx(24 * np.sin(np.pi / 3))
    assert cell_from_numbers([1, 2, 0, 0, 1, 0, 5, 0, 1]).tolist()[2] == [5.0, 0.0, 1.0]
    for wrong in ([1, 2], [0.0], [1, 1, 1, 90, 90, 0], [1, 0, 0, 2, 0, 0, 0, 0, 1]):
        with pytest.raises(InputError):
            cell_from_numbers(wrong)


# --- HDF5


def test_series_round_trip(tmp_path, dipole):
    alpha = np.random.default_rng(0).normal(size=(30, 3, 3))
    provenance = {"source": "a", "source_sha256": "b", "source_unit": "c", "notes": "d"}
    series = TimeSeries(
        Sampled(dipole, 1.5, (0, 20), (0, 400), provenance),
        Sampled(alpha, 3.0),
        temperature=310.0,
        volume=999.0,
        cell=np.diag([9.0, 10.0, 11.1]),
        command="tnep series a",
    )
    path = tmp_path / "run.h5"
    write_timeseries(path, series)
    back = read_timeseries(path)
    assert np.array_equal(back.dipole.values, dipole) and np.array_equal(back.polarizability.values, alpha)
    assert back.dipole.provenance == series.dipole.provenance
    assert (back.dipole.dt, back.dipole.starts, back.dipole.first_steps) == (1.5, (0, 20), (0, 400))
    assert (back.temperature, back.volume, back.command) == (310.0, 999.0, "tnep series a")
    assert np.array_equal(back.cell, series.cell)
    with h5py.File(path) as file:
        assert file["dipole"].attrs["unit"] == "e*A" and "program_version" in file.attrs


def test_nothing_is_overwritten_and_nothing_half_written_stays(tmp_path, dipole):
    path = tmp_path / "run.h5"
    path.write_text("precious")
    series = TimeSeries(Sampled(dipole, 1.0))
    with pytest.raises(InputError, match="--force"):
        write_timeseries(path, series)
    with pytest.raises(RuntimeError), atomic_output(path, force=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "precious" and [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    write_timeseries(path, series, force=True)
    assert read_timeseries(path).dipole.dt == 1.0
    with pytest.raises(InputError, match="does not exist"):
        write_timeseries(tmp_path / "no" / "run.h5", series)
    with pytest.raises(InputError, match="is a folder"):
        write_timeseries(tmp_path, series)


def test_series_that_cannot_be_written(tmp_path, dipole):
    path = tmp_path / "run.h5"
    for series, match in (
        (TimeSeries(), "needs a dipole"),
        (TimeSeries(Sampled(dipole[:, :2], 1.0)), "shape"),
        (TimeSeries(Sampled(dipole, 0.0)), "interval"),
        (TimeSeries(Sampled(dipole, 1.0, (0, 50))), "begin"),
        (TimeSeries(Sampled(dipole, 1.0, ())), "begin"),
    ):
        with pytest.raises(InputError, match=match):
            write_timeseries(path, series)
    assert not path.exists()


def test_files_that_are_no_series(tmp_path, dipole):
    path = tmp_path / "run.h5"
    with pytest.raises(DataFileError, match="no such file"):
        read_timeseries(path)
    path.write_text("0 1 2 3\n")
    with pytest.raises(DataFileError, match="tnep series"):
        read_timeseries(path)
    with h5py.File(path, "w") as file:
        file["dipole"] = dipole
    with pytest.raises(DataFileError, match="not a time series"):
        read_timeseries(path)
    write_timeseries(path, TimeSeries(Sampled(dipole, 1.0)), force=True)
    for key, value, match in (("dt_fs", -1.0, "interval"), ("unit", "debye", "'debye'"), ("starts", [3], "begin")):
        write_timeseries(path, TimeSeries(Sampled(dipole, 1.0)), force=True)
        with h5py.File(path, "a") as file:
            file["dipole"].attrs[key] = value
        with pytest.raises(DataFileError, match=match):
            read_timeseries(path)
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(DataFileError, match="update tnep_calc"):
        read_timeseries(path)


def test_skipping_the_beginning_of_each_piece(dipole):
    sampled = Sampled(dipole, 2.0, (0, 20))
    pieces = sampled.pieces(0.01)
    assert [len(p) for p in pieces] == [15, 25] and np.array_equal(pieces[1], dipole[25:])
    assert [len(p) for p in sampled.pieces(0.05)] == [5]
    with pytest.raises(InputError, match="nothing is left"):
        sampled.pieces(0.07)


# --- spectrum file


def test_spectrum_round_trip(tmp_path):
    w = np.linspace(0, 100, 11)
    spectrum = Spectrum(
        "infrared",
        w,
        {"a": w**2, "b": -w},
        {"a": "cm^-1", "b": "1"},
        {"a": w / 7},
        {"temperature_K": 300.0, "direction": [0.0, 0.6, 0.8], "window": "hann", "eps_inf": None, "text": "a: b # ä"},
    )
    path = tmp_path / "s.txt"
    write_spectrum(path, spectrum)
    back = read_spectrum(path)
    for got, expected in ((back.values, spectrum.values), (back.errors, spectrum.errors)):
        assert set(got) == set(expected)
        for name in got:
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-9)
    assert (back.kind, back.units, back.parameters) == (spectrum.kind, spectrum.units, spectrum.parameters)
    np.testing.assert_allclose(np.loadtxt(path)[:, 0], w)
    with pytest.raises(InputError, match="--force"):
        write_spectrum(path, spectrum)


def test_spectrum_file_errors(tmp_path):
    path = tmp_path / "s.txt"
    for text, match in (
        ("1 2\n", "not a spectrum"),
        ("# tnep_calc spectrum 99\n1 2\n", "newer"),
        ("# tnep_calc spectrum 1\n# kind: raman\n1 2\n", "header"),
        ('# tnep_calc spectrum 1\n# kind: "raman"\n# columns: wavenumber[cm^-1]\n1 2\n', "names 1 columns"),
    ):
        path.write_text(text)
        with pytest.raises(DataFileError, match=match):
            read_spectrum(path)


def test_spectrum_record_is_checked():
    w = np.arange(3.0)
    with pytest.raises(InputError, match="as long as"):
        Spectrum("raman", w, {"VV": w[:2]}, {"VV": "1"})
    with pytest.raises(InputError, match="unit"):
        Spectrum("raman", w, {"VV": w}, {})
    spectrum = Spectrum("raman", w, {"VV": w}, {"VV": "1"})
    with pytest.raises(InputError, match="only VV"):
        spectrum.column("VH")
    with pytest.raises(InputError, match="fewer than 3 points"):
        spectrum.between(5.0, 6.0)


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
