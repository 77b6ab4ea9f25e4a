"""An exported graph with its matrices in 8 bits: a quarter of the file, about twice as fast.

Weights get a scale a column; what is multiplied by them a scale a token, found as it comes. So an answer hangs on its
own text alone, to the bit. What bites: the usual dynamic quantisation takes one range for the whole tensor, and then a
text's batch mates change its answer. The graph has an operator of onnxruntime's own and runs nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unmask.errors import MissingExtra

ZERO: Final = 128
"""What stands for 0 in the eight bits without a sign that onnxruntime multiplies fastest."""
LEVELS: Final = 127
"""Steps to each side of 0."""

_OPERATORS: Final = "com.microsoft"
_MOST_BYTES: Final = 3 * 2**29
"""Weights that are put into one file; a protobuf file holds 2 GB."""

_CONSTANTS: Final[dict[str, npt.NDArray[Any]]] = {
    "zero_of_factors": np.array(ZERO, np.uint8),
    "zero_of_weights": np.array(0, np.int8),
    "one": np.array(1, np.float32),
    "least": np.array(np.finfo(np.float32).tiny * LEVELS, np.float32),  # for rows of nothing but 0
    "step": np.array(1 / LEVELS, np.float32),
    "last_axis": np.array([-1], np.int64),
}


def quantize_graph(source: Path, target: Path) -> None:
    """Write the graph at ``source``, as ``export_graph`` made it, with matrices and tables in int8 to ``target``.

    Weights of more than 1.5 GB are put beside it as ``<name>.data``. Raises MissingExtra.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingExtra("export", "onnx") from None
    model = onnx.load(source)
    _Quantizer(model.graph).run()
    model.opset_import.append(onnx.helper.make_opsetid(_OPERATORS, 1))
    large = sum(len(one.raw_data) for one in model.graph.initializer) > _MOST_BYTES
    onnx.save(model, target, save_as_external_data=large, location=f"{target.name}.data" if large else None)


def quantized_rows(matrix: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return ``matrix`` (N, K) in eight bits, and the scale (N,) of each row, whose largest number is 127 of it."""
    scale = np.abs(matrix).max(1) / np.float32(LEVELS)
    scale[scale == 0] = 1
    return np.rint(matrix / scale[:, None]).astype(np.int8), scale


class _Quantizer:
    """Rewrites the nodes of a graph one by one, in their order."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._weights = {one.name: one for one in graph.initializer}
        self._made_by = {name: node for node in graph.node for name in node.output}
        self._constants = dict(_CONSTANTS)
        self._in_bits: set[str] = set()

    def run(self) -> None:
        from onnx.numpy_helper import from_array

        nodes = [made for node in self._graph.node for made in self._instead_of(node)]
        self._graph.initializer.extend(from_array(value, name) for name, value in self._constants.items())
        _keep(self._graph, nodes)

    def _instead_of(self, node: Any) -> Iterator[Any]:
        if node.op_type == "Gather" and node.input[0] in self._weights:
            table = self._weights[node.input[0]]
            if len(table.dims) == 2:
                yield from self._looked_up(*node.input, *node.output)
                return
        if node.op_type in ("MatMul", "Gemm"):
            factor, name, *bias = node.input
            is_turned = any(one.name == "transB" and one.i for one in node.attribute)  # (N, K), not (K, N)
            if name in self._made_by and self._made_by[name].op_type == "Transpose":
                name, is_turned = self._made_by[name].input[0], True
            if name in self._weights:
                yield from self._rows_in_bits(factor)
                yield from self._product(factor, name, *node.output, bias=bias, is_turned=is_turned)
                return
        yield node

    def _looked_up(self, table: str, places: str, result: str) -> Iterator[Any]:
        """Yield what makes ``result`` (..., D) of the rows of ``table`` (N, D) at ``places``."""
        from onnx import TensorProto
        from onnx.helper import make_node

        bits, scales = self._matrix_in_bits(table)
        yield make_node("Gather", [bits, places], [f"{result}_row_bits"])
        yield make_node("Cast", [f"{result}_row_bits"], [f"{result}_row_steps"], to=TensorProto.FLOAT)
        yield make_node("Gather", [scales, places], [f"{result}_row_scales"])
        yield make_node("Unsqueeze", [f"{result}_row_scales", "last_axis"], [f"{result}_row_scale"])
        yield make_node("Mul", [f"{result}_row_steps", f"{result}_row_scale"], [result])

    def _rows_in_bits(self, name: str) -> Iterator[Any]:
        """Yield what makes ``name`` (..., K) into ``_bits`` of the same shape, and ``_scale`` (..., 1) of each row."""
        from onnx.helper import make_node

        if name in self._in_bits:
            return
        self._in_bits.add(name)
        yield make_node("Abs", [name], [f"{name}_sizes"])
        yield make_node("ReduceMax", [f"{name}_sizes", "last_axis"], [f"{name}_size"])
        yield make_node("Max", [f"{name}_size", "least"], [f"{name}_range"])
        yield make_node("Mul", [f"{name}_range", "step"], [f"{name}_scale"])
        yield make_node("Div", [name, f"{name}_scale"], [f"{name}_steps"])
        yield make_node("QuantizeLinear", [f"{name}_steps", "one", "zero_of_factors"], [f"{name}_bits"])

    def _product(self, factor: str, matrix: str, result: str, *, bias: list[str], is_turned: bool) -> Iterator[Any]:
        """Yield what makes ``result`` (..., N) of the bits of ``factor`` and a constant matrix."""
        from onnx.helper import make_node

        bits, scales = self._matrix_in_bits(matrix, is_turned=is_turned)
        scaled = f"{result}_without_bias" if bias else result
        yield make_node("Transpose", [bits], [f"{result}_matrix"], perm=[1, 0])  # done once, when the graph is opened
        yield make_node(
            "MatMulIntegerToFloat",
            [f"{factor}_bits", f"{result}_matrix", "one", scales, "zero_of_factors", "zero_of_weights"],
            [f"{result}_product"],
            domain=_OPERATORS,
        )
        yield make_node("Mul", [f"{result}_product", f"{factor}_scale"], [scaled])
        if bias:
            yield make_node("Add", [scaled, *bias], [result])

    def _matrix_in_bits(self, name: str, *, is_turned: bool = True) -> tuple[str, str]:
        """Return the names of bits (N, K) and scales (N,) of a constant (N, K), or (K, N): one copy, however used."""
        from onnx.numpy_helper import to_array

        bits, scales = f"{name}_bits", f"{name}_scales"
        if bits not in self._constants:
            matrix = to_array(self._weights[name])
            self._constants[bits], self._constants[scales] = quantized_rows(matrix if is_turned else matrix.T)
        return bits, scales


def _keep(graph: Any, nodes: list[Any]) -> None:
    """Let ``graph`` have ``nodes``, without what nobody reads any more."""
    read = {name for node in nodes for name in node.input} | {one.name for one in graph.output}
    kept = [node for node in nodes if read.intersection(node.output)]
    read = {name for node in kept for name in node.input} | {one.name for one in graph.input}
    initializers = [one for one in graph.initializer if one.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(initializers)
