"""XML from files of other programs."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from ..errors import DataFileError
from .content import DEEPEST


def parse_xml(path, data: bytes | str, advice: str = "") -> ET.Element:
    """Return the root element of XML.

    Parameters
    ----------
    path : path
        For messages.
    data : bytes or str
        Content of the file.
    advice : str, optional
        End of the message if the XML is not complete.

    Raises
    ------
    DataFileError
        If the XML is not complete, or is nested more deeply than ``DEEPEST``; a tree of millions of levels would take
        hundreds of times the memory of the file.
    """
    if _depth(data.encode() if isinstance(data, str) else data) > DEEPEST:
        raise DataFileError(f"{path}: its XML is nested more than {DEEPEST} times, so it is not read")
    try:
        return ET.fromstring(data)
    except ET.ParseError as error:
        raise DataFileError(f"{path}: is not complete XML ({error}){advice}") from error


def _depth(data: bytes) -> int:
    """Return the largest number of elements that are open at one place."""
    codes = np.frombuffer(data, dtype=np.uint8)
    before, after = codes[:-1], codes[1:]
    begins = before == ord("<")
    ends = (begins & (after == ord("/"))) | ((before == ord("/")) & (after == ord(">")))
    begins &= (after != ord("/")) & (after != ord("!")) & (after != ord("?"))
    places = np.flatnonzero(begins | ends)
    steps = np.where(begins[places], 1, -1)
    return int(steps.cumsum().max(initial=0))
