"""What runs in the student's kernel in place of a graded cell: sent as source, not imported there."""

import json
from typing import Any


def hand_over(namespace: dict[str, Any], names: list[str], path: str) -> None:
    """Write a line of JSON, `missing` names and `why` it failed, then the pickle of a dict of the others."""
    import cloudpickle  # only here: the marking process reads this module, too

    held = {name: namespace[name] for name in names if name in namespace}
    missing, why, data = [name for name in names if name not in held], "", b""
    try:
        data = cloudpickle.dumps(held)
    except BaseException as error:  # an interrupt is to be told, too
        why = culprit(held, error)
    with open(path, "wb") as file:
        file.write(json.dumps({"missing": missing, "why": why}).encode() + b"\n" + data)


def culprit(held: dict[str, Any], error: BaseException) -> str:
    """Name the object that cannot be pickled, and why."""
    import cloudpickle

    if isinstance(error, KeyboardInterrupt):
        return "it took too long to save the objects that are marked"
    for name, thing in held.items():
        try:
            cloudpickle.dumps({name: thing})
        except Exception as own:
            return f"`{name}` cannot be saved for marking: {type(own).__name__}: {str(own)[:300]}"
    return f"the objects cannot be saved for marking: {type(error).__name__}: {str(error)[:300]}"
