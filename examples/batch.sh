#!/bin/sh
# Erases the same spot from every clip of a folder (a logo, say, or a drone's landing gear).
#
#   sh examples/batch.sh FOLDER MASK.png
#
# MASK.png is white where the spot is, one picture for all frames. Results go to FOLDER/clean; clips that are there
# already are skipped, so the script can be run again after a power cut. Exit status 7: some clips failed, see above.
set -u
folder=$1
mask=$2
mkdir -p "$folder/clean"
status=0
for clip in "$folder"/*.mp4 "$folder"/*.mov "$folder"/*.mkv; do
    [ -f "$clip" ] || continue
    out="$folder/clean/$(basename "$clip")"
    [ -f "$out" ] && continue
    vremove erase "$clip" --mask "$mask" -o "$out" --progress none || status=7
done
exit $status
