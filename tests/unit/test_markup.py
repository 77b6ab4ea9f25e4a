"""Docstrings turned into prose: each dialect, each kind of rubbish, and the spans over what is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.corpus.inline import mark, plain_tex
from unmask.corpus.markup import clean

INLINE = {
    ":class:`~torch.nn.Module`": ("Module", ["class"]),
    ":py:class:`torch.nn.Module`": ("torch.nn.Module", ["class"]),
    ":func:`~a.f`, :meth:`!b.g()`": ("f(), b.g()", ["func", "meth"]),
    ":ref:`the guide <guide-label>`": ("the guide", ["ref"]),
    ":ref:`user_guide-part`": ("user guide part", ["ref"]),
    ":ref:`sphx_glr_auto_examples_plot_a.py`": ("plot a", ["ref"]),
    ":pep:`8` and ``x = [1]``": ("PEP 8 and x = [1]", ["pep", "literal"]),
    "the `name` is **very bold**": ("the name is very bold", ["name", "strong"]),
    "**bold `x` here**": ("bold x here", ["strong", "name"]),
    "(*one*, *two words*)": ("(one, two words)", ["emphasis", "emphasis"]),
    "`the site <https://a.org/x>`_.": ("the site.", ["link"]),
    "see https://docs.a.org/x/y.html.": ("see docs.a.org.", ["url"]),
    "[text](https://a.org) and [`x`][mod.x]": ("text and x", ["link", "link", "name"]),
    "of [`Event`] in [`a`, `b`]": ("of Event in [a, b]", ["link", "name", "name"]),
    "as shown [1]_ and [Knuth98]_.": ("as shown and.", []),
    r"escaped \*args, lists\ s": ("escaped *args, listss", []),
    "many :class:`Artist`\\s": ("many Artists", ["class"]),
    "x[i][j], *args, **kwargs, a * b * c, f(*args, *rest)": (
        "x[i][j], *args, **kwargs, a * b * c, f(*args, *rest)",
        [],
    ),
    r"a newline \n stays": (r"a newline \n stays", []),
    r":math:`\frac{a}{b_{i}} \leq \alpha`": ("a/b_i <= alpha", ["math"]),
    r"`\operatorname{E}_n(x)` and $x^{2}$": ("E_n(x) and x^2", ["math", "math"]),
    "%(before_notes)s text<br/>": ("text", []),
}


@pytest.mark.parametrize("raw", INLINE)
def test_inline_markup_is_taken_out_and_kept_aside(raw: str) -> None:
    text, roles = INLINE[raw]
    marked = mark(raw)
    assert (marked.text.strip(), [span.role for span in marked.spans]) == (text, roles)


def test_spans_say_where_the_markup_was() -> None:
    marked = clean("   \n  The *é* of :class:`~a.B` (``x``).\n\n  Uses **two `inner` words**.")
    assert marked.text == "The é of B (x).\nUses two inner words."
    assert {(marked.text[span.start : span.end], span.role) for span in marked.spans} == {
        ("é", "emphasis"),
        ("B", "class"),
        ("x", "literal"),
        ("two inner words", "strong"),
        ("inner", "name"),
    }


NUMPYDOC = """Compute the thing
in two lines.

.. versionadded:: 1.2
    By somebody.

Parameters
----------
a, b : array_like
    First words.
axis : {0, 1}, optional
    Second words::

        literal words here

**kwargs
    Passed on.

Returns
-------
out : ndarray
    The result.

Raises
------
ValueError
    If wrong.

See Also
--------
other : Does more of it.
nothing

Notes
-----
.. note:: Take
   care.

.. math::

    x = y

Table:

====  =====
A     B
====  =====
1     2
====  =====

- an item
  goes on
- another one

References
----------
.. [1] A. Author, "A paper".
B. Author, another paper.

Examples
--------
>>> f(1)
2
"""
NUMPYDOC_CLEAN = """Compute the thing in two lines.
Parameters
a, b (array_like): First words.
axis ({0, 1}, optional): Second words:
**kwargs: Passed on.
Returns
out (ndarray): The result.
Raises
ValueError: If wrong.
See Also
other: Does more of it.
Notes
Take care.
an item goes on
another one"""

GOOGLE = """Runs it.

Args:
    input (Tensor): the input
        of words
    dim (int, optional): which. Default: ``0``
    flag: whether

Returns:
    A tensor of words.

Raises:
    ValueError: when wrong.

Example::

    >>> run(x)

Note:
    Take care of it.

Shape:
    - Input: :math:`(N, C_{in})`

```python
code(1)
```
"""
GOOGLE_CLEAN = """Runs it.
Args:
input (Tensor): the input of words
dim (int, optional): which. Default: 0
flag: whether
Returns:
A tensor of words.
Raises:
ValueError: when wrong.
Note:
Take care of it.
Shape:
Input: (N, C_in)"""

SPHINX = """Does it.

:param str name: The name
    of the thing.
:param other: Another.
:type other: int
:returns: What it made.
:rtype: dict
:raises ValueError: If wrong.
:license: BSD.

Usage:

    x = 1
    y = f(x)

   +-----+
   | box |
   +-----+

   a ---> b ----> (c) ===> [d]

1. First of all
   this.
2. Then
that.

Like so:

>>> f()

Last words.
"""
SPHINX_CLEAN = """Does it.
name: The name of the thing.
other: Another.
Returns: What it made.
Raises ValueError: If wrong.
1. First of all this.
2. Then that.
Last words."""


@pytest.mark.parametrize(
    ("raw", "text"),
    [(NUMPYDOC, NUMPYDOC_CLEAN), (GOOGLE, GOOGLE_CLEAN), (SPHINX, SPHINX_CLEAN)],
    ids=["numpydoc", "google", "sphinx"],
)
def test_dialects_become_prose(raw: str, text: str) -> None:
    assert clean(raw).text == text


def test_names_of_sections_are_spans() -> None:
    numpydoc = [(NUMPYDOC_CLEAN[span.start : span.end], span.role) for span in clean(NUMPYDOC).spans]
    assert numpydoc == [("a", "param"), ("b", "param"), ("axis", "param"), ("**kwargs", "param"), ("ValueError", "exc")]
    sphinx = [(SPHINX_CLEAN[span.start : span.end], span.role) for span in clean(SPHINX).spans]
    assert sphinx == [("name", "param"), ("other", "param"), ("ValueError", "exc")]


SCRAPS = (
    st.sampled_from(["word", "Two words.", "x : int", "Parameters", "----", "====  ===", ">>> f()", "``", "`a`", "*b*"])
    | st.sampled_from(["**", "::", "```", ":param x: y", ".. note:: z", ".. math::", "- item", "1. one", "\\", "$x$"])
    | st.sampled_from(
        [":class:`~a.B`", "[1]_", "text::", "  indented", "    deeper", "\t", "Args:", "a (b): c", "\u00e9"]
    )
    | st.sampled_from(["|", "| (", "+--+", "https://a.b/c", ""])
)


@given(st.lists(SCRAPS, max_size=12).map("\n".join), st.lists(SCRAPS, max_size=6).map(" ".join))
def test_anything_is_cleaned_without_complaint(lines: str, words: str) -> None:
    marked = clean(f"{lines}\n\n{words}")
    assert marked.text == marked.text.strip()
    assert "\n\n" not in marked.text
    for span in marked.spans:
        assert 0 <= span.start < span.end <= len(marked.text)
        assert marked.text[span.start : span.end].strip()


def test_prose_is_left_alone() -> None:
    prose = "Returns the sum of both.\nWith a second paragraph, which says (among others) that x > 0 and 50% of it."
    assert clean(prose.replace("\n", "\n\n")).text == prose


def test_tex() -> None:
    assert plain_tex(r"\left( N, \text{out\_features} \right) \times \mathbf{x}^{\top}") == (
        "( N, out_features ) x x^top"
    )
