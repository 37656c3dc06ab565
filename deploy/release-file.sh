#!/usr/bin/env bash
# release-file.sh IMAGE: deploy/immich-indexer.yaml as a release attaches it, with IMAGE (name:version@digest) filled in.
set -euo pipefail
image=${1:?IMAGE, as name:version@sha256:digest}
if ! [[ $image =~ ^[a-z0-9./_-]+:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}$ ]]; then
    echo "$image is no name:version@sha256:digest in small letters" >&2
    exit 1
fi
# Without the line that tells people to come here.
sed -e "s|ghcr.io/OWNER/immich-indexer:latest|$image|" -e '/^# Take it from a release/d' "$(dirname "$0")/immich-indexer.yaml"
