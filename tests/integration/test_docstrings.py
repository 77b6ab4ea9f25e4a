"""The embedded corpus: extraction without importing, in processes, cached."""

import subprocess
import sys
from pathlib import Path

import pytest

from unmask.corpus import docstrings
from unmask.corpus.docstrings import Documented, docstrings_key, read_docstrings
from unmask.corpus.extract import extract
from unmask.corpus.inline import Span
from unmask.errors import UserError

SOURCE = '''
"""Module of this test with at least six words."""
raise RuntimeError("this must not be imported")

class Outer:
    """Class of this test: see :func:`~a.b` for more words."""

    if True:
        def method(self):
            """Too short to be kept."""
            def inner():
                """Function inside of a method with enough words."""

    async def other(self):
        """Method of this test with at least six words."""

async def function():
    """Function of this test with at least six words."""
'''


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of its own instead of all that is installed, and a cache of its own."""
    root = tmp_path / "packages" / "tiny"
    for name in ("__init__.py", "sub/part.py", "tests/part.py", "test_x.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(SOURCE)
    (root / "broken.py").write_text('"""Python of another version has no documents here."""\nprint "x"')
    monkeypatch.syspath_prepend(str(root.parent))
    monkeypatch.setattr(docstrings, "_PACKAGES", ("tiny",))
    monkeypatch.setattr(docstrings, "_LIBRARY", tmp_path / "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


def test_documents_of_a_file() -> None:
    found = list(extract(SOURCE.encode(), "m", "p"))
    assert [(document.name, document.kind) for document in found] == [
        ("m", "module"),
        ("m.Outer", "class"),
        ("m.Outer.method.inner", "function"),
        ("m.Outer.other", "method"),
        ("m.function", "function"),
    ]
    assert found[1] == Documented(
        "Class of this test: see b() for more words.", "m.Outer", "p", "class", (Span(24, 27, "func"),)
    )
    assert Documented.of_line(found[1].line()) == found[1]


def test_all_of_a_package_but_its_tests(tiny: Path) -> None:
    names = [document.name for document in read_docstrings()]
    assert names == [
        f"{module}{rest}"
        for module in ("tiny", "tiny.sub.part")
        for rest in ("", ".Outer", ".Outer.method.inner", ".Outer.other", ".function")
    ]


def test_the_cache_is_used_and_its_damage_told(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list(read_docstrings())
    monkeypatch.setattr(docstrings, "_extract_all", lambda: pytest.fail("extracted twice"))
    assert list(read_docstrings()) == first
    cached = tmp_path / "cache" / "unmask" / f"docstrings-{docstrings_key()}.jsonl.gz"
    cached.write_bytes(cached.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"this cache is damaged .* delete it"):
        list(read_docstrings())


def test_other_versions_are_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = docstrings_key()
    assert before == docstrings_key()
    monkeypatch.setattr(docstrings, "version", lambda name: "99" if name == "scikit-learn" else "1")
    one = docstrings_key()
    monkeypatch.setattr(docstrings, "version", lambda name: "98" if name == "scikit-learn" else "1")
    assert len({before, one, docstrings_key()}) == 3


def test_a_cache_that_can_not_be_written_is_told(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(UserError, match="unmask"):
        list(read_docstrings())


def test_a_script_without_main_guard_may_read_them(tiny: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = [{str(tiny.parent)!r}, {str(Path(docstrings.__file__).parents[2])!r}]\n"
        "from unmask.corpus import docstrings\n"
        "docstrings._PACKAGES, docstrings._LIBRARY = ('tiny',), docstrings.Path('nowhere')\n"
        "print(sum(1 for _ in docstrings.read_docstrings()))\n"
    )
    here = tmp_path / "here"
    here.mkdir()
    (here / "ast.py").write_text("raise RuntimeError('a file of the user gets in the way')")
    done = subprocess.run([sys.executable, str(script)], cwd=here, capture_output=True, text=True, check=False)
    assert done.stdout == "10\n", done.stderr


def test_importing_the_readers_is_cheap() -> None:
    code = "import sys, unmask.corpus.readers; print({'torch', 'pyarrow', 'pydantic', 'sklearn'} & set(sys.modules))"
    paths = {"PYTHONPATH": str(Path(docstrings.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr
