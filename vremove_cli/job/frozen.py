"""--frozen: a job takes the tracker, the remover and the models of the last time, or is refused."""

import json
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.job.output_paths import report_path
from vremove_cli.job.plan import Plan


def check_frozen(plan: Plan, former: Plan | None) -> None:
    """Check that a new plan takes what an earlier one took: the folder's, or that of the report beside the result.

    Args:
        plan: The new plan.
        former: The folder's plan; None without one.

    Raises:
        UsageError: The plans differ in a name, a commit or a memory mode; or nothing earlier is known, and auto chose.
    """
    before = former.to_json() if former is not None else _reported(report_path(Path(plan.request.output)))
    if before is None:
        if "auto" in (plan.request.tracker, plan.request.remover):
            raise UsageError(
                "--frozen finds neither an earlier plan nor a report of this job",
                "run it once without --frozen, or name --tracker and --remover",
            )
        return
    old, new = _taken(before), _taken(plan.to_json())
    for what, value in new.items():
        if old.get(what) != value:
            raise UsageError(
                f"the {what} was {old.get(what)} and would be {value} now",
                "leave --frozen out, or restore the former one",
            )


def _reported(path: Path) -> dict[str, Any] | None:
    """Return the plan of a report; None without one that can be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["plan"]
        _taken(found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def _taken(plan: dict[str, Any]) -> dict[str, str]:
    """Return what a plan takes, by what it is for."""
    tracker, memory = plan["tracker"], plan["memory"]
    models = [m for m in (tracker["checkpoint"], *plan["checkpoints"]) if m is not None]
    return {
        "tracker": f"{tracker['name']} on every {tracker['every']}. frame" if tracker["every"] > 1 else tracker["name"],
        "remover": plan["remover"],
        "memory mode": f"{'8 bits' if memory['weights'] == 'fp8' else 'full'}, tile {memory['tile']}",
        **{f"commit of {m['model']['name']}": m["commit"] or "your own file" for m in models},
    }
