"""Matrices in 8 bits: each product is what eight-bit arithmetic says, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from unmask.exporting import quantize
from unmask.exporting.quantize import LEVELS, quantize_graph, quantized_rows


@settings(max_examples=40, deadline=None)
@given(
    scales=st.lists(st.floats(0, 1e3, width=32), min_size=1, max_size=5),
    width=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_number_in_bits_is_off_by_half_a_step(scales: list[float], width: int, seed: int) -> None:
    numbers = np.random.default_rng(seed).standard_normal((len(scales), width)) * np.array(scales)[:, None]
    matrix = numbers.astype(np.float32)
    bits, scale = quantized_rows(matrix)
    assert np.abs(bits.astype(int)).max(initial=0) <= LEVELS
    assert (np.abs(matrix - bits * scale[:, None]) <= 0.5001 * scale[:, None]).all()


def products(path: Path, table: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> None:
    """Write a graph with a lookup and every way in which a constant may be multiplied."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("MatMul", ["x", "weight"], ["plain"]),
        helper.make_node("Transpose", ["turned"], ["turned back"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned back"], ["transposed"]),
        helper.make_node("Gemm", ["x", "turned", "bias"], ["gemm"], transB=1),
        helper.make_node("MatMul", ["gemm", "weight"], ["again"]),
        helper.make_node("Transpose", ["x"], ["x turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "x turned"], ["no constant"]),
        helper.make_node("Gemm", ["x", "table"], ["tied"], transB=1),
    ]
    wide = weight.shape[1]
    outputs: list[tuple[str, int | str]] = [(name, wide) for name in ("plain", "transposed", "gemm", "again")]
    outputs += [("tied", len(table)), ("no constant", "n")]
    constants = {"table": table, "weight": weight, "turned": weight.T.copy(), "bias": np.arange(wide, dtype=np.float32)}
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def test_every_product_in_bits_is_its_slow_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    table, weight = (chance.standard_normal(shape).astype(np.float32) for shape in ((600, 4), (4, 4)))
    table[2] = 0  # a row of nothing
    products(tmp_path / "plain.onnx", table, weight)
    ids = np.array([2, 0, 5, 5, 1, 599], np.int64)

    def twin(rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        (one, of_rows), (other, of_columns) = quantized_rows(rows), quantized_rows(columns.T)
        steps = one.astype(np.int32) @ other.T.astype(np.int32)
        return (steps * of_rows[:, None] * of_columns).astype(np.float32)

    bits, scale = quantized_rows(table)
    rows = (bits * scale[:, None]).astype(np.float32)[ids]
    once = twin(rows, weight)
    with_bias = (once + np.arange(4)).astype(np.float32)
    expected: list[npt.NDArray[np.float32]] = [
        once,
        once,
        with_bias,
        twin(with_bias, weight),
        twin(rows, table.T),
        rows @ rows.T,
    ]
    for most in (0, quantize._MOST_BYTES):  # weights beside the file, and in it
        monkeypatch.setattr(quantize, "_MOST_BYTES", most)
        target = tmp_path / f"{most}.onnx"
        quantize_graph(tmp_path / "plain.onnx", target)
        assert target.with_name(f"{target.name}.data").exists() == (most == 0)
        session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        found: list[npt.NDArray[np.float32]] = session.run(None, {"ids": ids})
        for one, other in zip(expected, found, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-6 * float(np.abs(one).max()))
