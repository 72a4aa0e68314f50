#!/usr/bin/env bash
# What the experiments of this folder learn from beside real pictures: makes those of an experiment's sets that are named, or
# all of them, below sets/, and the models that they need. The data come first, by split.py and published.py.
#
#   sets.sh blowholes|breaks|blowholes-swapped|breaks-swapped|published [SET...]
set -euo pipefail
cd "$(dirname "$0")"

kind=${1:?expected the name of an experiment}
shift
train=data/train place=() sets="ddim ancestral"
case "$kind" in
    blowholes) object=defects:blowhole n=200 steps=100 five=five:blowhole few=160 ;;
    breaks) object=defects:break,class=break n=160 steps=60 five=five:break,class=break few=120 ;;
    blowholes-swapped) object=other-defects:blowhole n=160 steps=100 train=swapped/train ;;
    breaks-swapped) object=other-defects:break,class=break n=160 steps=60 train=swapped/train ;;
    published) object=four,class=break n=120 steps=60 train=published/train ;;
    *) echo "no experiment $kind" >&2; exit 2 ;;
esac
case "$kind" in
    # most touch an edge of their tile, so they are placed where real ones are
    *breaks* | published) place=(--place measured --tries 4) ;;
esac
case "$kind" in
    blowholes | breaks) sets="$sets near best-of-4 tiles paper paper-tiles repaint five" ;;
esac
photographs=(--backgrounds "$train/MT_Free" --object "$object" "${place[@]}")
real=(--real "$train")

make() { # SET ARGUMENT...
    dmix generate "${@:2}" -o "sets/$kind-$1"
}

learn() { # FOLDER background|object DATA ARGUMENT...
    [ -f "$1/training/finished.json" ] || dmix train "$2" "$3" -o "$1" --size 64x64 --batch-size 16 \
        --learning-rate 1e-3 --warmup 50 --decay none --ema-decay 0.999 --flips both "${@:4}"
}

objects=(--large-objects parts --gain 0.7 1.4)
both=(--classes blowhole,break "${objects[@]}")
case "$kind" in
    *-swapped) # models that have seen none of what this fold holds out
        learn other-tiles background swapped/train/MT_Free --prediction v --steps 1500
        learn other-defects object swapped/train --init other-tiles --steps 4800 "${both[@]}"
        ;;
    published) learn four object published/train --init tiles --steps 1200 --classes break "${objects[@]}" ;;
esac

# A model of five pictures of each class, those that `real = 5` takes. It is here, in float16, since it takes 15 to 45
# minutes; where its folder is removed, it is trained again.
learn_five() {
    local blowholes="exp1_num_322605 exp3_num_291038 exp5_num_9549 exp5_num_262654 exp6_num_40515"
    local breaks="exp2_num_116961 exp3_num_77583 exp3_num_320689 exp5_num_284552 exp6_num_194304"
    mkdir -p data/five/MT_Blowhole/Imgs data/five/MT_Break/Imgs
    for name in $blowholes; do cp "data/train/MT_Blowhole/Imgs/$name".* data/five/MT_Blowhole/Imgs; done
    for name in $breaks; do cp "data/train/MT_Break/Imgs/$name".* data/five/MT_Break/Imgs; done
    if [ ! -d five ] || [ -d five/training ]; then
        learn five object data/five --init tiles --steps 1800 "${both[@]}"
    fi
}

(($#)) || set -- $sets
for set; do
    case "$set" in
        # what is recommended
        ddim) make ddim "${photographs[@]}" "${real[@]}" --twins -n "$n" ;;
        # and what differs from it in one thing
        ancestral)
            make ancestral "${photographs[@]}" "${real[@]}" --twins -n "$n" --plugin ancestral --steps "$steps" \
                --timesteps jump_length=5 --timesteps resamples=1
            ;;
        near) make near "${photographs[@]}" "${real[@]}" --twins --near-miss 0.05-0.15 -n 80 ;;
        best-of-4) make best-of-4 "${photographs[@]}" "${real[@]}" --twins --best-of 4 -n 80 ;;
        tiles)
            make tiles --backgrounds tiles --object "$object" "${real[@]}" --twins -n 80 --strength 0.7-1.6 \
                --visible-change 4 --reject
            ;;
        # the paper's settings, 270 calls
        paper) make paper --preset paper "${photographs[@]}" "${real[@]}" -n 60 ;;
        paper-tiles) make paper-tiles --preset paper --backgrounds tiles --object "$object" "${real[@]}" -n 60 ;;
        # its walk of 100 steps with jumps of 10 and five samples, 460 calls
        repaint)
            make repaint --preset paper "${photographs[@]}" "${real[@]}" --plugin repaint --steps 100 \
                --timesteps jump_length=10 --timesteps jump_n_sample=5 --merge-from 0 -n 60
            ;;
        five)
            learn_five
            make five --backgrounds "$train/MT_Free" --object "$five" "${place[@]}" --real data/five --twins -n "$few"
            ;;
        *) echo "no set $set" >&2; exit 2 ;;
    esac
done
