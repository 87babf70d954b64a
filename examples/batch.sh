#!/bin/sh
# Erases the same spot from every clip of a folder (a logo, say, or a drone's landing gear).
#
#   sh examples/batch.sh FOLDER MASK.png
#
# MASK.png is white where the spot is, one picture for all frames. Results go to FOLDER/clean; clips that are there
# already are skipped, so the script can be run again after a power cut. Exit status 7: some clips failed, see the table.
set -eu
mkdir -p "$1/clean"
exec vremove erase "$1" --mask "$2" -o "$1/clean/{name}" --skip-existing --log "$1/clean/vremove.log"
