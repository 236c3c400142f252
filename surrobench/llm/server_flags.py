"""Tell the flags of a model server that can change a model's answers from those that only spread its work.

The list is of the flags that change nothing. A flag that is not on it counts, since two different things must
never be taken for one.
"""

from __future__ import annotations

from collections.abc import Sequence

_SPREADING = frozenset(
    {
        *("host", "port", "uds", "root-path", "ssl-keyfile", "ssl-certfile", "ssl-ca-certs", "api-key"),
        *("allow-credentials", "allowed-origins", "allowed-methods", "allowed-headers", "middleware"),
        *("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "data-parallel-rank"),
        *("data-parallel-size-local", "data-parallel-address", "data-parallel-rpc-port"),
        *("data-parallel-backend", "distributed-executor-backend", "enable-expert-parallel", "nnodes"),
        *("node-rank", "master-addr", "master-port", "api-server-count", "headless"),
        *("gpu-memory-utilization", "swap-space", "cpu-offload-gb", "kv-cache-memory-bytes", "block-size"),
        *("num-gpu-blocks-override", "max-num-seqs", "max-num-batched-tokens", "max-num-partial-prefills"),
        *("max-model-len", "enable-prefix-caching", "enable-chunked-prefill", "enforce-eager"),
        *(
            "async-scheduling",
            "scheduling-policy",
            "disable-custom-all-reduce",
            "max-parallel-loading-workers",
        ),
        *("download-dir", "ignore-patterns", "use-tqdm-on-load", "trust-remote-code", "hf-token"),
        *(
            "log-level",
            "uvicorn-log-level",
            "disable-log-requests",
            "enable-log-requests",
            "disable-log-stats",
        ),
        *("max-log-len", "disable-uvicorn-access-log", "disable-fastapi-docs", "log-config-file"),
        *("enable-server-load-tracking", "otlp-traces-endpoint", "show-hidden-metrics-for-version"),
        *("collect-detailed-traces", "enable-request-id-headers", "served-model-name", "device-ids"),
    }
)
_SHORT = {"-tp": "--tensor-parallel-size", "-pp": "--pipeline-parallel-size", "-dp": "--data-parallel-size"}


def telling_flags(extra: Sequence[str]) -> list[list[str]]:
    """Return the flags that can change answers, each with its values, in a fixed order.

    ``--flag value``, ``--flag=value`` and ``--flag_name value`` are the same. A flag that is written twice
    keeps its order, since servers take the last one or both.

    Args:
        extra: the arguments as a suite writes them.
    """
    flags: list[list[str]] = []
    for argument in extra:
        name, equals, value = _SHORT.get(argument, argument).partition("=")
        if name.startswith("--"):
            flags.append([name.removeprefix("--").replace("_", "-"), *([value] if equals else [])])
        elif flags:
            flags[-1].append(argument)
        else:
            flags.append(["", argument])
    told = [flag for flag in flags if flag[0].removeprefix("no-") not in _SPREADING]
    return sorted(told, key=lambda flag: flag[0])
