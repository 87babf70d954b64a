"""How wide the seams of a long clip are: UnderEraser's windows, led by keyframes and without, on tiny random networks.

python tests/benchmarks/seams.py [--frames 290] [--size 96x64]
"""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from support.seams_of import measured
from support.twins import checkpoints, undereraser_repos
from vremove_cli.removers.base import Settings
from vremove_cli.removers.undereraser import remover as undereraser


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=290)
    parser.add_argument("--size", default="96x64")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for files in undereraser_repos(folder).values():
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        places = {
            undereraser.BASE: str(folder), undereraser.FAST: str(folder / "lightx2v.safetensors"),
            undereraser.OWN: str(folder / "checkpoint.safetensors"),
        }  # fmt: skip
        width, height = (int(n) for n in args.size.split("x"))
        found = measured(
            undereraser.UnderEraserRemover(Settings(checkpoints=checkpoints(places))), args.frames, (width, height)
        )
    print(f"{args.frames} frames, {found.keyframes} keyframes; mean differences, in levels of 255:")
    print(f"two windows in the frames both have: {255 * found.led:.2f} led, {255 * found.alone:.2f} without")
    print(f"from frame to frame: {255 * found.joined:.2f} where windows meet, {255 * found.inside:.2f} inside them")
    print(f"what keyframes change in a window: {255 * found.effect:.2f}")


if __name__ == "__main__":
    main()
