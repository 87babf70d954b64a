"""Finished results beside their sources: a verdict on each, written as JSON lines."""

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.job.output_paths import score_path
from vremove_cli.job.request import request_from
from vremove_cli.media.probe import scan
from vremove_cli.media.read import Clip
from vremove_cli.page.facts import clip_facts
from vremove_cli.page.frames import FrameSource
from vremove_cli.page.pick import Pick, open_pick

SUFFIX = ".vremove.json"  # of reports
VERDICTS = ("accept", "reject", "")
_OPEN = 2  # results whose pictures are kept
_MEASURES = ("overall", "still_there", "background", "flicker", "sharpness", "seam")  # that the page shows
_CLICKS = ("point", "not_point", "box", "key_mask")


@dataclass(frozen=True)
class Result:
    """A finished result, as its report says.

    Attributes:
        report: Absolute path of the report.
        input: Path of the source.
        output: Path of the result.
        warnings: What the report warns of: `text`, `kind` and `frames`.
        shares: Shares of the erased pixels: recovered, doubtful, unseen.
        options: Values of the options that say what was erased.
    """

    report: str
    input: str
    output: str
    warnings: tuple[dict[str, Any], ...]
    shares: tuple[float, float, float]
    options: dict[str, Any]


def read_report(path: Path) -> Result:
    """Read a report.

    Raises:
        UsageError: It cannot be read, or is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        request = data["plan"]["request"]
        options = {name: tuple(map(str, request[name])) for name in _CLICKS}
        warnings = tuple(
            {"text": str(w["text"]), "kind": str(w["kind"]), "frames": w["frames"]} for w in data["warnings"]
        )
        shares = (float(data["recovered"]), float(data["doubtful"]), float(data["unseen"]))
        if data["type"] != "report":
            raise ValueError(data["type"])
        found = Result(str(path.absolute()), str(data["input"]), str(data["output"]), warnings, shares, options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        advice = "give the file NAME.vremove.json that `vremove erase` wrote beside its result"
        raise UsageError(f"{path} is no report", advice) from error
    for clip in (found.input, found.output):
        if not Path(clip).exists():
            raise UsageError(f"{clip}, which {path.name} names, does not exist", "put it back, or leave the report out")
    return found


def read_score(output: Path) -> dict[str, float | None] | None:
    """Return the measures that `vremove score --save` wrote beside a result.

    None where there are none, or they are older than the result.
    """
    path = score_path(output)
    try:
        if path.stat().st_mtime_ns < output.stat().st_mtime_ns:
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: None if data[name] is None else float(data[name]) for name in _MEASURES}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def reports_in(paths: Iterable[str]) -> list[Path]:
    """Return the reports that paths name; of a folder all that lie in it.

    Raises:
        UsageError: There is none.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not found:
        raise UsageError("there is no report here", f"give files NAME{SUFFIX}, or a folder with results")
    return list(dict.fromkeys(found))


class Review:
    """Results, and what a person says of them.

    Args:
        results: The results.
        out: File of verdicts, one JSON object a line; the last one of a report counts.
    """

    def __init__(self, results: list[Result], out: Path) -> None:
        self.results, self._out = results, out.absolute()
        self._lock = threading.Lock()
        self._open: OrderedDict[int, tuple[FrameSource, FrameSource]] = OrderedDict()
        self._picks: dict[int, Pick] = {}
        self._verdicts = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        """Return the verdicts of an earlier review."""
        if not self._out.exists():
            return {}
        found = {}
        try:
            for line in filter(str.strip, self._out.read_text(encoding="utf-8").splitlines()):
                entry = json.loads(line)
                found[str(entry["report"])] = {"verdict": str(entry["verdict"]), "note": str(entry["note"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self._out} holds no verdicts", "name another file with --out") from error
        return found

    def state(self) -> list[dict[str, Any]]:
        """Return all results with their verdicts."""
        out = []
        for result in self.results:
            said = self._verdicts.get(result.report, {"verdict": "", "note": ""})
            recovered, doubtful, unseen = result.shares
            name, warnings = Path(result.output).name, list(result.warnings)
            facts = {"recovered": recovered, "doubtful": doubtful, "unseen": unseen, "warnings": warnings}
            facts["score"] = read_score(Path(result.output))
            out.append({"name": name, "report": result.report, "output": result.output, **facts, **said})
        return out

    def judge(self, number: int, verdict: str, note: str) -> None:
        """Write a verdict; raises `UsageError` for a wrong one."""
        if verdict not in VERDICTS:
            raise UsageError(f"'{verdict}' is no verdict", "say accept or reject, or nothing")
        result = self.results[number]
        said = {"verdict": verdict, "note": note}
        facts = {"type": "review", "schema": 1, "report": result.report, "input": result.input, "output": result.output}
        with self._lock:
            with self._out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**facts, **said}, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._verdicts[result.report] = said

    def pictures(self, number: int) -> tuple[FrameSource, FrameSource]:
        """Return the frames of a source and of its result."""
        with self._lock:
            if number not in self._open:
                result = self.results[number]
                pair = FrameSource(Clip(scan(result.input))), FrameSource(Clip(scan(result.output)))
                if pair[0].clip.info.frames != pair[1].clip.info.frames:
                    raise UsageError(f"{result.output} has not as many frames as its source", "erase it again")
                self._open[number] = pair
                while len(self._open) > _OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return self._open[number]

    def facts(self, number: int) -> dict[str, Any]:
        """Return what the page must know of a clip."""
        return clip_facts(self.pictures(number)[0].clip.info)

    def pick(self, number: int) -> Pick:
        """Return the page on which a result's clicks can be corrected; they begin as the report has them."""
        with self._lock:
            if number not in self._picks:
                self._picks[number] = _pick_of(self.results[number])
            return self._picks[number]

    def close(self) -> None:
        """End what pages still run."""
        for pick in self._picks.values():
            pick.child.cancel()


def _pick_of(result: Result) -> Pick:
    if not any(result.options.values()):
        raise UsageError("this result was made with a mask, and has no clicks", "run `vremove pick` on its source")
    path = result.report.removesuffix(SUFFIX) + ".prompts.json"
    clicks = {} if Path(path).exists() else dict(result.options)  # later, what was corrected counts
    return open_pick(result.input, path, request_from(result.input, "", clicks), ())
