"""Rows are read by the names of their columns: a place in a list tells nobody what stands there, nor when it moved."""

import ast
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"

# What the code calls rows and lists of them.
ROWS = {"answers", "known", "results", "row", "rows"}


def told_by_place(node: ast.AST) -> bool:
    """x[0][1], (await x)[0], row[1]; not the first or last of a list of other things, nor rows[-1], the last row."""
    if not isinstance(node, ast.Subscript) or not isinstance(_place(node), int):
        return False
    of = node.value
    if isinstance(of, ast.Subscript):
        return isinstance(_place(of), int)
    return isinstance(of, ast.Await) or (isinstance(of, ast.Name) and of.id in ROWS and ast.unparse(node) != "rows[-1]")


def _place(node: ast.Subscript) -> object:
    place = node.slice.operand if isinstance(node.slice, ast.UnaryOp) else node.slice
    return place.value if isinstance(place, ast.Constant) else None


@pytest.mark.parametrize("folder", ["db", "upkeep"])
def test_no_column_is_told_by_its_place(folder: str) -> None:
    found = [
        f"{path.relative_to(APP)}:{node.lineno} {ast.unparse(node)}"
        for path in sorted((APP / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript) and told_by_place(node)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["rows[0][0]", "results[-3][0][0]", "row[7]", "(await pool.rows(x))[0]", "x[-1][14]"])
def test_it_would_be_seen(text: str) -> None:
    assert any(told_by_place(node) for node in ast.walk(ast.parse(text)))
