"""XML of other programs: complete, or refused with one line."""

import pytest

from tnep_calc.errors import DataFileError
from tnep_calc.io.content import DEEPEST
from tnep_calc.io.structures.espresso import read_espresso
from tnep_calc.io.structures.vasp import read_vasp
from tnep_calc.io.xml_tree import parse_xml


def test_elements_comments_and_attributes():
    root = parse_xml("f.xml", '<?xml version="1.0"?><!-- a <b> --><a x="1 > 0"><b/><c>2 / 3</c></a>')
    assert [child.tag for child in root] == ["b", "c"] and root[1].text == "2 / 3"
    assert len(parse_xml("f.xml", b"<a>" + 5 * DEEPEST * b"<b/><c></c>" + b"</a>")) == 10 * DEEPEST


def test_incomplete():
    with pytest.raises(DataFileError, match=r"f\.xml: is not complete XML \(.*\); did it finish\?"):
        parse_xml("f.xml", "<a><b></a>", "; did it finish?")


@pytest.mark.parametrize(("read", "name"), [(read_vasp, "vasprun.xml"), (read_espresso, "pw.xml")])
def test_deep_nesting(read, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b'<?xml version="1.0"?><modeling>' + 10**5 * b"<a>")
    with pytest.raises(DataFileError, match=f"nested more than {DEEPEST} times"):
        read(path if read is read_vasp else [path])
