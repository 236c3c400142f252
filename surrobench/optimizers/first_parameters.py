"""The parameters that the methods had at first, with their defaults: random streams are named after them.

A method's random stream is named after the method and these parameters, with the values that a suite sets in
the place of the defaults. A parameter that was added later enters the name only where a suite sets it to
something else than its default. So a new parameter, at its default, changes neither the stream nor the id of
a run. Entries are never changed, and a new method needs none.
"""

from __future__ import annotations

from typing import Any

_HALVING = {"eta": 3, "min_fidelity": None}
_TPE = {"startup": 10, "candidates": 24}
_REPLY = {"temperature": 0.7, "max_tokens": 2048}
_OPRO = {"pairs": 20, "start": 5, "order": "sorted", "temperature": 1.0, "max_tokens": 1024}
_CENTAUR = {"ratio": 0.3, "warmup": 10, "history": 20, "top": 5, **_REPLY}

FIRST_PARAMETERS: dict[str, dict[str, Any]] = {
    "classical.local_search:local_search": {"neighbours": 4, "spread": 0.2},
    "classical.regularized_evolution:regularized_evolution": {"population": 100, "sample": 25},
    "classical.regularized_evolution:small_regularized_evolution": {"population": 20, "sample": 5},
    "classical.differential_evolution:differential_evolution": {
        "population": 20,
        "factor": 0.5,
        "crossover": 0.5,
    },
    "classical.tpe:tpe": _TPE,
    "classical.tpe:tpe_multivariate": _TPE,
    "classical.tpe:tpe_univariate": _TPE,
    "classical.cma_es:cma_es": {"sigma": 1 / 6},
    "classical.optuna_gp:optuna_gp": {"startup": 10},
    "classical.proposals:proposals": {"file": "", "of": ""},
    "multi_fidelity.successive_halving:successive_halving": _HALVING,
    "multi_fidelity.hyperband:hyperband": _HALVING,
    "multi_fidelity.asha:asha": _HALVING,
    "multi_fidelity.bohb:bohb": {
        **_HALVING,
        "random_fraction": 1 / 3,
        "top_percent": 15,
        "samples": 64,
        "bandwidth_factor": 3.0,
        "min_bandwidth": 0.001,
    },
    "multi_fidelity.dehb:dehb": {**_HALVING, "mutation": 0.5, "crossover": 0.5},
    "llm.karpathy_agent:karpathy_agent": {"history": 20, **_REPLY},
    "llm.zero_shot:zero_shot": {
        "k": 5,
        "context": "full",
        "replies": 1,
        "then": "tpe",
        "then_parameters": None,
        "top_p": 0.95,
        **_REPLY,
    },
    "llm.opro:opro": {"per_step": 8, **_OPRO},
    "llm.opro:opro_1": _OPRO,
    "llm.sllmbo:sllmbo": {"share": 0.5, **_TPE, "summary": 10, "patience": 0, **_REPLY},
    "llm.centaur:centaur": {**_CENTAUR, "injection": "published", "sigma": 1 / 6},
    "llm.centaur_tpe:centaur_tpe": {**_CENTAUR, **_TPE},
    "llm.llinbo:llinbo": {"mode": "transient", "start": None, "temperature": 1.0, "max_tokens": 2000},
    "llm.llambo:llambo": {
        "surrogate": "discriminative",
        "alpha": 0.1,
        "candidates": 10,
        "templates": 2,
        "n_gens": 10,
        "top_share": 0.25,
        "at_least": 5,
        "rounds": 4,
        "warm_start": None,
        "temperature": 0.8,
        "surrogate_temperature": 0.7,
        "top_p": 0.95,
        "max_tokens": 500,
        "surrogate_max_tokens": 16,
    },
    "llm.llambo_optunahub:llambo_optunahub": {
        "surrogate": "generative",
        "alpha": 0.1,
        "templates": 2,
        "top_share": 0.25,
        "n_initial": 5,
        "at_least": 5,
        "rounds": 11,
        "fallback": True,
    },
}
"""The target of a method, as in the registry -> its first parameters. A method without an entry had none."""
