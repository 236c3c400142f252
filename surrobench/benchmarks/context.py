"""Read configurations that say of which instance and fidelity they are, as yahpo-gym's dictionaries do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from surrobench.errors import UsageError

Configuration = Mapping[str, Any]


def without_context(
    configurations: Sequence[Configuration],
    instance: tuple[str | None, str],
    fidelities: Collection[str],
    fidelity: Mapping[str, float],
) -> tuple[list[Configuration], list[dict[str, float]]]:
    """Return configurations without what they say of instance and fidelity, and the fidelity of each.

    Args:
        configurations: mappings of name to value.
        instance: the name of the instance's key in such configurations, if there is one, and the instance.
        fidelities: the names of the fidelities. A hyperparameter is none of them.
        fidelity: the fidelity that was asked for, name to value.

    Returns:
        configurations: hyperparameters alone.
        fidelities: for each configuration, what was asked for and what it says itself.

    Raises:
        UsageError: a configuration says something else than what was asked for.
    """
    key, wanted = instance
    bare: list[Configuration] = []
    at: list[dict[str, float]] = []
    for i, configuration in enumerate(configurations):
        if key is not None and (said := configuration.get(key)) is not None and _text(said) != wanted:
            raise UsageError(
                f"Configuration {i}: {key} = {said!r} is another instance than {wanted}.",
                f"Evaluate it on that benchmark, or leave out {key!r}.",
            )
        own = {name: configuration[name] for name in fidelities if configuration.get(name) is not None}
        for name, value in own.items():
            if name in fidelity and fidelity[name] != value:
                raise UsageError(
                    f"Configuration {i}: {name} = {value!r} is not the fidelity {fidelity[name]:g}.",
                    f"Leave out one of them: {name!r} in the configuration, or the fidelity.",
                )
        gone = {key, *fidelities}
        bare.append({name: value for name, value in configuration.items() if name not in gone})
        at.append({**fidelity, **own})
    return bare, at


def _text(value: Any) -> str:
    """Return an instance as text: data sets are written as numbers, too."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
