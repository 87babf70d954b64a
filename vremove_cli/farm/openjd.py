"""A job template of Open Job Description, the format of AWS Deadline Cloud and others.

The template follows the specification "jobtemplate-2023-09" without its extensions. Paths stand in parameters alone:
the template's own strings may hold expressions in double braces, values of parameters may not.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

from vremove_cli import __version__
from vremove_cli.farm.steps import Step

NOTICE = 120  # seconds between SIGTERM and SIGKILL; a task is given back at once
_NAME = 128  # characters of a job's name, at most


def template(steps: Sequence[Step], title: str, jobs: str) -> dict[str, Any]:
    """Return a job template as JSON values.

    Args:
        steps: The steps, of which each waits for the one before. The specification knows no step that runs after a
            failed one: `Step.always` does not count.
        title: What the jobs are called.
        jobs: Path of the list of jobs, from the template's folder.
    """
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": _job_name(f"vremove {title}"),
        "description": f"Made by `vremove plan --export openjd`, version {__version__}. Workers take the tasks of the "
        "work folders that the list names: all hosts must see these folders and the clips under the same paths.",
        "parameterDefinitions": [
            {
                "name": "Jobs",
                "type": "PATH",
                "objectType": "FILE",
                "dataFlow": "IN",
                "default": jobs,
                "description": "The list of work folders, one a line.",
            },
            {
                "name": "Vremove",
                "type": "STRING",
                "default": "vremove",
                "minLength": 1,
                "description": "The program, where it is not on the path of the hosts.",
            },
        ],
        "steps": [_step(step, before) for step, before in zip(steps, (None, *steps), strict=False)],
    }


def _job_name(text: str) -> str:
    """Return a text as a job's name, which holds no control characters and no expressions."""
    plain = "".join(c for c in text if unicodedata.category(c) != "Cc")
    return plain.replace("{", "(").replace("}", ")")[:_NAME]


def _step(step: Step, before: Step | None) -> dict[str, Any]:
    action = {
        "command": "{{Param.Vremove}}",
        "args": [step.command, "{{Param.Jobs}}", *step.options],
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": NOTICE},
    }
    worker = {"name": "Worker", "type": "INT", "range": f"1-{step.workers}"}
    return {
        "name": step.name.capitalize(),
        **({"dependencies": [{"dependsOn": before.name.capitalize()}]} if before else {}),
        "hostRequirements": {"amounts": _amounts(step)},
        "parameterSpace": {"taskParameterDefinitions": [worker]},
        "script": {"actions": {"onRun": action}},
    }


def _amounts(step: Step) -> list[dict[str, Any]]:
    """Return what a host must have, by the specification's own names, which know no types of GPUs."""
    amounts = {"vcpu": step.cores, "memory": step.memory, "gpu": int(step.gpu), "gpu.memory": step.gpu_memory}
    return [{"name": f"amount.worker.{name}", "min": amount} for name, amount in amounts.items() if amount]
