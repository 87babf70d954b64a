"""Reading and writing video, images and their metadata. The only package that imports PyAV (`av`).

`read.open_clip` scans a clip and decodes its frames; `encoder_choice` and `streams` plan the output; `write` encodes
it. Samples stay in the clip's own pixel format (`pixel_format`); `colour` converts crops to R'G'B' and back.
"""
