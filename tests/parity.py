"""Compare the project's own code with golden files: `python tests/parity.py FILE.safetensors ...`.

A golden file holds weights, inputs and what a reference implementation made of them; the JSON beside it says what each
tensor is. The weights go through the project's loader, the inputs through its code, and the largest difference of each
output is printed. The exit status is 1 when one is above its limit.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import parity_rorem, parity_void, parity_wan
from vremove_cli.weights.load import read_state

ITEMS = {**parity_void.ITEMS, **parity_wan.ITEMS, **parity_rorem.ITEMS}


@dataclass(frozen=True)
class Result:
    """An output's largest difference from the golden one, and the most that is allowed."""

    name: str
    difference: float
    limit: float

    @property
    def good(self) -> bool:
        return self.difference <= self.limit


def compare(file: Path) -> list[Result]:
    """All outputs of one golden file."""
    facts = json.loads(file.with_suffix(".json").read_text())
    tensors = read_state(str(file))
    if facts.get("item") not in ITEMS:
        raise SystemExit(f"{file.name}: the JSON beside it names none of these items: {', '.join(sorted(ITEMS))}")
    run, limit = ITEMS[facts["item"]]
    out = []
    with torch.inference_mode():
        for name, found in run(tensors, facts["config"]):
            want = torch.as_tensor(tensors[f"out/{name}"]).float()
            have = torch.as_tensor(np.array(found) if isinstance(found, np.ndarray) else found).float()
            if have.shape != want.shape:
                raise SystemExit(f"{file.name}: {name} is {tuple(have.shape)} and not {tuple(want.shape)}")
            difference = _largest(name, (have - want).abs())
            out.append(Result(name, difference, limit(name, want)))
    return out


def _largest(name: str, differences: Any) -> float:
    """The largest difference; of a canvas of warped noise two pixels in a thousand may have gone to a neighbour."""
    if name == "full/state_last":
        return float(np.quantile(differences.amax(0).numpy(), 0.998))
    return float(differences.max())


def main(files: list[str]) -> int:
    bad = 0
    for file in files:
        for result in compare(Path(file)):
            bad += not result.good
            mark = "" if result.good else "  ABOVE ITS LIMIT"
            print(f"{Path(file).stem}  {result.name}: {result.difference:.3g} (at most {result.limit:.3g}){mark}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
