"""Open ONNX models in onnxruntime. No other file imports it."""

from __future__ import annotations

from typing import Any

from surrobench.libraries import ONNXRUNTIME


class NoNetwork(Exception):
    """The error for bytes that are no network with the expected inputs and outputs."""


def open_session(content: bytes, what: str) -> Any:
    """Return a session of onnxruntime that computes in the calling thread only.

    Args:
        content: the model.
        what: the part of surrobench that needs it, for the error if onnxruntime is not installed.

    Raises:
        MissingLibrary: onnxruntime is not installed.
        NoNetwork: the content is no model.
    """
    ONNXRUNTIME.require(what)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # only errors are logged
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base class
        raise NoNetwork(str(error)) from error
