#!/usr/bin/env bash
# standins.sh PREFIX IMAGE: makes stand-ins, from the packages of Debian and PyPI alone, for the images that ours are built on
# and run beside, as PREFIX/... under the names of the compose files. IMAGE is our own, of which Immich's two servers are made.
# Where no registry of images answers, this is all that is needed.
#
#   standins.sh PREFIX         the base images
#   standins.sh PREFIX IMAGE   Immich's server and machine learning
#
# Needs root, docker, debootstrap and a Debian or Ubuntu whose package sources can be reached.
set -euo pipefail
prefix=${1:?PREFIX}
here=$(cd "$(dirname "$0")/standins" && pwd)
build() { docker build --quiet --tag "$prefix/$1" "${@:2}"; }

if [ -n "${2-}" ]; then
    for part in server machine-learning; do
        build "immich-app/immich-$part:v3" --build-arg IMAGE="$2" --file "$here/immich-$part.Dockerfile" "$here"
    done
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=${DEBIAN_MIRROR:-deb.debian.org}
if ! docker image inspect "$prefix/debian" > /dev/null 2>&1; then
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/root" "http://$mirror/debian"
    tar --directory "$work/root" --create . | docker import - "$prefix/debian" > /dev/null
fi
# This machine's own authorities, where it has some: package indexes may lie behind them.
mkdir "$work/python"
cp /usr/local/share/ca-certificates/*.crt "$work/python/" 2> /dev/null || true
touch "$work/python/none.crt"
for name in python postgres valkey; do
    mkdir -p "$work/$name"
    cp "$here/$name".* "$work/$name/"
done
build library/python:3.12-slim-bookworm --build-arg PREFIX="$prefix" --file "$work/python/python.Dockerfile" "$work/python"
build immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0 \
    --build-arg PREFIX="$prefix" --file "$work/postgres/postgres.Dockerfile" "$work/postgres"
build valkey/valkey:9 --build-arg PREFIX="$prefix" --file "$work/valkey/valkey.Dockerfile" "$work/valkey"

# zhparser: a library under three names, two of which are links, and files where its own are.
files=$work/files
mkdir -p "$files"/usr/local/lib "$files"/usr/lib/postgresql/14/lib "$files"/usr/share/postgresql/14/{extension,tsearch_data}
cp --dereference /lib/*-linux-gnu/libm.so.6 "$files/usr/local/lib/libscws.so.1.1.0"
ln --symbolic libscws.so.1.1.0 "$files/usr/local/lib/libscws.so.1"
ln --symbolic libscws.so.1.1.0 "$files/usr/local/lib/libscws.so"
touch "$files"/usr/lib/postgresql/14/lib/zhparser.so "$files"/usr/share/postgresql/14/extension/zhparser.control \
    "$files"/usr/share/postgresql/14/tsearch_data/rules.utf8.ini
tar --directory "$files" --create . | docker import - "$prefix/abcfy2/zhparser:14" > /dev/null
