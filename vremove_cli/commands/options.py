"""Options that several commands share, each defined once."""

from typing import Annotated

import typer

_WHAT, _HOW, _OUT, _TALK = "What to erase", "How", "Output", "Talk"

Points = Annotated[
    list[str] | None,
    typer.Option("--point", metavar="[NAME=][@WHEN:]X,Y", help="A point on the object.", rich_help_panel=_WHAT),
]
NotPoints = Annotated[
    list[str] | None,
    typer.Option("--not-point", metavar="[NAME=][@WHEN:]X,Y", help="A point beside it.", rich_help_panel=_WHAT),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option("--box", metavar="[NAME=][@WHEN:]X0,Y0,X1,Y1", help="A box round the object.", rich_help_panel=_WHAT),
]
Text = Annotated[
    str | None, typer.Option("--text", metavar="PHRASE", help='Its name: "the dog".', rich_help_panel=_WHAT)
]
Pick = Annotated[
    list[int] | None, typer.Option("--pick", metavar="N", help="Which match of --text.", rich_help_panel=_WHAT)
]
AllMatches = Annotated[bool, typer.Option("--all-matches", help="All of --text's.", rich_help_panel=_WHAT)]
Mask = Annotated[
    str | None,
    typer.Option("--mask", metavar="FILE|FOLDER", help="A mask of your own: white is erased.", rich_help_panel=_WHAT),
]
InvertMask = Annotated[bool, typer.Option("--invert-mask", help="Black is erased.", rich_help_panel=_WHAT)]
Start = Annotated[
    str | None, typer.Option("--start", metavar="WHEN", help="First frame that is edited.", rich_help_panel=_WHAT)
]
End = Annotated[
    str | None, typer.Option("--end", metavar="WHEN", help="First frame no longer edited.", rich_help_panel=_WHAT)
]
Static = Annotated[
    bool, typer.Option("--static", help="It stands still on the screen: a logo, a caption.", rich_help_panel=_WHAT)
]
Grow = Annotated[
    str, typer.Option("--grow", metavar="PX|auto", help="Pixels to grow the mask by.", rich_help_panel=_HOW)
]
Feather = Annotated[
    float,
    typer.Option("--feather", metavar="PX", help="Width of the soft border.", min=0, max=100, rich_help_panel=_HOW),
]
Effects = Annotated[
    str, typer.Option("--effects", metavar="auto|off|FILE", help="Its shadow, reflection ...", rich_help_panel=_HOW)
]
References = Annotated[
    list[str] | None,
    typer.Option("--reference", metavar="FILE[@WHEN]", help="A clean picture of a frame.", rich_help_panel=_HOW),
]
TrackerName = Annotated[
    str,
    typer.Option("--tracker", metavar="auto|flow|sam2|NAME", help="Follows points.", rich_help_panel=_HOW),
]
TrackEvery = Annotated[
    int | None,
    typer.Option("--track-every", metavar="N", help="A network's keyframes.", min=1, max=60, rich_help_panel=_HOW),
]
DeviceName = Annotated[
    str, typer.Option("--device", metavar="auto|cuda|mps|cpu", help="Where networks run.", rich_help_panel=_HOW)
]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="NAME=FILE", help="A checkpoint of your own.", rich_help_panel=_HOW),
]
RemoverName = Annotated[
    str, typer.Option("--remover", metavar="auto|plate|NAME", help="Fills the hole.", rich_help_panel=_HOW)
]
Recover = Annotated[
    str, typer.Option("--recover", metavar="on|off", help="Take what other frames show.", rich_help_panel=_HOW)
]
ScenePrompt = Annotated[
    str, typer.Option("--prompt", metavar="TEXT", help="The scene without it, for void.", rich_help_panel=_HOW)
]
SecondPass = Annotated[
    str, typer.Option("--second-pass", metavar="off|on|reference", help="void once more.", rich_help_panel=_HOW)
]
Quality = Annotated[
    str, typer.Option("--quality", metavar="draft|standard|best", help="How many steps.", rich_help_panel=_HOW)
]
Steps = Annotated[int | None, typer.Option("--steps", help="Exactly so many.", min=1, max=1000, rich_help_panel=_HOW)]
WorkSize = Annotated[
    str | None, typer.Option("--size", metavar="WIDTHxHEIGHT", help="What it works at.", rich_help_panel=_HOW)
]
Guidance = Annotated[
    float | None, typer.Option("--guidance", help="How much the prompt counts.", min=0, max=50, rich_help_panel=_HOW)
]
Loras = Annotated[
    list[str] | None, typer.Option("--lora", metavar="FILE[@0.55]", help="Changes to weights.", rich_help_panel=_HOW)
]
Conditioning = Annotated[
    str, typer.Option("--conditioning", metavar="released|paper", help="Where they differ.", rich_help_panel=_HOW)
]
AffectedPoints = Annotated[
    list[str] | None,
    typer.Option("--affected-point", metavar="[NAME=][@WHEN:]X,Y", help="On what will move.", rich_help_panel=_WHAT),
]
AffectedBoxes = Annotated[
    list[str] | None,
    typer.Option("--affected-box", metavar="[NAME=][@WHEN:]X0,Y0,X1,Y1", help="Round it.", rich_help_panel=_WHAT),
]
AffectedBy = Annotated[
    str | None,
    typer.Option("--affected-by", metavar="contact|vlm:NAME", help="Finds what will move.", rich_help_panel=_WHAT),
]
Quadmask = Annotated[
    str | None,
    typer.Option("--quadmask", metavar="FILE|FOLDER", help="VOID's mask of four values.", rich_help_panel=_WHAT),
]
AffectedMask = Annotated[
    str | None,
    typer.Option("--affected-mask", metavar="FILE|FOLDER", help="What moves once it is gone.", rich_help_panel=_WHAT),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of whatever is random.", min=0, rich_help_panel=_HOW)]
SkipErrors = Annotated[
    bool, typer.Option("--skip-errors", help="Repeat the last good frame for a damaged one.", rich_help_panel=_HOW)
]
Codec = Annotated[
    str | None, typer.Option("--codec", help="h264, hevc, av1, vp9, prores, dnxhr, ffv1 ...", rich_help_panel=_OUT)
]
Crf = Annotated[
    int | None, typer.Option("--crf", help="Quality: lower is better.", min=0, max=63, rich_help_panel=_OUT)
]
Preset = Annotated[str | None, typer.Option("--preset", help="The encoder's speed.", rich_help_panel=_OUT)]
PixFmt = Annotated[str | None, typer.Option("--pix-fmt", help="Another pixel format.", rich_help_panel=_OUT)]
DropStreams = Annotated[
    bool, typer.Option("--drop-streams", help="Lose streams that do not fit.", rich_help_panel=_OUT)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.", rich_help_panel=_OUT)]
Work = Annotated[str | None, typer.Option("--work", metavar="DIR", help="Where work files go.", rich_help_panel=_OUT)]
KeepWork = Annotated[bool, typer.Option("--keep-work", help="Leave the work files there.", rich_help_panel=_OUT)]
WriteMask = Annotated[
    str | None, typer.Option("--write-mask", metavar="FILE.mkv|FOLDER", help="Also the mask.", rich_help_panel=_OUT)
]
WriteMatte = Annotated[
    str | None, typer.Option("--write-matte", metavar="FILE.mkv|FOLDER", help="Also the matte.", rich_help_panel=_OUT)
]
WriteEffects = Annotated[
    str | None, typer.Option("--write-effects", metavar="FILE.mkv|FOLDER", help="Also shadows.", rich_help_panel=_OUT)
]
WriteQuadmask = Annotated[
    str | None,
    typer.Option("--write-quadmask", metavar="FILE.mkv|FOLDER", help="Also VOID's mask.", rich_help_panel=_OUT),
]
WritePlate = Annotated[
    str | None, typer.Option("--write-plate", metavar="FILE.mkv|FOLDER", help="Also clean RGB.", rich_help_panel=_OUT)
]
WritePatch = Annotated[
    str | None, typer.Option("--write-patch", metavar="FILE.mkv|FOLDER", help="Also RGBA fills.", rich_help_panel=_OUT)
]
WriteCutout = Annotated[
    str | None,
    typer.Option("--write-cutout", metavar="FILE.mkv|FOLDER", help="Also the object, RGBA.", rich_help_panel=_OUT),
]
WritePreview = Annotated[
    str | None,
    typer.Option("--write-preview", metavar="SHEET.png", help="Also a sheet to check by.", rich_help_panel=_OUT),
]
OwnModels = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="FILE", help="A models.toml of your own.", envvar="VREMOVE_MODELS", rich_help_panel=_HOW
    ),
]
AcceptLicence = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-license",
        metavar="NAME",
        help="A model or licence that limits use.",
        envvar="VREMOVE_ACCEPT_LICENSE",
        rich_help_panel=_HOW,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=_TALK)]
ProgressMode = Annotated[
    str, typer.Option("--progress", metavar="auto|json|none", help="How progress is shown.", rich_help_panel=_TALK)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=_TALK)]
Debug = Annotated[bool, typer.Option("--debug", help="Tracebacks.", rich_help_panel=_TALK)]
