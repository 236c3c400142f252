"""Write fitted models as ONNX, in double precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from surrobench.fitting.candidates import Fit
from surrobench.libraries import SKL2ONNX
from surrobench.space.hyperparameter import Matrix

OPSET = {"": 18, "ai.onnx.ml": 3}
Node = tuple[str, list[str], str, dict[str, Any]]
"""A node of an ONNX graph: its kind, what it takes, what it makes, and its attributes."""


def as_onnx(fit: Fit, features: int) -> bytes:
    """Return a fit as an ONNX model that takes features in double precision and returns values in their unit.

    Args:
        fit: the fitted model.
        features: the number of features.

    Raises:
        MissingLibrary: skl2onnx is not installed.
    """
    SKL2ONNX.require("Writing a surrogate")
    if hasattr(fit.model, "kernel_"):
        return _process(fit, features)
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType

    inputs = [("features", DoubleTensorType([None, features]))]
    exported = to_onnx(fit.model, initial_types=inputs, target_opset=OPSET)
    [output] = exported.graph.output
    nodes = [("Cast", [output.name], "as_double", {"to": _double()}), *_in_its_unit("as_double")]
    del exported.graph.output[:]
    return _finished(exported, nodes, {"scale": fit.scale, "centre": fit.centre})


def _process(fit: Fit, features: int) -> bytes:
    """Return a Gaussian process with the kernel constant * Matérn(5/2) + noise as an ONNX model.

    Its mean at x is the sum over the training rows t of weight(t) * (1 + r + r^2 / 3) * exp(-r), with
    r = sqrt(5) * |x - t|, each coordinate divided by its length. Source: Rasmussen & Williams, "Gaussian
    Processes for Machine Learning" (2006), equations 2.25 and 4.17.
    """
    from onnx import helper

    kernel = fit.model.kernel_.k1
    lengths = np.asarray(kernel.k2.length_scale) / np.sqrt(5.0)
    points = fit.model.X_train_ / lengths
    constants = {
        "lengths": lengths,
        "points": points.T,
        "squares": (points**2).sum(axis=1),
        "weights": kernel.k1.constant_value * np.asarray(fit.model.alpha_).reshape(-1, 1),
        "minus_two": -2.0,
        "zero": 0.0,
        "one": 1.0,
        "third": 1 / 3,
        "scale": fit.scale,
        "centre": fit.centre,
    }
    nodes = [
        ("Div", ["features", "lengths"], "x", {}),
        ("ReduceSumSquare", ["x", "axis"], "own_squares", {"keepdims": 1}),
        ("MatMul", ["x", "points"], "products", {}),
        ("Mul", ["products", "minus_two"], "doubled", {}),
        ("Add", ["doubled", "squares"], "partly", {}),
        ("Add", ["partly", "own_squares"], "rounded", {}),
        ("Max", ["rounded", "zero"], "r_squared", {}),
        ("Sqrt", ["r_squared"], "r", {}),
        ("Mul", ["r_squared", "third"], "quadratic", {}),
        ("Add", ["r", "quadratic"], "more", {}),
        ("Add", ["more", "one"], "polynomial", {}),
        ("Neg", ["r"], "exponent", {}),
        ("Exp", ["exponent"], "decay", {}),
        ("Mul", ["polynomial", "decay"], "similarity", {}),
        ("MatMul", ["similarity", "weights"], "standardised", {}),
        *_in_its_unit("standardised"),
    ]
    taken = helper.make_tensor_value_info("features", _double(), [None, features])
    graph = helper.make_graph([], "process", [taken], [])
    opsets = [helper.make_opsetid(*item) for item in OPSET.items()]
    return _finished(helper.make_model(graph, opset_imports=opsets, ir_version=9), nodes, constants)


def _in_its_unit(name: str) -> list[Node]:
    """Return the nodes that multiply an output by the scale and add the centre."""
    return [("Mul", [name, "scale"], "scaled", {}), ("Add", ["scaled", "centre"], "value", {})]


def _finished(model: Any, nodes: list[Node], constants: Mapping[str, Any]) -> bytes:
    """Return a model with more nodes and constants, whose output is ``value``, as bytes."""
    from onnx import helper, numpy_helper

    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in constants.items()}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
    model.graph.node.extend(helper.make_node(kind, of, [made], **more) for kind, of, made, more in nodes)
    model.graph.output.append(helper.make_tensor_value_info("value", _double(), None))
    return bytes(model.SerializeToString())


def _double() -> int:
    from onnx import TensorProto

    return int(TensorProto.DOUBLE)


def differs(fit: Fit, content: bytes, features: Matrix) -> float:
    """Return the largest difference between a fit and its ONNX model, in units of the values' spread.

    Args:
        fit: the fitted model.
        content: its ONNX model.
        features: where they are compared, shape (m, number of features).
    """
    from surrobench.benchmarks.fitted.model import Model

    return float(np.max(np.abs(Model(content, "the model")(features) - fit(features))) / fit.scale)
