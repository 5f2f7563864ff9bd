# %% [markdown]
# # Planted truth
#
# Nobody knows what a detector of fakes really looks at, so nobody can say whether an explanation is right. Unless
# the trace was planted. This chapter puts a wave of known place, channel, period and amplitude into photographs,
# trains detectors that have nothing else to go by, and asks of every explanation in this book: did it find it?
# And of the paper's tests of colour: did they say *colour* when, and only when, the trace was in the chroma?

# %% tags=["parameters", "remove-input"]
known_cases = ["Y2", "Cb2", "Y2Cr2"]  # channels and periods of the traces
known_seeds = [0, 1]
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import figures
from tff_core.book.chapter import save, say
from tff_core.claims.texts import exam_planted as texts
from tff_core.exam import (
    carriers,
    confusion,
    dose,
    known,
    place,
    planted_truth,
    planting,
)
from tff_core.features import pixels
from tff_core.store.results import Store

store = Store(build or None)
found = planted_truth.read(store, known_cases, known_seeds)
used = found["known_use"]
cases = {case: texts.spoken(case) for case in known_cases}
examined = bool(used["learnt"].any())

# %% [markdown]
# ## A trace of which all is known
#
# **Idea.** Take a photograph and add a wave to one channel of its Y, Cb and Cr (luma and the two chroma channels
# of JPEG), inside a random region. The same photograph with and without the wave differs in nothing else.
#
# **Equation.** In column $x$ of the region, channel $c$ becomes
#
# $$
# c'(x) = c(x) + A \cos\left(2 \pi \, (x + \varphi) / T\right)
# $$
#
# with amplitude $A$ in levels of 255, period $T$ and phase $\varphi$. A period of 2 pixels is what upsampling by
# two leaves behind. It is **taken out** again by least squares: the waves of that period, of any phase, are
# fitted in the region and subtracted, and with them goes whatever the scene itself had of them.
#
# **Code.** Plant, measure, take out: that is all.

# %% tags=["remove-input"]
case, seed = known_cases[-1], known_seeds[0]
folder = store.part("known_shown", case, f"s{seed}")
shown = np.load(folder.with_suffix(".npz"))

# %%
bare, marked = shown["bare"], shown["marked"]  # uint8 (N, 3, H, W)
difference = 128 + 6 * (marked.astype(int) - bare)  # made six times stronger
inside = np.repeat(255 * shown["where"][:, None], 3, 1)

# %% tags=["remove-input"]
rows = {
    "photograph": bare,
    "with the trace": marked,
    "difference × 6": difference.clip(0, 255),
    "its place": inside,
}
figures.show(
    figures.pictures(
        {k: v.transpose(0, 2, 3, 1).astype(np.uint8) for k, v in rows.items()},
        text=f"Photographs with a planted trace ({cases[case]}). The "
        "difference is shown six times as strong as it is.",
    )
)

# %% [markdown]
# ## Does the detector use it?
#
# **Idea.** A small network (the blocks of the book's ResNets, one per stage, and their preprocessing) sees in every
# step the same scenes with and without the trace. Nothing else can be learnt, but whether *this* was learnt is a
# question of its own, and can be answered without any explanation: take the trace out and ask again.
#
# **Rule, stated beforehand.** A detector counts if its average precision with the trace is at least 90 %, and the
# whole interval of what it loses when the trace is taken out lies above zero.

# %% tags=["remove-input"]
save(store, "known_use", used)
say(texts.used(used, known.LEAST))
if not examined:
    say(texts.NONE)

# %% [markdown]
# ## How strong must it be?
#
# **Idea.** The pictures, the places and the detector stay the same; only the amplitude changes. The *detection
# limit* is the amplitude from which on average precision stays at 90 % or above. What an explanation does with a
# trace below the limit says nothing about the explanation.

# %% tags=["remove-input"]
figures.show(figures.planted_doses(found["known_dose"], cases, dose.LEVEL))
limits = planted_truth.limits(found["known_scores"])
save(store, "known_dose", found["known_dose"])
save(store, "known_limits", limits)
say(texts.limits(limits, dose.LEVEL))

# %% [markdown]
# ## Who finds the place?
#
# **Idea.** Explain each picture that is called fake, and look where the explanation lies. {cite:t}`arras2022`
# measure it twice. For a heatmap $R$, a place $P$ of $K$ pixels, and the set $S_K$ of the $K$ strongest pixels,
#
# $$
# \text{mass} = \frac{\sum_{p \in P} \max(R_p, 0)}{\sum_p \max(R_p, 0)}, \qquad
# \text{rank} = \frac{|S_K \cap P|}{K} .
# $$
#
# **Control.** A map that knows nothing has the place's share of the area in both. *Edges* need no detector; what
# does not beat them has found the picture's structure, not the trace. *Random* numbers check the measure itself.
#
# **Rule, stated beforehand.** A method *passed* if, over all detectors, the intervals of both measures lie above
# chance and above edges in the same pictures; *in part* if one measure surely lies above chance; else *failed*.

# %%
if examined:
    summary = place.summary(found["known_place"])
    which = summary["case"].iloc[-1]  # all of them, if there are several
    verdicts = {
        method: place.verdict(rows)
        for method, rows in summary[summary["case"] == which].groupby("method")
    }

# %% tags=["remove-input"]
if examined:
    names = texts.cases(found["known_place"]["case"])
    drawn = summary[summary["against"] == ""]
    drawn = drawn.assign(chance=found["known_place"]["area"].mean())
    figures.show(figures.planted_places(drawn, texts.METHODS, names))
    say(texts.places(summary, verdicts, which))
    words = summary["method"].map(verdicts)
    save(store, "known_place", summary.assign(verdict=words))

# %% tags=["remove-input"]
if examined and "heat_lrp" in shown:
    gray = marked.transpose(0, 2, 3, 1)
    maps = {"with the trace": gray, "its place": inside.transpose(0, 2, 3, 1)}
    for method, title in texts.METHODS.items():
        heat = shown[f"heat_{method}"].astype(float)
        top = heat.max((1, 2), keepdims=True)
        heat = np.divide(heat, top, out=np.zeros_like(heat), where=top > 0)
        maps[title] = pixels.overlay(gray, heat)
    figures.show(
        figures.pictures(
            {k: np.asarray(v, dtype=np.uint8) for k, v in maps.items()},
            text=f"Explanations of the same detector ({cases[case]}, seed "
            f"{seed}), each scaled to its own maximum.",
        )
    )

# %% [markdown]
# ## Does omega find the maps?
#
# **Idea.** The *effect* of the trace is the logit of a photograph with it, less that of the same photograph without.
# Drop one feature map, and some of the effect is lost: the map carried that much. This is measured map by map,
# without any relevance. Omega, which never saw the trace, should rank these maps first.

# %% tags=["remove-input"]
if examined:
    both = ["case", "seed"]
    agreement = pd.concat(
        carriers.agreement(own).assign(case=one, seed=s)
        for (one, s), own in found["known_maps"].groupby(both, sort=False)
    )
    figures.show(figures.planted_carriers(found["known_maps"], cases))
    say(texts.maps(agreement, found["known_dropped"]))
    save(store, "known_maps", found["known_maps"])
    save(store, "known_dropped", found["known_dropped"])
    save(store, "known_agreement", agreement)

# %% [markdown]
# ## Are the tests of colour right?
#
# **Idea.** The paper's claims C5 to C8 say that detectors look at colour. Here it is known whether they do. So each
# test is put to each detector, exactly as in {doc}`chapters 5 to 8 </notebooks/05_lrp_max>`: patches of the top maps
# (C5), fake probability in gray (C6), maps that respond to gray (C7), a twin trained with gray pictures (C8).
#
# **Rule, stated beforehand.** A test *says colour* if the interval on which the claim is judged lies wholly on the
# claim's side, read on the pictures of the one detector. The truth is *colour* if average precision surely falls
# when the trace in chroma is taken out. A test is right as often as the mean of two shares says: traces in chroma
# of which it says colour, traces in luma of which it does not. A test that always says the same is right in half
# of the cases; it *passed* if the whole interval lies above that, *in part* if only the number does, else *failed*.

# %%
if examined:
    asked = confusion.says(found["known_color"])
    answers = confusion.said(asked)
    right = confusion.confusion(asked)

# %% tags=["remove-input"]
if examined:
    say(texts.answers(answers), texts.confusion(right))
    mixed = any(
        0 < len(planting.in_chroma(traces)) < len(traces)
        for traces in map(planting.case, asked["case"].unique())
    )
    say(texts.meaning(right, mixed))
    save(store, "known_color", asked)
    save(store, "known_confusion", right)

# %% [markdown]
# ## What it means, and what it does not
#
# - Right answers here are necessary, not sufficient: a real generator's trace is weaker, broader and in several
#   channels at once, and its place is the whole picture.
# - The detectors are small and few. The intervals say how much their number allows; a test that is right about
#   all of six detectors may still be wrong about one in three.
# - An explanation that finds the place may still be silent on what it found there. Channel and period are asked of
#   the tests of colour and of the feature maps, not of heatmaps.
#
# ```{exercise} A test that cannot fail
# Somebody proposes a test that says *colour* whenever the detector's fake probability changes when a picture turns
# gray, in either direction. It finds all detectors of chroma. Why is that not enough, and which column of the
# confusion table would show it?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Gray pictures are unusual for every detector, so its probability changes for many reasons. The test would also say
# *colour* of detectors whose trace is in luma: the column of false alarms. Half of what makes a test right is when
# it keeps silent.
# ```
