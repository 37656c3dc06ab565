#!/usr/bin/env bash
# The digests of the images that ours are built on, in deploy/base-images.lock.
#
#   base-images.sh build-args DOCKERFILE   its base images as build arguments, name@digest; fails where a digest is not known
#   base-images.sh update                  asks the registries for all digests, and writes them down
set -euo pipefail
lock=$(dirname "$0")/base-images.lock

case ${1-} in
    build-args)
        while read -r argument name digest; do
            grep --quiet "^ARG $argument=" "${2:?DOCKERFILE}" || continue
            if [ "$digest" = - ]; then
                echo "no digest of $name in $lock: run the workflow \"Base images\" and merge what it proposes" >&2
                exit 1
            fi
            echo "$argument=$name@$digest"
        done < <(grep -v '^#' "$lock")
        ;;
    update)
        while read -r line; do
            read -r argument name digest <<< "$line"
            if [ "${argument:0:1}" != '#' ]; then
                digest=$(docker buildx imagetools inspect "$name" --format '{{.Manifest.Digest}}')
                [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "$name has no digest: $digest" >&2; exit 1; }
                line="$argument $name $digest"
            fi
            echo "$line"
        done < "$lock" > "$lock.new"
        mv "$lock.new" "$lock"
        ;;
    *)
        sed -n 's/^# \{0,1\}//; 2,5p' "$0" >&2
        exit 2
        ;;
esac
