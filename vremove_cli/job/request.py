"""What the user asks for, exactly as it goes into the plan."""

from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.media.encoder_choice import EncoderOptions
from vremove_cli.removers.base import Settings


@dataclass(frozen=True)
class Request:
    """One clip and what to do with it. Prompts are kept as text; None means: decide for me.

    `text` names objects by a phrase, `pick` are the numbers of its matches. `grow` are pixels, `feather` the width in
    pixels of the soft border outside the grown mask, `start` and `end` the half-open range that is edited.
    `track_every` is the step of a network's keyframes, `models` a models.toml of the user's own, `weights` NAME=FILE.
    `static`: what is pointed at stands still on the screen. `recover` off gives the remover the whole hole. `effects`
    is auto, off, or a mask file of the object's shadows and reflections; `references` are clean pictures, FILE or
    FILE@WHEN. `prompt` says what the scene is without the object, `second_pass` is off, on or reference, `quality`
    draft, standard or best, `size` the WIDTHxHEIGHT that a network works at, `loras` are FILE or FILE@STRENGTH,
    `conditioning` is released or paper. `affected` is a mask file of what will change once the object is gone,
    `affected_points` and `affected_boxes` are prompts for it, and `affected_by` says who is to find it instead:
    contact, or vlm:NAME. With `quadmask`, `mask` and `affected` are one file of four values.
    """

    input: str
    output: str
    points: tuple[str, ...] = ()
    not_points: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    text: str | None = None
    pick: tuple[int, ...] = ()
    all_matches: bool = False
    mask: str | None = None
    invert_mask: bool = False
    grow: int | None = None
    feather: float = 2.0
    start: str | None = None
    end: str | None = None
    tracker: str = "auto"
    track_every: int | None = None
    device: str = "auto"
    models: str | None = None
    weights: tuple[str, ...] = ()
    accept_license: tuple[str, ...] = ()
    static: bool = False
    remover: str = "auto"
    recover: bool = True
    effects: str = "auto"
    prompt: str = ""
    second_pass: str = "off"
    quality: str = "standard"
    steps: int | None = None
    size: str | None = None
    guidance: float | None = None
    loras: tuple[str, ...] = ()
    conditioning: str = "released"
    affected: str | None = None
    affected_by: str | None = None
    affected_points: tuple[str, ...] = ()
    affected_boxes: tuple[str, ...] = ()
    quadmask: bool = False
    references: tuple[str, ...] = ()
    seed: int = 0
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    drop_streams: bool = False
    skip_errors: bool = False

    @property
    def wishes(self) -> EncoderOptions:
        return EncoderOptions(self.codec, self.crf, self.preset, self.pix_fmt)

    @property
    def given(self) -> list[str]:
        """Files that are read beside the input: masks and clean pictures."""
        effects = () if self.effects in ("auto", "off") else (self.effects,)
        return [p for p in (self.mask, *effects, self.affected, *(picture_of(r)[0] for r in self.references)) if p]

    @property
    def own_weights(self) -> dict[str, str]:
        """Files of the user's own by model name; raises `UsageError` for what is not NAME=FILE or not there."""
        out = {}
        for text in self.weights:
            name, equal, path = text.partition("=")
            if not (name and equal and path):
                raise UsageError(f"--weights {text} is not NAME=FILE", "for example --weights sam2-tiny=finetuned.pt")
            if not Path(path).exists():
                raise UsageError(f"there are no weights {path}", "check the path given with --weights")
            out[name] = str(Path(path).absolute())
        return out

    def settings(self, places: dict[str, str]) -> Settings:
        """What the remover is told; its models lie at `places` by name. Raises `UsageError`."""
        return Settings(
            self.prompt, self.second_pass, self.quality, self.steps, self.work_size, self.guidance, self.own_loras,
            self.conditioning, self.seed, self.device, places,
        )  # fmt: skip

    @property
    def work_size(self) -> tuple[int, int] | None:
        """The (width, height) that a network is to work at; raises `UsageError` for what it cannot be."""
        if self.size is None:
            return None
        sides = self.size.lower().split("x")
        if len(sides) != 2 or not all(s.isdecimal() and 0 < int(s) <= 8192 and int(s) % 16 == 0 for s in sides):
            raise UsageError(f"--size {self.size} is not WIDTHxHEIGHT in multiples of 16", "as in --size 720x480")
        return int(sides[0]), int(sides[1])

    @property
    def own_loras(self) -> tuple[tuple[str, float], ...]:
        """Low-rank changes as (file, strength); raises `UsageError` for what is not FILE[@STRENGTH] or not there."""
        out = []
        for text in self.loras:
            path, at, strength = text.rpartition("@")
            if Path(text).exists() or not at:
                path, strength = text, "1"
            try:
                out.append((str(Path(path).absolute()), float(strength)))
                if not isfinite(out[-1][1]):
                    raise ValueError(strength)
            except ValueError:
                raise UsageError(f"--lora {text} is not FILE@STRENGTH", "as in --lora mine.safetensors@0.55") from None
            if not Path(path).is_file():
                raise UsageError(f"there is no file {path}", "check the path given with --lora")
        return tuple(out)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Request":
        known = {f.name for f in fields(cls)}
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known}
        return cls(**plain)


def picture_of(reference: str) -> tuple[str, str]:
    """FILE or FILE@WHEN as its path and its WHEN ("" without one); a file's own name may hold an @."""
    path, _, when = reference.rpartition("@")
    return (reference, "") if Path(reference).exists() or not path else (path, when)
