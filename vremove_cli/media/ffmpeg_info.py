"""What the bundled FFmpeg can do, for `vremove doctor`."""

import av

_WANTED = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "dnxhd", "ffv1", "png", "tiff", "mjpeg", "gif")


def library_versions() -> str:
    """Versions of the FFmpeg libraries, such as `libavcodec 62.28.100`."""
    return ", ".join(f"{name} {'.'.join(map(str, v))}" for name, v in sorted(av.library_versions.items()))


def missing_encoders() -> list[str]:
    """Encoders the tool uses that this build lacks."""
    out = []
    for name in _WANTED:
        try:
            av.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            out.append(name)
    return out
