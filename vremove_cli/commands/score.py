"""vremove score: how good results are, in numbers."""

from typing import TYPE_CHECKING, Annotated

import typer

from vremove_cli.commands.signature import Given, command, reporting
from vremove_cli.job.request import Request

if TYPE_CHECKING:
    from vremove_cli.job.scoring import Material
    from vremove_cli.quality.score import Score

_BEST = {
    "overall": "100", "still_there": "0", "background": "1", "warp_error": "1", "flicker": "1", "sharpness": "1",
    "grain": "1", "seam": "1", "outside_kept": "1", "outside_equal": "1", "outside_psnr": "high", "psnr": "high",
    "ssim": "1", "lpips": "0", "success_median": "1", "success_p10": "1",
}  # fmt: skip


_LEARNT = ("weights", "accept_license", "models", "download", "device")  # of the learnt score of success
_PRINT = ("json", "progress", "quiet", "debug", "log")


@command(Request, name="score", only=lambda o: o.name in (*_LEARNT, *_PRINT))
def score(
    results: Annotated[list[str], typer.Argument(metavar="RESULT", help="Erased videos or pictures.")],
    given: Given,
    source: Annotated[
        str | None, typer.Option("--source", metavar="CLIP", help="The clip it was made of. \\[that of its report]")
    ] = None,
    mask: Annotated[
        str | None, typer.Option("--mask", metavar="FILE|FOLDER", help="Mask of the object. \\[that of its report]")
    ] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="CLIP", help="The clip without the object, if there is one.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Write NAME.score.json beside each result.")] = False,
) -> None:
    """Say how good results are: what is left of the object, seams, flicker, grain.

    vremove score clip.clean.mp4
    vremove score a.mp4 b.mp4 --source clip.mp4 --mask mask.mkv

    Several results are ranked, the best first. `vremove review` shows what
    --save writes. With `--weights rorem-score=FOLDER` the learnt score of
    success is measured, too.
    """
    with reporting(given) as console:
        from dataclasses import asdict

        from vremove_cli.job.attempts import find_judge
        from vremove_cli.job.report import enveloped
        from vremove_cli.job.request import request_from
        from vremove_cli.job.scoring import find_material, save_score, score_result

        found = []
        materials = [find_material(result, source, mask, truth) for result in results]
        console.expect_jobs(len(materials), 1)
        request = request_from("", "", given.of(Request))
        for material in materials:
            console.input = material.result
            with console.watching(material.result) as event:
                found.append((material, score_result(material, event, find_judge(request, event))))
        found.sort(key=lambda pair: -pair[1].overall)
        for rank, (material, numbers) in enumerate(found, 1):
            facts = {"rank": rank, "input": material.source, "output": material.result, "mask": material.mask}
            report = enveloped("score", {**facts, "truth": material.truth, **asdict(numbers)})
            if save:
                save_score(material.result, report)
            if console.as_json:
                console.tell(report, "")
        if not console.as_json:
            console.tell({}, table(found))


def table(found: "list[tuple[Material, Score]]") -> str:
    """Return scores as a table: a measure a line, a result a column, and the best value that there is."""
    from pathlib import Path

    names = [Path(material.result).name for material, _ in found]
    rows = [["", *names, "best"]]
    for name, best in _BEST.items():
        values = [getattr(numbers, name) for _, numbers in found]
        if any(value is not None for value in values):
            digits = 1 if name in ("overall", "psnr", "outside_psnr") else 3
            cells = ["-" if value is None else f"{value:.{digits}f}" for value in values]
            rows.append([name.replace("_", " "), *cells, best])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(line) for line in lines)
