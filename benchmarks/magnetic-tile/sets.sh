#!/usr/bin/env bash
# What blowholes.toml and breaks.toml learn from, beside real pictures: makes those of the sets named, or all of them, below
# sets/, and the model `five`. The data must be in data/ (split.py).
#
#   sets.sh blowholes|breaks [ddim|ancestral|near|best-of-4|tiles|paper|paper-tiles|repaint|five ...]
set -euo pipefail
cd "$(dirname "$0")"

case "$1" in
    blowholes) model=defects:blowhole five=five:blowhole n=200 few=160 steps=100 place=() ;;
    # most touch an edge of their tile, so they are placed where real ones are
    breaks)
        model=defects:break,class=break five=five:break,class=break n=160 few=120 steps=60
        place=(--place measured --tries 4)
        ;;
    *) echo "expected blowholes or breaks, not $1" >&2; exit 2 ;;
esac
kind=$1
shift
real=(--real data/train)
photographs=(--backgrounds data/train/MT_Free --object "$model" "${place[@]}")
tiles=(--backgrounds tiles --object "$model")

generate() { # NAME ARGUMENT...
    dmix generate "${@:2}" -o "sets/$1"
}

# Five pictures, those that `real = 5` takes, and a model that has seen these alone, of both classes.
train_five() {
    local blowholes="exp1_num_322605 exp3_num_291038 exp5_num_9549 exp5_num_262654 exp6_num_40515"
    local breaks="exp2_num_116961 exp3_num_77583 exp3_num_320689 exp5_num_284552 exp6_num_194304"
    mkdir -p data/five/MT_Blowhole/Imgs data/five/MT_Break/Imgs
    for name in $blowholes; do cp "data/train/MT_Blowhole/Imgs/$name".* data/five/MT_Blowhole/Imgs; done
    for name in $breaks; do cp "data/train/MT_Break/Imgs/$name".* data/five/MT_Break/Imgs; done
    dmix train object data/five -o five --init tiles --classes blowhole,break --size 64x64 --large-objects parts \
        --steps 1800 --batch-size 16 --learning-rate 1e-3 --warmup 50 --decay none --ema-decay 0.999 --flips both --gain 0.7 1.4
}

(($#)) || set -- ddim ancestral near best-of-4 tiles paper paper-tiles repaint five
for set; do
    case "$set" in
        # what is recommended
        ddim) generate "$kind-ddim" "${photographs[@]}" "${real[@]}" --twins -n "$n" ;;
        # and what differs from it in one thing
        ancestral)
            generate "$kind-ancestral" "${photographs[@]}" "${real[@]}" --twins -n "$n" \
                --plugin ancestral --steps "$steps" --timesteps jump_length=5 --timesteps resamples=1
            ;;
        near) generate "$kind-near" "${photographs[@]}" "${real[@]}" --twins --near-miss 0.05-0.15 -n 80 ;;
        best-of-4) generate "$kind-best-of-4" "${photographs[@]}" "${real[@]}" --twins --best-of 4 -n 80 ;;
        tiles)
            generate "$kind-tiles" "${tiles[@]}" "${real[@]}" --twins -n 80 --strength 0.7-1.6 --visible-change 4 --reject
            ;;
        # the paper's settings, 270 calls
        paper) generate "$kind-paper" --preset paper "${photographs[@]}" -n 60 ;;
        paper-tiles) generate "$kind-paper-tiles" --preset paper "${tiles[@]}" -n 60 ;;
        # its walk of 100 steps with jumps of 10 and five samples, 460 calls
        repaint)
            generate "$kind-repaint" --preset paper "${photographs[@]}" --plugin repaint --steps 100 \
                --timesteps jump_length=10 --timesteps jump_n_sample=5 --merge-from 0 -n 60
            ;;
        five)
            [ -d five ] || train_five
            generate "five-$kind-ddim" --backgrounds data/train/MT_Free --object "$five" "${place[@]}" --real data/five \
                --twins -n "$few"
            ;;
        *) echo "no set $set" >&2; exit 2 ;;
    esac
done
