"""Answer questions in the reference's environment, with ``yahpo-gym`` 1.0.2 and nothing of surrobench.

The script reads a question per line (JSON: scenario, configurations, timed) and writes an answer per line.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

SINGLE = 128  # the number of single calls that are timed; the list call takes all configurations


def answer(question: dict[str, Any], sets: dict[str, Any]) -> dict[str, Any]:
    """Return the reference's encodings and values of some configurations, or the time it takes."""
    from yahpo_gym.benchmark_set import BenchmarkSet

    name, configurations = question["scenario"], question["configurations"]
    if name not in sets:
        # The reference uses one thread, as surrobench does. It checks configurations, as it does by default.
        sets[name] = BenchmarkSet(name, multithread=False)
    scenario = sets[name]
    if "trials" in question:
        return random_search(scenario, question)
    if question.get("timed"):
        seconds = {}
        for check in (True, False):
            scenario.check = check
            start = time.perf_counter()
            for configuration in configurations[:SINGLE]:
                scenario.objective_function(configuration)
            middle = time.perf_counter()
            scenario.objective_function(configurations)
            end = time.perf_counter()
            name = "checked" if check else "unchecked"
            seconds[f"single_{name}"] = (middle - start) / len(configurations[:SINGLE])
            seconds[f"list_{name}"] = (end - middle) / len(configurations)
        scenario.check = True
        return seconds
    inputs = [scenario._config_to_xs(configuration) for configuration in configurations]
    listed = scenario.objective_function(configurations)
    single = [scenario.objective_function(configuration)[0] for configuration in configurations[:500]]
    return {
        "numbers": [numbers.ravel().tolist() for numbers, _ in inputs],
        "categories": [categories.ravel().tolist() for _, categories in inputs],
        "listed": [[float(value) for value in values.values()] for values in listed],
        "single": [[float(value) for value in values.values()] for values in single],
    }


def random_search(scenario: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Run and time the loop that a user writes by hand: draw, evaluate, keep the best."""
    start = time.perf_counter()
    scenario.set_instance(question["instance"])
    space = scenario.get_opt_space(drop_fidelity_params=True, seed=0)
    best = float("inf")
    for _ in range(question["trials"]):
        configuration = space.sample_configuration().get_dictionary() | question["fidelity"]
        best = min(best, question["sign"] * scenario.objective_function(configuration)[0][question["target"]])
    seconds = time.perf_counter() - start
    scenario.constants.clear()
    return {"best": float(best), "seconds": seconds}


def main() -> None:
    """Answer until the input ends."""
    out = sys.stdout
    sets: dict[str, Any] = {}
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):  # the package prints what to cite
            found = answer(json.loads(line), sets)
        out.write(json.dumps(found) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
