"""The modules of tests, held to what CONTRIBUTING says of them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_of_tests_gives_nothing_to_others_so_that_each_can_be_changed_alone(path: Path) -> None:
    """What several need is in tests/*.py, or a fixture in a conftest.py."""
    tree = ast.parse(path.read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    own = [name for name in imported if name.startswith("tests.")]
    assert [name for name in own if name.rpartition(".")[2].startswith(("test_", "conftest"))] == []
