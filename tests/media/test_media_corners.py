"""Files that are legal and unusual."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from support.clips import mask_of, packets_of, planes_of, scene, write_clip, write_masks, write_sequence
from support.command import Vremove
from vremove_cli import erase
from vremove_cli.job.render import Summary
from vremove_cli.media.probe import scan
from vremove_cli.media.read import Clip, open_clip


def erased(clip: Path | str, tmp_path: Path, output: Path | None = None, **options: Any) -> Summary:
    masks = tmp_path / "masks"
    if not masks.exists():
        info = open_clip(str(clip)).info
        write_masks(masks, frames=info.frames, size=(info.width, info.height))
    return erase(str(clip), str(output) if output else None, mask=str(masks), **options)


def seconds(path: Path | str) -> list[Fraction]:
    times = open_clip(str(path)).info.times
    return [p * times.time_base for p in times.pts]


@pytest.mark.parametrize("suffix", [".flv", ".avi", ".ts", ".mov", ".mkv", ".nut", ".m4v"])
def test_containers_come_back(tmp_path: Path, suffix: str) -> None:
    base = Fraction(1, 90000) if suffix == ".ts" else Fraction(1, 25)
    pts = [3600 * i for i in range(10)] if suffix == ".ts" else None
    options = {"bf": "0"} if suffix in (".avi", ".flv") else None
    clip = write_clip(tmp_path / f"clip{suffix}", time_base=base, pts=pts, options=options)
    summary = erased(clip, tmp_path)
    assert seconds(summary.output) == seconds(clip)


@pytest.mark.parametrize(("pix_fmt", "expected"), [("yuv420p", "rgb24"), ("yuv420p10le", "rgb48be")])
def test_a_video_becomes_pictures_of_its_depth(tmp_path: Path, pix_fmt: str, expected: str) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", pix_fmt=pix_fmt)
    erased(clip, tmp_path, tmp_path / "out.%04d.png")
    assert open_clip(str(tmp_path / "out.%04d.png")).info.pix_fmt == expected


@pytest.mark.parametrize("frames", [1, 2])
def test_hevc_of_a_frame_or_two_comes_back(tmp_path: Path, frames: int) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=frames)
    for _ in range(3):  # x265 failed now and then
        summary = erased(clip, tmp_path, tmp_path / "out.mp4", codec="hevc", overwrite=True, effects="off")
        assert open_clip(summary.output).info.frames == frames


@pytest.mark.parametrize("loop", [None, 0, 3])
def test_a_gif_plays_as_often_as_before(tmp_path: Path, loop: int | None) -> None:
    pictures = [Image.fromarray(scene(t, 96, 64)) for t in range(10)]
    repeated: dict[str, Any] = {} if loop is None else {"loop": loop}
    pictures[0].save(tmp_path / "clip.gif", save_all=True, append_images=pictures[1:], duration=100, **repeated)
    with Image.open(erased(tmp_path / "clip.gif", tmp_path).output) as result:
        assert result.info.get("loop") == loop


def test_a_gif_comes_back_as_a_gif(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", time_base=Fraction(1, 10))
    gif = erased(clip, tmp_path, tmp_path / "clip.gif").output
    again = erased(gif, tmp_path)
    assert seconds(again.output) == seconds(gif)
    assert open_clip(again.output).info.codec == "gif"


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libsvtav1", "yuv420p10le", ".mp4"), ("dnxhd", "yuv422p", ".mov"), ("mjpeg", "yuvj422p", ".avi"),
        ("libx264rgb", "rgb24", ".mkv"), ("utvideo", "gbrp", ".avi"), ("qtrle", "rgb24", ".mov"),
        ("ffv1", "yuv422p16le", ".mkv"), ("rawvideo", "uyvy422", ".mov"), ("ffv1", "bgra", ".mkv"),
    ],
)  # fmt: skip
def test_other_codecs_come_back_in_kind(tmp_path: Path, codec: str, pix_fmt: str, suffix: str) -> None:
    options = {"profile": "dnxhr_hq"} if codec == "dnxhd" else None
    clip = write_clip(tmp_path / f"clip{suffix}", codec=codec, pix_fmt=pix_fmt, size=(256, 144), options=options)
    summary = erased(clip, tmp_path)
    before, after = open_clip(str(clip)).info, open_clip(summary.output).info
    assert (after.codec, after.pix_fmt) == (before.codec, before.pix_fmt)
    assert seconds(summary.output) == seconds(clip)


def test_alpha_passes_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "shot"
    folder.mkdir()
    for t in range(6):
        alpha = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
        Image.fromarray(np.dstack([scene(t, 96, 64), alpha])).save(folder / f"a{t}.png")
    summary = erased(folder, tmp_path)
    for file in folder.iterdir():
        before, after = np.asarray(Image.open(file)), np.asarray(Image.open(f"{summary.output}/{file.name}"))
        np.testing.assert_array_equal(before[..., 3], after[..., 3])


def test_prores_4444_keeps_its_alpha_channel(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mov", codec="prores_ks", pix_fmt="yuva444p10le", options={"profile": "4"})
    summary = erased(clip, tmp_path)
    assert "yuva" in open_clip(summary.output).info.pix_fmt


def test_jpeg_orientation_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "shot"
    folder.mkdir()
    exif = Image.Exif()
    exif[274] = 6
    for t in range(4):
        Image.fromarray(scene(t, 96, 64)).save(folder / f"a{t}.jpg", exif=exif, quality=95)
    summary = erase(str(folder), point=("@0:40,12",), grow=1)
    assert Image.open(f"{summary.output}/a0.jpg").getexif()[274] == 6
    assert open_clip(str(folder)).info.shown_size == (64, 96)


def test_cover_art_two_sounds_and_tags_are_kept(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mp4", audio="aac")
    clip = tmp_path / "clip.mp4"
    picture = tmp_path / "cover.jpg"
    Image.fromarray(scene(0, 64, 64)).save(picture)
    with av.open(str(plain)) as source, av.open(str(picture)) as cover, av.open(str(clip), "w") as target:
        target.metadata["title"] = "a title"
        streams = [target.add_stream_from_template(source.streams[i]) for i in (0, 1, 1)]
        streams[2].metadata["language"] = "deu"
        art = target.add_stream_from_template(cover.streams.video[0])
        art.disposition = av.stream.Disposition.attached_pic
        packet = next(cover.demux(video=0))
        packet.stream, packet.pts, packet.dts = art, 0, 0
        target.mux(packet)
        for packet in source.demux():
            if packet.dts is None:
                continue
            outputs = [streams[0]] if packet.stream.index == 0 else streams[1:]
            for out in outputs:
                packet.stream = out
                target.mux(packet)
    summary = erased(clip, tmp_path)
    assert packets_of(summary.output, "audio") == packets_of(clip, "audio")
    with av.open(summary.output) as result:
        assert result.metadata["title"] == "a title"
        kinds = [s.type for s in result.streams]
        assert kinds.count("video") == 2
        assert kinds.count("audio") == 2
        assert [s.metadata.get("language") for s in result.streams.audio] == ["und", "deu"]


def test_attachments_of_matroska_are_kept(tmp_path: Path) -> None:
    def attach(container: Any) -> None:
        container.add_attachment("font.ttf", "font/ttf", b"not really a font" * 20)

    clip = write_clip(tmp_path / "clip.mkv", audio="flac", before_mux=attach)
    summary = erased(clip, tmp_path)
    with av.open(summary.output) as result:
        assert [s.data for s in result.streams if s.type == "attachment"] == [b"not really a font" * 20]


def test_subrip_becomes_mov_text_in_mp4(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", subtitle="srt", time_base=Fraction(1, 1000), pts=list(range(0, 400, 40)))
    summary = erased(clip, tmp_path, tmp_path / "out.mp4")
    said = [(when, data[2:]) for when, data in packets_of(summary.output, "subtitle") if data != b"\0\0"]
    assert said == [(0, b"first line"), (Fraction(3, 20), b"second line")]


def test_hdr10_metadata_is_carried(tmp_path: Path) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    options = {"x265-params": f"log-level=none:hdr10=1:master-display={display}:max-cll=1000,400"}
    clip = write_clip(
        tmp_path / "clip.mp4", codec="libx265", pix_fmt="yuv420p10le", colour=(9, 16, 9, 1), options=options
    )  # fmt: skip
    assert open_clip(str(clip)).info.hdr == {"master-display": display, "max-cll": "1000,400"}
    assert open_clip(erased(clip, tmp_path).output).info.hdr == open_clip(str(clip)).info.hdr
    av1 = erased(clip, tmp_path, tmp_path / "av1.mp4", codec="av1")
    assert open_clip(av1.output).info.hdr["max-cll"] == "1000,400"


def test_seeks_are_exact_with_b_frames_and_few_keyframes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60, options={"bf": "3", "g": "17"})
    every = planes_of(clip)
    reader = open_clip(str(clip))
    for start in (0, 1, 16, 17, 18, 33, 50, 59):
        for frame in reader.frames(start, start + 4):
            assert all((a == b).all() for a, b in zip(frame.planes(), every[frame.index], strict=True))


def test_frames_at_distances_are_read_without_those_far_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = open_clip(str(write_clip(tmp_path / "clip.mp4", frames=400, options={"g": "50", "sc_threshold": "0"})))
    everything = {f.index: f.gray() for f in clip.frames()}
    read: list[int] = []
    wrap = Clip._wrap

    def counted(self: Clip, index: int, raw: Any) -> Any:
        read.append(index)
        return wrap(self, index, raw)

    monkeypatch.setattr(Clip, "_wrap", counted)
    for wanted in (range(0, 400, 120), range(7, 390, 10), range(5, 25), range(3, 4), range(0)):
        read.clear()
        found = {f.index: f.gray() for f in clip.picked(wanted)}
        assert list(found) == list(wanted)
        assert all(np.array_equal(found[t], everything[t]) for t in wanted)
        assert wanted.step < 100 or read == list(wanted)


def test_repeated_times_are_spread_and_reading_stays_exact(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", codec="ffv1", time_base=Fraction(1, 1000), pts=list(range(0, 400, 40)))
    clip = tmp_path / "clip.mkv"
    with av.open(str(source)) as old, av.open(str(clip), "w") as new:
        out = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                moved = packet.pts if packet.pts < 80 else packet.pts - 40
                packet.pts = packet.dts = moved
                packet.stream = out
                new.mux(packet)
    every = planes_of(clip)
    (frame,) = open_clip(str(clip)).frames(6, 7)
    assert (frame.planes()[0] == every[6][0]).all()
    assert "spaced evenly" in "".join(open_clip(str(clip)).info.notes)


def test_a_trimmed_mp4_is_whole(tmp_path: Path) -> None:
    """An edit list may end before the samples do: that is a trim, not a cut-off file."""
    clip = write_clip(tmp_path / "clip.mp4", frames=40)
    data = bytearray(clip.read_bytes())
    at = data.index(b"elst")
    data[at + 12 : at + 16] = (int.from_bytes(data[at + 12 : at + 16], "big") // 2).to_bytes(4, "big")
    clip.write_bytes(bytes(data))
    frames = open_clip(str(clip)).info.frames
    assert 15 < frames < 40
    assert open_clip(erased(clip, tmp_path).output).info.frames == frames


def test_bottom_up_pictures_are_turned(tmp_path: Path) -> None:
    """Uncompressed AVI stores rows from the bottom up, which FFmpeg gives as a negative line size."""
    clip = write_clip(tmp_path / "clip.avi", codec="rawvideo", pix_fmt="bgr24", colour=(2, 2, 0, 2))
    shown = next(iter(open_clip(str(clip)).frames(0, 1))).rgb8()
    assert np.abs(shown.astype(int) - scene(0, 96, 64)).max() <= 1
    summary = erased(clip, tmp_path)
    out = next(iter(open_clip(summary.output).frames(0, 1))).rgb8()
    kept = mask_of(0, 96, 64)[:, ::1] == 0
    kept[:, :40] = False
    assert (out[kept] == shown[kept]).all()


def test_sound_that_starts_before_zero_moves_everything_in_matroska(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", audio="aac", time_base=Fraction(1, 1000), pts=list(range(0, 400, 40)))
    early = packets_of(clip, "audio")[0][0]
    summary = erased(clip, tmp_path, tmp_path / "out.mkv")
    shift = seconds(summary.output)[0] - seconds(clip)[0]
    assert early is not None
    assert early < 0 < shift
    begins = packets_of(summary.output, "audio")[0][0]
    assert begins is not None
    gap = begins - seconds(summary.output)[0]
    assert abs(gap - (early - seconds(clip)[0])) <= Fraction(1, 1000)


@pytest.mark.parametrize("name", ["take #2.mp4", "50%dark.mp4"])
def test_names_with_signs_are_names(tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / name)
    assert erased(clip, tmp_path).output == str(tmp_path / name.replace(".mp4", ".clean.mp4"))


def test_a_sequence_keeps_its_numbers_across_a_gap(tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot", frames=8)
    (shot / "shot.1003.png").unlink()
    write_masks(tmp_path / "masks", frames=7)
    summary = erased(shot, tmp_path, tmp_path / "out.%05d.png")
    assert sorted(p.name for p in tmp_path.glob("out.*.png"))[2] == "out.01004.png"
    assert any("skips 1 number" in n for n in summary.notes)


def test_skipping_errors_changes_nothing_in_a_sound_avi(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", codec="mpeg4", frames=20, options={"bf": "2"})
    assert scan(str(clip), skip_errors=True) == scan(str(clip))


def test_a_pattern_of_one_picture_keeps_its_number(tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot", frames=1)
    write_masks(tmp_path / "masks", frames=1)
    erased(f"{shot}/shot.%04d.png", tmp_path)
    assert [p.name for p in (tmp_path / "shot.clean").glob("*.png")] == ["shot.1001.png"]


def test_a_picture_folder_left_by_a_killed_run_goes(tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot", frames=3)
    (tmp_path / ".shot.clean.999999999.0.part").mkdir()
    (tmp_path / f".shot.clean.{os.getpid()}.0.part").mkdir()
    erased(shot, tmp_path)
    assert not list(tmp_path.glob(".shot.clean.*"))


def test_one_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(scene(0, 96, 64)).save(tmp_path / "photo.png")
    summary = erased(tmp_path / "photo.png", tmp_path)
    assert summary.output == str(tmp_path / "photo.clean.png")
    assert summary.unseen == 1.0


def test_masks_speak_through_alpha_polarity_or_size(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1")
    wanted = planes_of(erased(clip, tmp_path, tmp_path / "plain.mkv").output)
    for name, picture in {
        "alpha": lambda m: Image.fromarray(np.dstack([np.full((64, 96, 3), 90, np.uint8), m])),
        "inverted": lambda m: Image.fromarray(255 - m),
        "doubled": lambda m: Image.fromarray(m).resize((192, 128), Image.Resampling.NEAREST),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        for t in range(10):
            picture(mask_of(t, 96, 64)).save(folder / f"{t:03d}.png")
        summary = erase(str(clip), str(tmp_path / f"{name}.mkv"), mask=str(folder), invert_mask=name == "inverted")
        assert all((a[0] == b[0]).all() for a, b in zip(planes_of(summary.output), wanted, strict=True))


def test_a_cut_is_found_and_tracking_stops_there(tmp_path: Path, vremove: Vremove) -> None:
    def two_shots(t: int, width: int, height: int) -> np.ndarray:
        return scene(t, width, height) if t < 8 else 255 - np.roll(scene(t, width, height), 31, axis=1)

    clip = write_clip(tmp_path / "clip.mp4", frames=16, picture=two_shots)
    assert open_clip(str(clip)).info.cuts == (8,)
    said = vremove("mask", clip, "--box", "4,24,20,40", "-o", tmp_path / "m.mkv").stderr
    assert "after the cut at frame 8" in said


def test_streams_keep_their_order_and_their_roles(tmp_path: Path) -> None:
    """The edited stream need not be the first video stream, nor the first stream."""
    one = write_clip(tmp_path / "one.mp4", audio="aac")
    two = write_clip(tmp_path / "two.mp4", size=(48, 32))
    clip = tmp_path / "clip.mkv"
    with av.open(str(one)) as a, av.open(str(two)) as b, av.open(str(clip), "w") as target:
        small, sound, large = b.streams.video[0], a.streams.audio[0], a.streams.video[0]
        outs = {id(s): target.add_stream_from_template(s) for s in (small, sound, large)}
        outs[id(small)].disposition = av.stream.Disposition(0)
        outs[id(large)].metadata["language"] = "eng"
        for container, streams in ((b, [small]), (a, [sound, large])):
            for packet in container.demux(streams):
                if packet.dts is not None:
                    packet.stream = outs[id(packet.stream)]
                    target.mux(packet)
    source = open_clip(str(clip)).info
    summary = erased(clip, tmp_path)
    with av.open(str(clip)) as before, av.open(summary.output) as after:
        assert [s.type for s in after.streams] == [s.type for s in before.streams]
        assert [s.disposition for s in after.streams] == [s.disposition for s in before.streams]
        assert [s.metadata.get("language") for s in after.streams] == [
            s.metadata.get("language") for s in before.streams
        ]
    assert open_clip(summary.output).info.shown_size == source.shown_size


def test_what_a_killed_run_left_beside_the_target_goes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    left = tmp_path / ".clip.clean.999999999.0.part.mp4"
    left.write_bytes(b"half")
    erased(clip, tmp_path)
    assert not left.exists()


def test_a_dot_is_the_folder_one_is_in(tmp_path: Path, vremove: Vremove, monkeypatch: pytest.MonkeyPatch) -> None:
    shot = write_sequence(tmp_path / "shot", frames=4)
    masks = write_masks(tmp_path / "masks", frames=4)
    monkeypatch.chdir(shot)
    done = vremove("erase", ".", "--mask", masks)
    assert done.stdout.strip() == str(tmp_path / "shot.clean")


def test_a_box_in_the_last_corner_is_a_box(tmp_path: Path, vremove: Vremove) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    done = vremove("mask", clip, "--box", "95.5,63.5,96,64", "-o", tmp_path / "m.mkv")
    assert done.status in (0, 4)
    assert "internal" not in done.stderr
