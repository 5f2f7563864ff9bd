"""What the chapter on universal detectors says about their training, transfer and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tff_core.claims import verdicts
from tff_core.claims.texts import base
from tff_core.detectors import Spec
from tff_core.metrics import chance
from tff_core.pictures.data import Preprocessing

_TRAINED_ON = "progan"


def training(spec: Spec, infos: Mapping[int, Mapping[str, Any]]) -> str:
    """How the detector was trained and how well it does on validation pictures.

    ``infos``: the record beside the weights of each seed. For a detector trained elsewhere, the text says
    where the weights come from and what is not known.
    """
    info = next(iter(infos.values()))
    judged = {seed: one["validation"] for seed, one in infos.items()}
    held_out = (
        f"{judged[next(iter(infos))]['n_real']} + {judged[next(iter(infos))]['n_fake']} held-out pictures"
    )
    aps = {seed: verdicts.percent(j["ap"], j["ap_low"], j["ap_high"]) for seed, j in judged.items()}
    brackets = "In brackets: 95 % bootstrap intervals over pictures."
    if spec.external:
        return (
            f"{_elsewhere(spec, info)} The threshold is calibrated on {held_out} of ProGAN. AP on these: "
            f"{'; '.join(aps.values())}. {brackets}"
        )
    real, fake = info["n_train"]
    settings = info["identity"]["settings"]
    begun = "start" in info["identity"]
    start = "from the trunk of a classifier of the same scenes" if begun else "from random weights"
    return (
        f"{spec.title}, {start}: {real} reals and {fake} fakes of ProGAN, "
        f"{base.counted(settings['epochs'], 'epoch')}, {len(info['history']['loss'])} steps of "
        f"{settings['batch_size']} pictures. AP on {held_out} of the same generator: "
        + "; ".join(f"{ap} (seed {seed})" for seed, ap in aps.items())
        + f". {brackets}{sees(spec.preprocessing)}\n\n"
        "The published detectors start from ImageNet weights and see 720,000 pictures of 20 ProGAN models. "
        f"Ours start {'from far fewer scenes' if begun else 'from random weights'} and see few pictures: "
        "they *should* transfer less, and their seeds should differ more."
    )


def _elsewhere(spec: Spec, info: Mapping[str, Any]) -> str:
    claim = "They do not claim to be those of one of the paper's detectors."
    if spec.published:
        claim = f"They are said to be those of the paper's `{spec.published}`."
    return (
        f"{spec.title}, **trained elsewhere**: the weights come from `{info['external']['weights']}`, and "
        f"how they were trained is not known here. {claim} {_cut(spec.preprocessing)}"
        f"{sees(spec.preprocessing)}"
    )


_PLANES = {
    "luma": "the luma in place of red, green and blue",
    "chroma": "the colours without their luma",
    "ycbcr": "luma and two components of chroma in place of red, green and blue",
}


def sees(chosen: Preprocessing) -> str:
    """What a network sees that is not shown pictures as they are, as a sentence; "" for one that is."""
    told = []
    if chosen.planes in _PLANES:
        told.append(f"it is given {_PLANES[chosen.planes]}")
    if chosen.highpass:
        side = chosen.highpass
        told.append(f"the mean of the {side} x {side} pixels around is taken from every pixel")
    if chosen.contrast:
        told.append("every channel is brought to one contrast, so that how strong a trace is says nothing")
    if not told:
        return ""
    text = f"{'; '.join(told)}."
    return f" **What it sees.** {text[0].upper()}{text[1:]}"


def _cut(chosen: Preprocessing) -> str:
    if not chosen.resize and not chosen.crop:
        return "Pictures are neither resized nor cropped."
    resized = f"resized to {chosen.resize} pixels on the shorter side" if chosen.resize else "not resized"
    cropped = f"the central {chosen.crop} pixels are taken" if chosen.crop else "nothing is cropped"
    return f"Pictures are {resized}; {cropped}."


def transfer(rows: pd.DataFrame) -> str:
    """The number of unseen families on which the detector beats chance, and its best and worst.

    ``rows``: the transfer table of one detector; only those pooled over seeds ("all") are read.
    """
    pooled = rows[rows["seed"].astype(str) == "all"].set_index("generator")
    unseen = pooled.drop(index=_TRAINED_ON, errors="ignore")
    if unseen.empty:
        return "ProGAN, on which the detector was trained, is the only family here: nothing to transfer to."
    border = pd.Series(
        [chance(int(r), int(f)) for r, f in zip(unseen["n_real"], unseen["n_fake"], strict=True)],
        index=unseen.index,
    )
    better = [g for g in unseen.index if unseen.loc[g, "ap_low"] > border[g]]
    told = [
        f"Of {base.counted(len(unseen), 'family', 'families')} that the detector never saw, {len(better)} "
        f"{'is' if len(better) == 1 else 'are'} recognised better than chance "
        f"({verdicts.percent(border.max())}) with the whole interval ({base.names(better)})."
    ]
    order = unseen.sort_values("ap", ascending=False)
    ends = {"highest": order.iloc[0], "lowest": order.iloc[-1]}
    for word, row in list(ends.items())[: len(unseen)]:
        value = verdicts.percent(row.ap, row.ap_low, row.ap_high)
        told.append(f"The {word} AP is {value} on {base.names([str(row.name)])}.")
    return " ".join(told)


GOOD, LEAST = 0.75, 0.65
"""What the lower end of the AP's interval reaches on all unseen families but one, and on that one."""


def universal(rows: pd.DataFrame, dataset: str = "miniature") -> str:
    """Whether the detector deserves the name, by the criterion of the miniature's second edition.

    ``rows`` as for `transfer`. Empty for other pictures, which were not made for it, and where there are not
    several unseen families.
    """
    pooled = rows[rows["seed"].astype(str) == "all"].set_index("generator")
    low = pooled["ap_low"].drop(index=_TRAINED_ON, errors="ignore").sort_values()
    if dataset != "miniature" or len(low) < 3:
        return ""
    met = low.iloc[0] >= LEAST and low.iloc[1] >= GOOD
    ends = "; ".join(f"{base.names([str(name)])} {verdicts.percent(value)}" for name, value in low.items())
    return (
        "**Universal enough?** These pictures were chosen so that there is a detector to ask about: by "
        "transfer alone, on development generators, before any of these had been trained. The criterion was "
        f"that the lower end of the interval reaches {100 * GOOD:.0f} % on all unseen families but one, and "
        f"{100 * LEAST:.0f} % on that one. This detector {'**meets** it' if met else '**misses** it'}. Lower "
        f"ends: {ends}."
    )


def thresholds(
    accuracies: pd.DataFrame, validation: Mapping[int, float], on_test: pd.Series, paper: pd.DataFrame | None
) -> str:
    """The gain from tuning the threshold on the test pictures, and how far apart thresholds lie.

    ``accuracies``: source ("at 0.5", "validation", "on test"), generator, acc_real, acc_fake.
    ``validation``: the threshold of each seed, as a logit. ``on_test``: those that test sets would choose.
    ``paper``: the paper's table for this network, or None.
    """
    both = accuracies.assign(mean=accuracies[["acc_real", "acc_fake"]].mean(axis=1))
    mean = both.groupby("source")["mean"].mean()
    theirs = ""
    if paper is not None:
        whole = paper[paper["condition"] == "baseline"][["acc_real", "acc_fake"]]
        theirs = f" The paper, tuned on test: {verdicts.percent(float(np.mean(whole.to_numpy())))}."
    chosen = ", ".join(f"{value:.1f}" for value in validation.values())
    own = (
        f"The validation thresholds are {chosen} (logits, one per seed)."
        if len(validation) > 1
        else f"The validation threshold is {chosen} (a logit)."
    )
    return (
        f"Mean of real and fake accuracy over the generators: {verdicts.percent(mean['at 0.5'])} at 0.5, "
        f"{verdicts.percent(mean['validation'])} with the validation threshold, "
        f"{verdicts.percent(mean['on test'])} when tuned on the test pictures: a difference of "
        f"{verdicts.points(mean['on test'] - mean['validation'])} that a user could not have.{theirs}\n\n"
        f"**Drift.** {own} The thresholds that the single test sets would choose run from "
        f"{on_test.min():.1f} to {on_test.max():.1f}. The wider that range, the less the same logit means "
        "on every family."
    )
