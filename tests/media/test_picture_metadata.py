"""What an image file says beside its samples comes back, and no small copy of the picture shows what was erased."""

import base64
import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from support.clips import mask_of, scene, write_clip, write_masks
from vremove_cli import erase
from vremove_cli.errors import UsageError
from vremove_cli.job.render import Summary
from vremove_cli.media.read import open_clip
from vremove_cli.media.tiff import without_thumbnail

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
MAKER, ORIENTATION, DESCRIPTION, CAMERA_TAGS, EXPOSURE, XMP_TAG, ICC_TAG = 271, 274, 270, 34665, 33434, 700, 34675


def exif(orientation: int = 1) -> Image.Exif:
    out = Image.Exif()
    out.endian = "<"
    out[ORIENTATION], out[MAKER] = orientation, "Maker"
    out.get_ifd(CAMERA_TAGS)[EXPOSURE] = 0.25
    return out


def erased(source: Path, output: str | None = None, *, turned: bool = False) -> Summary:
    size = (64, 96) if turned else (96, 64)
    Image.fromarray(mask_of(0, *size)).save(source.parent / "mask.png")
    target = str(source.parent / output) if output else None
    return erase(str(source), target, mask=str(source.parent / "mask.png"), effects="off")


def draw(path: Path, **options: Any) -> Path:
    Image.fromarray(scene(0, 96, 64)).save(path, **options)
    return path


def test_png_keeps_its_chunks(tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "a title")
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    texts.add(b"gAMA", (62500).to_bytes(4, "big"))
    source = draw(tmp_path / "a.png", pnginfo=texts, dpi=(300, 300), exif=exif(), icc_profile=PROFILE)
    with Image.open(source) as before, Image.open(erased(source).output) as after:
        before.load()
        after.load()
        assert after.info == before.info
        assert after.info["gamma"] == 0.625
        assert dict(after.getexif()) == dict(before.getexif())


def test_an_untagged_png_stays_untagged(tmp_path: Path) -> None:
    """FFmpeg adds the gamma and the primaries of sRGB."""
    with Image.open(erased(draw(tmp_path / "a.png")).output) as after:
        after.load()
        assert not after.info


def test_jpeg_keeps_its_segments(tmp_path: Path) -> None:
    source = draw(
        tmp_path / "a.jpg", quality=95, dpi=(300, 300), exif=exif(), icc_profile=PROFILE, comment=b"words", xmp=XMP
    )
    with Image.open(source) as before, Image.open(erased(source).output) as after:
        assert after.info == before.info
        assert after.info["comment"] == b"words"


def test_no_thumbnail_shows_what_was_erased(tmp_path: Path) -> None:
    """EXIF data has a second directory with a small JPEG of the picture before."""
    small = io.BytesIO()
    Image.fromarray(scene(0, 48, 32)).save(small, "JPEG")
    plain = exif().tobytes().removeprefix(b"Exif\0\0")
    first = int.from_bytes(plain[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(plain[first : first + 2], "little")
    at = len(plain)
    second = b"\2\0" + b"\1\2\4\0\1\0\0\0" + (at + 30).to_bytes(4, "little")
    second += b"\2\2\4\0\1\0\0\0" + len(small.getvalue()).to_bytes(4, "little") + bytes(4)
    whole = plain[:link] + at.to_bytes(4, "little") + plain[link + 4 :] + second + small.getvalue()
    source = draw(tmp_path / "a.jpg", quality=95, exif=b"Exif\0\0" + whole)
    with Image.open(source) as before, Image.open(erased(source).output) as after:
        assert before.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert not after.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert after.getexif()[MAKER] == "Maker"
    assert small.getvalue()[:200] not in Path(tmp_path / "a.clean.jpg").read_bytes()
    assert without_thumbnail(plain) == plain


SMALL = base64.b64encode(bytes(range(256)) * 300)
XMP_WITH_PICTURE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/"><xmpGImg:image>'
    + SMALL[:900]
    + b"</xmpGImg:image><title>words</title></x:xmpmeta>"
)


@pytest.mark.parametrize("name", ["a.png", "compressed.png", "a.jpg", "a.webp"])
def test_no_picture_in_an_xmp_packet_shows_what_was_erased(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {"xmp": XMP_WITH_PICTURE} | ({"lossless": True} if name.endswith("webp") else {})
    if name.endswith("png"):
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", XMP_WITH_PICTURE.decode(), zip=name.startswith("compressed"))
        options = {"pnginfo": texts}
    result = erased(draw(tmp_path / name, **options))
    with Image.open(result.output) as after:
        after.load()
        packet = after.info["xmp"]
    assert b"<title>words</title>" in packet
    assert SMALL[:100] not in packet
    assert any("small copy of the picture" in note for note in result.notes)


def test_no_picture_in_a_long_xmp_packet_shows_what_was_erased(tmp_path: Path) -> None:
    """A packet above 64 kB lies in segments of its own, and the main packet names it by its MD5."""
    packet = XMP_WITH_PICTURE.replace(SMALL[:900], SMALL)
    name = hashlib.md5(packet).hexdigest().upper().encode()
    parts = [packet[i : i + 60_000] for i in range(0, len(packet), 60_000)]
    head = b"http://ns.adobe.com/xmp/extension/\0" + name + len(packet).to_bytes(4, "big")
    segments = [head + (60_000 * i).to_bytes(4, "big") + part for i, part in enumerate(parts)]
    source = draw(tmp_path / "a.jpg", quality=95, xmp=b'<x xmpNote:HasExtendedXMP="' + name + b'"/>')
    data = source.read_bytes()
    written = b"".join(b"\xff\xe1" + (len(s) + 2).to_bytes(2, "big") + s for s in segments)
    source.write_bytes(data[:2] + written + data[2:])

    after = Path(erased(source).output).read_bytes()
    assert SMALL[:100] not in after
    clean = packet.replace(SMALL, b" " * len(SMALL))
    renamed = hashlib.md5(clean).hexdigest().upper().encode()
    assert after.count(renamed) == 1 + len(parts)
    assert name not in after


def draw_tiff(path: Path, order: str) -> Path:
    """A TIFF file of one strip, in the byte order "<" or ">", with a directory of EXIF tags."""
    pixels = scene(0, 96, 64).tobytes()
    rational = struct.pack(f"{order}II", 1066, 1)
    exposure = struct.pack(f"{order}HHHII", 1, EXPOSURE, 5, 1, 0)  # its place follows below
    fixed = len(pixels) + 8
    parts = {DESCRIPTION: b"words\0", MAKER: b"Maker\0", XMP_TAG: XMP, ICC_TAG: PROFILE, 282: rational, 283: rational}
    parts |= {258: struct.pack(f"{order}3H", 8, 8, 8), CAMERA_TAGS: exposure[:-4] + bytes(8) + bytes(8)}
    places, blob = {}, b""
    for tag, part in parts.items():
        places[tag] = fixed + len(blob)
        blob += part + b"\0" * (len(part) % 2)
    at = places[CAMERA_TAGS]
    camera = exposure[:-4] + struct.pack(f"{order}II", at + 18, 0) + struct.pack(f"{order}II", 1, 4)
    blob = blob.replace(parts[CAMERA_TAGS], camera)
    kinds = {DESCRIPTION: 2, MAKER: 2, XMP_TAG: 1, ICC_TAG: 7, 282: 5, 283: 5, 258: 3}
    counts = {**{t: len(parts[t]) for t in (DESCRIPTION, MAKER, XMP_TAG, ICC_TAG)}, 282: 1, 283: 1, 258: 3}
    entries = [(t, k, counts[t], struct.pack(f"{order}I", places[t])) for t, k in kinds.items()]
    shorts = {256: 96, 257: 64, 259: 1, 262: 2, 277: 3, 278: 64, 296: 2}
    entries += [(t, 3, 1, struct.pack(f"{order}HH", v, 0)) for t, v in shorts.items()]
    longs = {273: 8, 279: len(pixels), CAMERA_TAGS: at}
    entries += [(t, 4, 1, struct.pack(f"{order}I", v)) for t, v in longs.items()]
    directory = struct.pack(f"{order}H", len(entries))
    directory += b"".join(struct.pack(f"{order}HHI", *e[:3]) + e[3] for e in sorted(entries)) + bytes(4)
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, fixed + len(blob))
    path.write_bytes(magic + pixels + blob + directory)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_keeps_its_tags(tmp_path: Path, order: str) -> None:
    source = draw_tiff(tmp_path / "a.tif", order)
    with Image.open(source) as before, Image.open(erased(source).output) as after:
        assert after.info["dpi"] == (1066, 1066)
        assert after.info["icc_profile"] == PROFILE
        assert dict(before.getexif().get_ifd(CAMERA_TAGS)) == {EXPOSURE: 0.25}
        for tag in (DESCRIPTION, XMP_TAG, MAKER):
            assert after.getexif()[tag] == before.getexif()[tag]
        assert after.getexif().get_ifd(CAMERA_TAGS) == before.getexif().get_ifd(CAMERA_TAGS)
        assert 305 not in after.getexif()
        np.testing.assert_array_equal(np.asarray(after)[:, 40:], np.asarray(before)[:, 40:])


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_keeps_its_chunks_and_its_orientation(tmp_path: Path, lossless: bool) -> None:
    source = draw(tmp_path / "a.webp", lossless=lossless, quality=90, exif=exif(8), icc_profile=PROFILE, xmp=XMP)
    result = erased(source, turned=True).output
    with Image.open(source) as before, Image.open(result) as after:
        before.load()
        after.load()
        assert after.info["icc_profile"] == PROFILE
        assert after.info["xmp"] == XMP
        assert dict(after.getexif()) == dict(before.getexif())
        difference = np.asarray(after).astype(int) - np.asarray(before).astype(int)
    outside = np.rot90(mask_of(0, 64, 96) == 0, -1).copy()
    outside[:, : 96 // 2 + 24] = False
    mean = float((difference[outside] ** 2).mean())
    assert mean == 0 if lossless else mean < 8


def test_bmp_keeps_its_resolution(tmp_path: Path) -> None:
    with Image.open(erased(draw(tmp_path / "a.bmp", dpi=(300, 300))).output) as after:
        assert round(after.info["dpi"][0]) == 300


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_pictures_of_a_turned_clip_are_turned(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", rotation=90, frames=2)
    masks = write_masks(tmp_path / "masks", frames=2, size=(64, 96))
    erase(str(clip), str(tmp_path / f"out.%02d{suffix}"), mask=str(masks), effects="off")
    assert open_clip(str(tmp_path / f"out.%02d{suffix}")).info.orientation == open_clip(str(clip)).info.orientation


def test_a_kind_that_cannot_be_turned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shown turned"):
        erased(draw(tmp_path / "a.jpg", exif=exif(6)), "b.bmp", turned=True)


def test_what_another_kind_does_not_say_is_noted(tmp_path: Path) -> None:
    source = draw_tiff(tmp_path / "a.tif", "<")
    said = "not written with jpeg: EXIF, XMP, resolution of the source's pictures"
    assert said in erased(source, "b.jpg").notes
    assert not [n for n in erased(draw(tmp_path / "c.png"), "d.jpg").notes if "not written" in n]
