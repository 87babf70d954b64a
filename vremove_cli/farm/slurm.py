"""A shell script that submits planned jobs to Slurm: an array of workers for each step, each after the one before."""

import shlex
from collections.abc import Sequence

from vremove_cli import __version__
from vremove_cli.farm.steps import Step

_HEAD = """\
#!/bin/sh
# Made by `vremove plan --export slurm`, version {version}: submits {title} to Slurm.
#
#     sh {file} [OPTIONS OF SBATCH]
#
# The options count for every job below, and more than what stands there: --partition=gpu --time=4:00:00.
# VREMOVE names the program, where it is not on the path of the nodes. All nodes must see the work folders and the clips
# under the same paths. SIGTERM comes a minute before a job's time is over, so that it gives its task back.
set -eu

submit() {{
    id=$(sbatch --parsable --requeue --signal=B:TERM@60 --kill-on-invalid-dep=yes "$@") && echo "${{id%%;*}}"
}}
"""


def script(steps: Sequence[Step], title: str, jobs: str, file: str, gpu_type: str | None) -> str:
    """Return the script.

    Args:
        steps: The steps. One waits until that before it has succeeded, or only until it has ended (`Step.always`).
        title: What the jobs are called.
        jobs: Absolute path of the list of jobs.
        file: Name of the script.
        gpu_type: Type of the GPUs, as the cluster names it; None for any.
    """
    names = [f"step{number}" for number in range(1, len(steps) + 1)]
    parts = [_HEAD.format(version=__version__, title=_on_one_line(title), file=_on_one_line(shlex.quote(file)))]
    for name, before, step in zip(names, ("", *names), steps, strict=False):
        parts.append(_submission(name, before, step, jobs, gpu_type))
    ids = " ".join(f"${name}" for name in names)
    parts.append(f'echo "submitted: {ids}; to end them: scancel {ids}"\n')
    return "\n".join(parts)


def _submission(name: str, before: str, step: Step, jobs: str, gpu_type: str | None) -> str:
    """Return the lines that submit one step and keep its number in a variable."""
    options = [f"--job-name=vremove-{step.name}", f"--array=1-{step.workers}"]
    if before:
        options.append(f'--dependency={"afterany" if step.always else "afterok"}:"${before}"')
    options += [f"--cpus-per-task={step.cores}", f"--mem={step.memory}M"]
    if step.gpu:
        options.append(f"--gres={shlex.quote(':'.join(filter(None, ('gpu', gpu_type, '1'))))}")
    command = f'exec "${{VREMOVE:-vremove}}" {shlex.join((step.command, jobs, *step.options))}'
    lines = [*_comment(step), f'{name}=$(submit {" ".join(options)} "$@" \\', f"    --wrap={shlex.quote(command)})", ""]
    return "\n".join(lines)


def _comment(step: Step) -> list[str]:
    if not step.gpu_memory:
        return []
    return [f"# Each needs a GPU of {step.gpu_memory} MiB. Slurm has no common option for that: choose by type."]


def _on_one_line(text: str) -> str:
    return " ".join(text.splitlines())
