#!/bin/sh
# The chapter's question, asked of this program: do plain networks of 34 layers learn worse than those of 18, and
# residual ones better? Trains the four with one recipe on small pictures, three seeds each, and draws the means of
# their curves on one plot.
#
#   examples/plain_vs_residual.sh [FOLDER] [FLAG...]
#
# FOLDER (default runs/plain_vs_residual) gets the four runs and curves.svg; it must not have them already. Flags go to
# every `resnet train`, e.g. --epochs 20, --data cifar10 --resize 32, --seeds 1; later ones win. RESNET names the program.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
resnet=${RESNET:-"$root/build/release/resnet"}
folder=runs/plain_vs_residual
case ${1:-} in "" | -*) ;; *) folder=$1; shift ;; esac

set -- --resize 32 --stem small --channels 16,32,64,128 --lr 0.1 --epochs 10 --batch-size 128 --seeds 3 "$@"
for layers in 18 34; do
  "$resnet" train --model d2l_resnet$layers --shortcut none --out "$folder/plain-$layers" "$@"
  "$resnet" train --model d2l_resnet$layers --out "$folder/residual-$layers" "$@"
done
"$resnet" plot "$folder/plain-18" "$folder/plain-34" "$folder/residual-18" "$folder/residual-34" \
  --svg "$folder/curves.svg"
