#!/bin/sh
# From a bare Debian or Ubuntu machine to a trained network: installs what is missing, builds what
# has changed, trains. Flags go to `resnet train`; without any, it does the chapter's job.
set -eu
root=$(cd "$(dirname "$0")" && pwd)

"$root/tools/setup.sh" train
"$root/tools/build.sh" release
exec "$root/build/release/resnet" train "$@"
