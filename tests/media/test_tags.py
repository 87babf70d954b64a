"""Tags, titles, roles, languages and chapters come back where the container holds them; losses are named."""

import io
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition
from PIL import Image

from support.clips import scene, write_clip
from support.rewrite import rewrite
from vremove_cli.media.ebml import elements
from vremove_cli.media.read import open_clip

TAGS = {
    "title": "T", "artist": "A", "album": "Al", "comment": "c", "date": "2020", "genre": "g", "track": "3/7",
    "description": "d", "keywords": "k", "my_tag": "mine", "make": "Canon", "model": "EOS", "rating": "5",
    "sort_name": "s", "category": "c", "podcast": "1", "firmware": "1.2", "com.apple.quicktime.make": "Apple",
    "location": "+48.0000+011.0000/", "creation_time": "2020-01-02T03:04:05.000000Z", "umlaut": "ä ö 日本",
}  # fmt: skip
WRITTEN_ANEW = ("encoder", "major_brand", "minor_version", "compatible_brands", "handler_name", "software", "DURATION")


def describe(container: Any) -> None:
    picture, sound = (container.streams[i] for i in (0, 1))
    picture.metadata.update({"title": "Main angle", "language": "deu"})
    sound.metadata.update({"title": "Commentary", "language": "fra", "my_stream_tag": "x"})
    sound.disposition = Disposition.comment | Disposition.default
    container.set_chapters(
        [
            {"id": i, "start": 200 * i, "end": 200 * i + 200, "time_base": Fraction(1, 1000), "metadata": {"title": t}}
            for i, t in enumerate(("eins", "zwei"))
        ]
    )


def said(path: Path) -> dict[str, Any]:
    """All that a file says of itself, its streams and its chapters."""
    with av.open(str(path)) as container:
        return {
            "file": own(container.metadata),
            "streams": [(s.type, own(s.metadata), s.disposition) for s in container.streams],
            "chapters": [c["metadata"] for c in container.chapters()],
        }


def own(tags: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in tags.items() if k not in WRITTEN_ANEW}


def tagged(path: Path, *, keys: bool = False, **options: Any) -> Path:
    """A clip with tags; with `keys` in mp4's list of keys."""
    source = write_clip(path.with_name("source.nut"), metadata=TAGS, before_mux=describe, **options)
    with (
        av.open(str(source)) as old,
        av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if keys else {}) as new,
    ):
        new.metadata.update(old.metadata)
        outs = [new.add_stream_from_template(s) for s in old.streams]
        for before, after in zip(old.streams, outs, strict=True):
            after.metadata.update(before.metadata)
            after.disposition = before.disposition
        new.set_chapters(old.chapters())
        for packet in old.demux():
            if packet.size:
                packet.stream = outs[packet.stream.index]
                new.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "audio"),
    [
        ("clip.mp4", "libx264", "aac"), ("keys.mp4", "libx264", "aac"), ("clip.mov", "libx264", "aac"),
        ("keys.mov", "libx264", "aac"), ("clip.mkv", "libx264", "aac"), ("clip.webm", "libvpx", "libopus"),
        ("clip.avi", "mpeg4", "pcm_s16le"), ("clip.ts", "libx264", "aac"), ("clip.flv", "libx264", "aac"),
        ("clip.nut", "libx264", "aac"),
    ],
)  # fmt: skip
def test_everything_that_a_file_says_of_itself_comes_back(tmp_path: Path, name: str, codec: str, audio: str) -> None:
    clip = tagged(tmp_path / name, keys="keys" in name, codec=codec, audio=audio, options={"bf": "0"})
    output = tmp_path / f"out{clip.suffix}"
    assert rewrite(clip, output) == []
    assert said(output) == said(clip)


def test_titles_of_tracks_cross_from_one_container_to_another(tmp_path: Path) -> None:
    clip = tagged(tmp_path / "clip.mp4", audio="aac")
    for suffix, key in ((".mkv", "title"), (".mov", "name"), (".nut", "title")):
        output = tmp_path / f"out{suffix}"
        rewrite(clip, output)
        with av.open(str(output)) as result:
            assert [s.metadata[key] for s in (result.streams[0], result.streams[1])] == ["Main angle", "Commentary"]


def test_tags_of_matroska_are_kept_in_mp4(tmp_path: Path) -> None:
    clip = tagged(tmp_path / "clip.mkv", audio="aac")
    notes = rewrite(clip, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as result:
        found = {k.lower(): v for k, v in result.metadata.items()}
    assert {k: found.get(k) for k in TAGS} == TAGS
    assert notes == ["mp4 does not hold these tags, which are lost: MY_STREAM_TAG of #1 audio"]


def test_tags_that_a_container_does_not_hold_are_named_before_the_work(tmp_path: Path) -> None:
    clip = tagged(tmp_path / "clip.mkv", audio="aac")
    notes = rewrite(clip, tmp_path / "out.avi")
    (tags,) = [n for n in notes if "does not hold these tags" in n]
    for name in ("MY_TAG", "KEYWORDS", "language deu of #0 video", "role comment of #1 audio"):
        assert name in tags
    assert "TITLE" not in tags.upper().replace("TITLES", "")
    assert "avi does not hold the 2 chapter(s), which are lost" in notes


def with_cover(path: Path) -> Path:
    Image.fromarray(scene(0, 64, 64)).save(path.with_name("front.jpg"))

    def attach(container: Any) -> None:
        container.add_attachment("front.jpg", "image/jpeg", path.with_name("front.jpg").read_bytes())

    return write_clip(path, metadata={"title": "a title", "my_tag": "mine"}, before_mux=attach)


def test_cover_art_is_kept_before_tags(tmp_path: Path) -> None:
    """An mp4 holds cover art or a list of keys."""
    clip = with_cover(tmp_path / "clip.mkv")
    assert rewrite(clip, tmp_path / "out.mp4") == ["mp4 does not hold these tags, which are lost: MY_TAG"]
    with av.open(str(tmp_path / "out.mp4")) as result:
        assert result.metadata["title"] == "a title"
        assert [bool(s.disposition & Disposition.attached_pic) for s in result.streams] == [False, True]


@pytest.mark.parametrize("suffixes", [(".mkv",), (".mp4", ".mkv")])
def test_cover_art_stays_cover_art_in_matroska(tmp_path: Path, suffixes: tuple[str, ...]) -> None:
    clip = with_cover(tmp_path / "clip.mkv")
    for i, suffix in enumerate(suffixes):
        output = tmp_path / f"{i}{suffix}"
        rewrite(clip, output)
        clip = output
    with av.open(str(clip)) as result:
        (cover,) = [s for s in result.streams if s.disposition & Disposition.attached_pic]
        assert next(bytes(p) for p in result.demux(cover)) == (tmp_path / "front.jpg").read_bytes()


@pytest.mark.parametrize(("suffix", "kept"), [(".mov", True), (".mkv", True), (".ts", False)])
def test_a_timecode_track_is_kept_as_a_tag_and_that_is_said(tmp_path: Path, suffix: str, kept: bool) -> None:
    clip = write_clip(
        tmp_path / "clip.mov", before_mux=lambda c: c.streams[0].metadata.update(timecode="01:00:00:00")  # type: ignore[attr-defined]
    )  # fmt: skip
    output = tmp_path / f"out{suffix}"
    notes = rewrite(clip, output)
    assert any("the timecode 01:00:00:00 is kept as a tag" in n for n in notes) is kept
    assert any("does not hold the timecode 01:00:00:00, which is lost" in n for n in notes) is not kept
    with av.open(str(output)) as result:
        found = [v for s in result.streams for k, v in s.metadata.items() if k.lower() == "timecode"]
    assert bool(found) is kept


def with_chapter_languages(path: Path) -> Path:
    clip = write_clip(path, chapters=True, time_base=Fraction(1, 1000), pts=list(range(0, 400, 40)))
    data = clip.read_bytes()
    clip.write_bytes(data.replace(LANGUAGE + b"und", LANGUAGE + b"deu", 1))
    return clip


LANGUAGE = b"\x43\x7c\x83"  # ID and size of ChapLanguage


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_the_language_of_chapters_stays_in_matroska(tmp_path: Path, suffix: str) -> None:
    clip = with_chapter_languages(tmp_path / "clip.mkv")
    output = tmp_path / f"out{suffix}"
    rewrite(clip, output)
    data = output.read_bytes()
    assert data.count(LANGUAGE + b"deu") == 1
    assert data.index(LANGUAGE + b"deu") < data.index(LANGUAGE + b"und")
    start = data.rindex(b"\x10\x43\xa7\x70")  # the first one is in the list of places
    _, begin, end = next(elements(io.BytesIO(data), start, len(data)))
    if suffix == ".mkv":  # WebM has no checksum
        assert data[begin] == 0xBF
        assert data[begin + 2 : begin + 6] == zlib.crc32(data[begin + 6 : end]).to_bytes(4, "little")


def test_the_language_of_chapters_is_missed_in_mp4(tmp_path: Path) -> None:
    clip = with_chapter_languages(tmp_path / "clip.mkv")
    notes = rewrite(clip, tmp_path / "out.mp4")
    assert notes == ["mp4 does not hold these tags of chapters, which are lost: language"]


@pytest.mark.parametrize("length", [5, 255, 700])
def test_the_comment_of_a_gif_comes_back(tmp_path: Path, length: int) -> None:
    first, *rest = [Image.fromarray(scene(t, 96, 64)) for t in range(4)]
    first.save(tmp_path / "clip.gif", save_all=True, append_images=rest, comment="x" * length, duration=100)
    assert rewrite(tmp_path / "clip.gif", tmp_path / "out.gif") == []
    with av.open(str(tmp_path / "out.gif")) as result:
        assert result.metadata["comment"] == "x" * length
    with Image.open(tmp_path / "out.gif") as picture:  # a reader of the first picture alone
        assert picture.info["comment"] == b"x" * length
    assert open_clip(str(tmp_path / "out.gif")).info.frames == 4


def test_a_date_of_a_track_of_its_own_is_missed(tmp_path: Path) -> None:
    def date(container: Any) -> None:
        container.metadata["creation_time"] = "2020-01-02T03:04:05.000000Z"
        container.streams[0].metadata["creation_time"] = "2021-06-07T08:09:10.000000Z"

    clip = write_clip(tmp_path / "clip.nut", codec="ffv1", before_mux=date)
    assert any("creation_time of #0 video" in note for note in rewrite(clip, tmp_path / "out.mkv"))


def test_a_name_that_means_another_container_is_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.m1v", codec="mpeg1video").rename(tmp_path / "clip.mpg")
    notes = rewrite(clip, tmp_path / "out.mpg")
    assert "the file's name means mpeg, and it is mpegvideo: mpeg is written" in notes
