"""What the user asks for: one field of `Request` is one option, wherever an option appears.

The command line, the environment variables, vremove.toml, the Python API and their checks are made from these fields
(see `options.py`). `Exports` does the same for what is written beside the result.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vremove_cli.errors import UsageError
from vremove_cli.options import Panel, option, refuse_odd_name, values_from

if TYPE_CHECKING:  # both rooms import NumPy, which `vremove --help` does not need
    from vremove_cli.media.encoder_options import EncoderOptions
    from vremove_cli.networks.arithmetic import Arithmetic
    from vremove_cli.removers.base import Settings
    from vremove_cli.removers.common.vram_estimate import MemoryMode
    from vremove_cli.weights.store import Checkpoint

_POINT, _BOX = "X,Y", "X0,Y0,X1,Y1"  # NAME= and @WHEN: may stand before; the commands' help says so
_LAYER = "FILE.mkv|FOLDER"
_BIT_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([kKmM]?)")
_PREFIXES = {"": 1, "k": 1000, "m": 1_000_000}
_LEAST_BITS = 1000  # a second: a number below is meant to be of k or M


def _coordinates(value: tuple[float | str, ...]) -> str:
    """Return the text of coordinates given as numbers, with the frame or time last where there is one."""
    numbers, prefix = list(value), ""
    if len(numbers) in (3, 5):
        when = numbers.pop()
        prefix = f"@{when.removeprefix('@') if isinstance(when, str) else _moment(when)}:"
    return prefix + ",".join(str(int(n)) if float(n).is_integer() else repr(float(n)) for n in numbers)


def _moment(value: int | float) -> str:
    """Return the text of a frame number (int) or of seconds (float)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(value)
    return f"{value}s" if isinstance(value, float) else str(value)


def _cuts(value: tuple[int, ...]) -> str:
    """Return the text of frame numbers."""
    return ",".join(_moment(frame) for frame in value) or "none"


def _size(value: tuple[int, int]) -> str:
    """Return the text of a (width, height) pair."""
    width, height = value
    return f"{width}x{height}"


def _bits(value: int) -> str:
    """Return the text of bits a second."""
    return _moment(value)


def bits_a_second(text: str | None) -> str | None:
    """Return a bit rate as a whole number of bits a second, or "match"; raises `UsageError`."""
    if text in (None, "match"):
        return text
    found = _BIT_RATE.fullmatch(text)
    bits = round(Fraction(found[1]) * _PREFIXES[found[2].lower()]) if found else 0
    if bits < _LEAST_BITS:
        raise UsageError(f"--bitrate {text} is no bit rate", "give match, or bits a second, as 8M, 800k or 8000000")
    return str(bits)


def _affected_by(value: str) -> None:
    """Raise `UsageError` unless a value is contact or vlm:NAME."""
    if value != "contact" and not (value.startswith("vlm:") and value[4:]):
        raise UsageError(f"--affected-by {value} is unknown", "choose contact, or vlm:NAME as in vlm:smolvlm")


@dataclass(frozen=True)
class Request:
    """One clip and what to do with it, exactly as it goes into the plan.

    Each field below `output` is an option; its help says what it means. Prompts stay text here: they are resolved to
    frames and pixels when the clip is known.

    Attributes:
        input: Absolute path of the clip.
        output: Absolute path of the result.
    """

    input: str
    output: str
    point: tuple[str, ...] = option(
        (), "A point on the object.", panel=Panel.EVERYDAY, metavar=_POINT, convert=_coordinates, tracking=True
    )
    box: tuple[str, ...] = option(
        (), "A box around the object.", panel=Panel.EVERYDAY, metavar=_BOX, convert=_coordinates, tracking=True
    )
    not_point: tuple[str, ...] = option(
        (), "A point that is not on the object.", panel=Panel.EVERYDAY, metavar=_POINT, convert=_coordinates,
        tracking=True,
    )  # fmt: skip
    text: str | None = option(
        None, 'Phrase such as "the dog".', panel=Panel.EVERYDAY, metavar="PHRASE",
        tracking=True,
    )  # fmt: skip
    mask: str | None = option(
        None, "Your own mask; white is erased.", panel=Panel.EVERYDAY, metavar="FILE|FOLDER", path=True, tracking=True
    )
    key_mask: tuple[str, ...] = option(
        (), "The object's mask on one frame.", panel=Panel.EVERYDAY, metavar="FILE", tracking=True
    )
    prompts: str | None = option(
        None, "Points, boxes, masks from `pick`.", panel=Panel.EVERYDAY, metavar="FILE", path=True, tracking=True
    )
    start: str | None = option(
        None, "First frame to edit.", panel=Panel.EVERYDAY, metavar="WHEN", convert=_moment, tracking=True
    )
    end: str | None = option(
        None, "First frame not to edit.", panel=Panel.EVERYDAY, metavar="WHEN", convert=_moment, tracking=True
    )
    effects: str = option(
        "auto", "Erase shadow and reflection, too.", panel=Panel.EVERYDAY, metavar="auto|off|FILE", path=True,
        words=("auto", "off"),
    )  # fmt: skip
    tracker: str = option("auto", "Tracker to use.", panel=Panel.EVERYDAY, metavar="auto|flow|sam2|NAME", tracking=True)
    remover: str = option("auto", "Remover to use.", panel=Panel.EVERYDAY, metavar="auto|plate|NAME")

    prompt: str = option(
        "",
        "The scene without the object.",
        panel=Panel.NETWORKS,
        metavar="TEXT",
        removers=("rorem", "rose", "undereraser", "void"),
    )
    negative_prompt: str = option(
        "", "What must not appear.", panel=Panel.NETWORKS, metavar="TEXT", removers=("rorem",)
    )
    quality: Literal["draft", "standard", "best"] = option(
        "standard",
        "How many denoising steps.",
        panel=Panel.NETWORKS,
        removers=("minimax", "rorem", "rose", "undereraser", "void"),
    )
    steps: int | None = option(
        None, "Denoising steps (overrides --quality).", panel=Panel.NETWORKS, metavar="N", minimum=1,
        maximum=1000, removers=("minimax", "rorem", "rose", "undereraser", "void"),
    )  # fmt: skip
    size: str | None = option(
        None, "Size the network works at.", panel=Panel.NETWORKS, metavar="WIDTHxHEIGHT", convert=_size,
        removers=("minimax", "rorem", "rose", "undereraser", "void"),
    )  # fmt: skip
    guidance: float | None = option(
        None, "Guidance scale of --prompt.", panel=Panel.NETWORKS, metavar="X", minimum=0, maximum=50,
        removers=("rorem", "rose", "void"),
    )  # fmt: skip
    lora: tuple[str, ...] = option(
        (), "Extra LoRA file, with its strength.", panel=Panel.NETWORKS, metavar="FILE[@0.55]", path=True,
        removers=("rorem", "rose", "undereraser"),
    )  # fmt: skip
    conditioning: Literal["released", "paper"] = option(
        "released", "Follow the released code or the paper.", panel=Panel.NETWORKS, removers=("undereraser",)
    )
    second_pass: Literal["off", "on", "reference"] = option(
        "off", "Run VOID's refinement pass.", panel=Panel.NETWORKS, removers=("void",)
    )
    affected_mask: str | None = option(
        None, "Mask of what will move.", panel=Panel.NETWORKS, metavar="FILE|FOLDER", path=True
    )
    affected_point: tuple[str, ...] = option(
        (), "A point on what will move.", panel=Panel.NETWORKS, metavar=_POINT, convert=_coordinates
    )
    affected_box: tuple[str, ...] = option(
        (), "A box around what will move.", panel=Panel.NETWORKS, metavar=_BOX, convert=_coordinates
    )
    affected_by: str | None = option(
        None, "Finds what will move.", panel=Panel.NETWORKS, metavar="contact|vlm:NAME", check=_affected_by
    )
    quadmask: str | None = option(
        None, "VOID's mask of four values.", panel=Panel.NETWORKS, metavar="FILE|FOLDER", path=True
    )
    recover: Literal["on", "off"] = option("on", "Use pixels of other frames first.", panel=Panel.NETWORKS)
    seed: int = option(0, "Seed of the noise.", panel=Panel.NETWORKS, metavar="N", minimum=0)
    candidates: int = option(
        1, "Paint so many, keep the best.", panel=Panel.NETWORKS, metavar="N", minimum=1, maximum=64
    )
    min_score: float | None = option(
        None, "Score to reach, 0 to 1.", panel=Panel.NETWORKS, metavar="X", minimum=0, maximum=1
    )
    retry: int = option(0, "Further seeds to reach it.", panel=Panel.NETWORKS, metavar="N", minimum=0, maximum=64)
    device: Literal["auto", "cuda", "xpu", "mps", "cpu"] = option(
        "auto", "Where networks run.", panel=Panel.NETWORKS, metavar="auto|cuda|cpu|...", tracking=True
    )
    accept_license: tuple[str, ...] = option(
        (), "Accept the limits of a licence or model.", panel=Panel.NETWORKS, metavar="NAME", tracking=True,
        everywhere=True,
    )  # fmt: skip
    download: Literal["ask", "auto", "never"] = option(
        "ask", "Fetch what auto wants?", panel=Panel.NETWORKS, tracking=True, everywhere=True
    )
    weights: tuple[str, ...] = option(
        (), "Your own checkpoint for a model.", panel=Panel.NETWORKS, metavar="NAME=FILE", tracking=True
    )
    models: str | None = option(
        None, "Your own models.toml.", panel=Panel.NETWORKS, metavar="FILE", path=True, tracking=True, everywhere=True
    )

    codec: str | None = option(None, "h264, hevc, av1, prores, ffv1 ...", panel=Panel.OUTPUT, metavar="NAME")
    crf: int | None = option(None, "Quality: lower is better.", panel=Panel.OUTPUT, metavar="N", minimum=0, maximum=63)
    bitrate: str | None = option(
        None, "Bits a second, not a quality.", panel=Panel.OUTPUT, metavar="match|8M", convert=_bits
    )
    encoder: Literal["software", "nvenc", "qsv", "videotoolbox"] = option(
        "software", "software, nvenc, qsv, videotoolbox.", panel=Panel.OUTPUT, metavar="NAME"
    )
    preset: str | None = option(None, "Speed preset of the encoder.", panel=Panel.OUTPUT, metavar="NAME")
    pix_fmt: str | None = option(None, "Pixel format, as yuv420p10le.", panel=Panel.OUTPUT, metavar="NAME")
    drop_streams: bool = option(False, "Drop streams that do not fit the file.", panel=Panel.OUTPUT)

    pick: tuple[int, ...] = option((), "Which match of --text to erase.", metavar="N", tracking=True)
    all_matches: bool = option(False, "Erase all matches of --text.", tracking=True)
    invert_mask: bool = option(False, "Black in --mask is erased.", tracking=True)
    static: bool = option(False, "A logo or caption, fixed to the screen.", tracking=True)
    grow: int | Literal["auto"] = option(
        "auto", "Pixels to grow the mask by.", metavar="PX|auto", minimum=-200, maximum=500
    )
    feather: float = option(2.0, "Width of the soft border in pixels.", metavar="PX", minimum=0, maximum=100)
    reference: tuple[str, ...] = option((), "A clean picture of a frame.", metavar="FILE[@WHEN]", path=True)
    track_every: int | None = option(
        None, "Keyframe distance of network trackers.", metavar="N", minimum=1, maximum=60, tracking=True
    )
    sam2_engine: Literal["transformers", "sam2"] = option(
        "transformers", "Runs SAM 2: or sam2.", metavar="NAME", tracking=True
    )
    memory: Literal["auto", "resident", "fp8", "offload"] = option("auto", "resident, fp8 or offload.", metavar="MODE")
    gpu_memory: float | None = option(None, "Memory of the GPUs to plan for.", metavar="GB", minimum=1, maximum=10_000)
    compile: bool = option(
        False, "Compile the network, for long jobs.", removers=("minimax", "rorem", "rose", "undereraser", "void")
    )
    frozen: bool = option(False, "Refuse other models than last time.", tracking=True)
    threads: int | None = option(
        None, "Threads to use, if not all cores.", metavar="N", minimum=1, maximum=1024, tracking=True, everywhere=True
    )
    cuts: str = option("auto", "Frames at which shots begin.", metavar="auto|none|LIST", convert=_cuts, tracking=True)
    skip_errors: bool = option(False, "Repeat the last frame for a damaged one.", tracking=True)

    def check(self) -> None:
        """Raise `UsageError` for options that contradict each other or name files that do not exist."""
        mask = self.mask or self.quadmask
        if self.invert_mask and not self.mask:
            raise UsageError("--invert-mask needs a mask", "add --mask FILE")
        if self.static and mask:
            raise UsageError("--static and a mask were given", "use one or the other")
        if self.static and self.track_every not in (None, 1):
            raise UsageError("--static looks at every frame", "leave out --track-every")
        self._check_affected()
        if self.effects_file and not Path(self.effects_file).exists() and not Path(self.effects_file).suffix:
            raise UsageError(
                f"--effects {Path(self.effects_file).name} is unknown", "choose auto, off, or a mask's path"
            )
        if self.sam2_engine == "sam2":
            from vremove_cli.networks.sam2_package import check_installed

            check_installed()
        if self.frozen and self.download == "auto":
            raise UsageError("--frozen and --download auto were given", "fetch with `vremove models pull` first")
        if self.retry and self.min_score is None:
            raise UsageError("--retry needs a score to reach", "add --min-score 0.5, or use --candidates")
        if self.min_score is not None and not (self.retry or self.candidates > 1):
            raise UsageError("--min-score alone changes nothing", "add --retry 2, or --candidates 4")
        if self.crf is not None and self.bitrate:
            raise UsageError("--crf and --bitrate were given", "give a quality, or a size")
        self.own_weights, self.own_loras, self.work_size, self.encoder_options  # noqa: B018  each raises for what is wrong

    def _check_affected(self) -> None:
        """Raise `UsageError` for two ways to say what will move."""
        moving = self.affected_mask or self.affected_point or self.affected_box or self.affected_by
        if self.quadmask and (self.mask or moving):
            raise UsageError("a quadmask and another mask were given", "use one or the other")
        if self.affected_mask and (self.affected_point or self.affected_box):
            raise UsageError("a mask of what will move and points or boxes on it were given", "use one or the other")
        if self.affected_by and (self.affected_mask or self.affected_point or self.affected_box):
            raise UsageError("what will move was given, and --affected-by too", "use one or the other")

    @property
    def fetches(self) -> bool:
        """Whether weights may be fetched."""
        return self.download != "never" and not self.frozen

    @property
    def encoder_options(self) -> "EncoderOptions":
        """What the user wants of the encoder."""
        from vremove_cli.media.encoder_options import EncoderOptions

        return EncoderOptions(
            self.codec, self.crf, self.preset, self.pix_fmt, bits_a_second(self.bitrate), self.encoder
        )

    @property
    def mask_file(self) -> str | None:
        """The file that says what is erased: a mask, or a quadmask."""
        return self.mask or self.quadmask

    @property
    def effects_file(self) -> str | None:
        """The user's mask of shadows and reflections."""
        return None if self.effects in ("auto", "off") else self.effects

    @property
    def vlm(self) -> str | None:
        """The vision-language model that `affected_by` names."""
        method = self.affected_by or ""
        return method.removeprefix("vlm:") if method.startswith("vlm:") else None

    @property
    def given_files(self) -> list[str]:
        """Files that are read beside the input: masks and clean pictures."""
        from vremove_cli.prompts import parse_key_mask

        pictures = [split_reference(r)[0] for r in self.reference] + [parse_key_mask(k).mask for k in self.key_mask]
        return [p for p in (self.mask_file, self.effects_file, self.affected_mask, *pictures) if p]

    @property
    def own_weights(self) -> dict[str, str]:
        """The user's checkpoints: absolute paths by model name. Raises `UsageError`."""
        out = {}
        for text in self.weights:
            name, equal, path = text.partition("=")
            if not (name and equal and path):
                raise UsageError(f"--weights {text} is not NAME=FILE", "for example --weights sam2-tiny=finetuned.pt")
            if not Path(path).exists():
                raise UsageError(f"there are no weights {path}", "check the path given with --weights")
            out[name] = str(Path(path).absolute())
        return out

    @property
    def own_loras(self) -> tuple[tuple[str, float], ...]:
        """The user's LoRA files as (path, strength). Raises `UsageError`."""
        return tuple(_lora(text) for text in self.lora)

    @property
    def work_size(self) -> tuple[int, int] | None:
        """The (width, height) a network is to work at. Raises `UsageError`."""
        if self.size is None:
            return None
        sides = self.size.lower().split("x")
        if len(sides) != 2 or not all(s.isdecimal() and 0 < int(s) <= 8192 and int(s) % 16 == 0 for s in sides):
            raise UsageError(f"--size {self.size} is not WIDTHxHEIGHT in multiples of 16", "as in --size 720x480")
        return int(sides[0]), int(sides[1])

    def settings(
        self,
        checkpoints: "Mapping[str, Checkpoint]",
        memory: "MemoryMode | None" = None,
        arithmetic: "Arithmetic | None" = None,
        *,
        deep: bool = False,
    ) -> "Settings":
        """Return what the remover is told.

        Args:
            checkpoints: Its models by name.
            memory: Where its networks' weights are; None: all on the device.
            arithmetic: How they compute; None: as suits the device best.
            deep: Whether the clip has more than 8 bits a component.

        Raises:
            UsageError: A size or a LoRA is wrong.
        """
        from vremove_cli.removers.base import Settings
        from vremove_cli.removers.common.vram_estimate import MemoryMode

        return Settings(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            second_pass=self.second_pass,
            quality=self.quality,
            steps=self.steps,
            size=self.work_size,
            guidance=self.guidance,
            loras=self.own_loras,
            conditioning=self.conditioning,
            seed=self.seed,
            device=arithmetic.device if arithmetic else self.device,
            arithmetic=arithmetic,
            memory=memory or MemoryMode(),
            deep=deep,
            compile=self.compile,
            checkpoints=checkpoints,
        )


def request_from(input: str, output: str, options: dict[str, Any]) -> Request:
    """Return a checked request.

    Args:
        input: Path of the clip.
        output: Path of the result.
        options: Values by option name, as text or as Python values.

    Raises:
        UsageError: An option is unknown or its value is wrong, or two contradict each other.
    """
    for name in (input, output):
        refuse_odd_name(name)
    values = values_from(Request, options)
    if values.pop("prompts", None) is not None:
        from vremove_cli.job.prompts_file import options_of, read_prompts

        for name, texts in options_of(read_prompts(str(options["prompts"]))).items():
            values[name] = (*values.get(name, ()), *texts)
    if "key_mask" in values:
        from vremove_cli.prompts import parse_key_mask

        values["key_mask"] = tuple(str(parse_key_mask(text)) for text in values["key_mask"])  # with an absolute path
    if "cuts" in values:
        from vremove_cli.job.shot_cuts import cuts_text

        values["cuts"] = cuts_text(values["cuts"])
    made = Request(input, output, **values)
    made.check()
    return made


def _lora(text: str) -> tuple[str, float]:
    """Return path and strength from FILE or FILE@STRENGTH."""
    path, at, strength = text.rpartition("@")
    if Path(text).exists() or not at:
        path, strength = text, "1"
    try:
        factor = float(strength)
        if not isfinite(factor):
            raise ValueError(strength)
    except ValueError:
        raise UsageError(f"--lora {text} is not FILE@STRENGTH", "as in --lora mine.safetensors@0.55") from None
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}", "check the path given with --lora")
    return str(Path(path).absolute()), factor


def split_reference(reference: str) -> tuple[str, str]:
    """Return path and WHEN ("" without one) from FILE or FILE@WHEN; a file's own name may hold an @."""
    path, _, when = reference.rpartition("@")
    return (reference, "") if Path(reference).exists() or not path else (path, when)


@dataclass(frozen=True)
class Exports:
    """What to write beside the result; each field is an option."""

    write_preview: str | None = option(
        None, "Sheet to check the result by.", panel=Panel.EVERYDAY, metavar="SHEET.png",
        path=True, tracking=True,
    )  # fmt: skip
    write_mask: str | None = option(None, "Mask of the objects.", panel=Panel.OUTPUT, metavar=_LAYER, path=True)
    write_matte: str | None = option(None, "Blend weights of the edit.", panel=Panel.OUTPUT, metavar=_LAYER, path=True)
    write_effects: str | None = option(
        None, "Mask of shadows and reflections.", panel=Panel.OUTPUT, metavar=_LAYER, path=True
    )
    write_quadmask: str | None = option(
        None, "Mask of four values, for VOID.", panel=Panel.OUTPUT, metavar=_LAYER, path=True
    )
    write_plate: str | None = option(None, "Clean plate, RGB.", panel=Panel.OUTPUT, metavar=_LAYER, path=True)
    write_patch: str | None = option(None, "Fill alone, RGBA.", panel=Panel.OUTPUT, metavar=_LAYER, path=True)
    write_cutout: str | None = option(
        None, "Object alone, RGBA.", panel=Panel.OUTPUT, metavar=_LAYER, path=True, tracking=True
    )

    @property
    def layers(self) -> Sequence[str]:
        """All paths but the preview's."""
        paths = (
            self.write_mask,
            self.write_matte,
            self.write_effects,
            self.write_quadmask,
            self.write_plate,
            self.write_patch,
            self.write_cutout,
        )
        return [p for p in paths if p]
