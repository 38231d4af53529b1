"""Rows as CSV, for spreadsheets: what somebody else wrote must stay text there."""

import csv
import io
import re
from collections.abc import Iterable

MEDIA_TYPE = "text/csv"

# Where spreadsheets take what follows for a formula: at the beginning, also before spaces; a line end or tab would hide
# it from us. Where they split lines at semicolons or tabs, as in most of Europe, a quote within a line counts for
# nothing: there a cell begins after each of those, and after each line end.
_FORMULA = re.compile(r"""\A(?= *[=+\-@＝＋－＠\t\r\n])|(?<=[;\t\r\n])(?=[ "]*[=+\-@＝＋－＠])""")


def line(cells: Iterable[object]) -> bytes:
    """RFC 4180, in UTF-8. An apostrophe stands before whatever would be a formula."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return out.getvalue().encode("utf-8", "replace")


def _cell(cell: object) -> object:
    if isinstance(cell, str):
        return _FORMULA.sub("'", cell)
    return "" if cell is None else cell
