#!/bin/sh
# Fills corpus/encoded_photo from the repository's own photos. `pixels` and `bundle` need no seeds: their inputs are
# descriptions, and the default bundle is part of the target.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/encoded_photo
for folder in ../tests/data/jpeg ../tests/conformance/photos; do
    for photo in "$folder"/*.jpg "$folder"/*.png "$folder"/*.webp "$folder"/*.gif "$folder"/*.bmp; do
        if [ -f "$photo" ]; then
            cp "$photo" "corpus/encoded_photo/$(basename "$folder")-$(basename "$photo")"
        fi
    done
done
