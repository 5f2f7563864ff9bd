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

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - plant a trace, measure it whatever its phase, and take it out again;
# - score a heatmap against a known place, and say what a map that knows nothing scores;
# - count silence in the right place as half of what makes a test right;
# - say how much six right answers out of six allow.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} A test that cannot fail
# *Objective:* see that false alarms are half of a test · *easy* · 5 minutes
#
# Somebody proposes a test that says *colour* whenever the detector's fake probability changes when a picture turns
# gray, in either direction. It finds all detectors of chroma. Why is that not enough, and which column of the
# confusion table would show it?
# ```

# %% [markdown] tags=["solution"]
# Gray pictures are unusual for every detector, so its probability changes for many reasons. The test would also say
# *colour* of detectors whose trace is in luma: the column of false alarms. Half of what makes a test right is when
# it keeps silent.

# %% [markdown] tags=["instructor"]
# **Hint** What would the test say of a detector that has never seen a trace in chroma?
#
# **Marking** 2 points: 1 for other reasons to change, 1 for false alarms.
#
# **Common mistakes** Asking for a stronger effect: a border only moves the false alarms.

# %% [markdown] tags=["exercise"]
# ```{exercise} All six right
# *Objective:* say what a small number of successes allows · *easy* · 8 minutes
#
# A test is right about six detectors out of six. How wrong could it be in the long run? Find the largest share of
# wrong answers with which six right ones in a row would still happen in one case of twenty.
# ```

# %% [markdown] tags=["solution"]
# With a share $p$ of wrong answers, six right ones in a row have probability $(1 - p)^6$. It is $0.05$ for
# $p = 1 - 0.05^{1/6} \approx 0.39$: the test may be wrong about more than one detector in three. For $n$ detectors
# the bound is about $3 / n$, so a bound of one in ten needs about thirty.

# %% [markdown] tags=["instructor"]
# **Hint** Six independent answers are all right with probability $(1 - p)^6$.
#
# **Marking** 3 points: 1 equation, 1 number, 1 what follows for the number of detectors.
#
# **Common mistakes** "0 %, since nothing was wrong": the interval of a share of 1 is not a point.
#
# **Discuss** Are six trainings on the same scenes independent?

# %% [markdown] tags=["exercise"]
# ```{exercise} Did it find the place?
# *Objective:* score heatmaps against a known place, with chance beside it · *medium* · 15 minutes
#
# Write both measures of the chapter for one heatmap $R$ (H, W) and its place $P$ (H, W): the share of *positive*
# relevance inside, and the share of the $K$ strongest pixels inside, $K$ being the size of the place. Then score
# a thousand random maps: what do they get?
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
where = np.zeros((16, 16), dtype=bool)
where[4:12, 2:10] = True  # a quarter of the picture


# %% tags=["solution"]
def mass_and_rank(heat, where):
    # BEGIN SOLUTION
    positive = np.clip(heat, 0, None)
    mass = positive[where].sum() / positive.sum()
    k = where.sum()
    strongest = np.argsort(-heat, axis=None)[:k]
    return mass, where.ravel()[strongest].mean()
    # END SOLUTION


# %% tags=["test"]
mass, rank = mass_and_rank(np.where(where, 2.0, -1.0), where)
assert np.isclose(mass, 1) and np.isclose(rank, 1), (
    "all positive relevance and all of the strongest pixels are inside: "
    "both are 1; does relevance that speaks against count?"
)
random = [mass_and_rank(rng.random((16, 16)), where) for _ in range(1000)]
assert np.allclose(np.mean(random, axis=0), where.mean(), atol=0.01), (
    "a map that knows nothing gets the place's share of the area in both"
)

# %% tags=["hidden-test"]
from tff_core.exam import place

small = np.zeros((16, 16), dtype=bool)
small[0, :5] = True
for inside in (where, small):
    heat = rng.normal(size=(16, 16)) + inside
    mass, rank = mass_and_rank(heat, inside)
    assert np.isclose(mass, place.mass_accuracy([heat], [inside])[0]), (
        "the mass is off for a map of both signs: negative values are zero"
    )
    assert np.isclose(rank, place.rank_accuracy([heat], [inside])[0]), (
        "the rank is off: K is the number of pixels of this very place"
    )


# %% tags=["wrong"]
# counts relevance that speaks against as if it spoke for
def mass_and_rank(heat, where):
    size = np.abs(heat)
    strongest = np.argsort(-size, axis=None)[: where.sum()]
    return size[where].sum() / size.sum(), where.ravel()[strongest].mean()


# %% tags=["wrong"]
# takes the strongest tenth, whatever the size of the place
def mass_and_rank(heat, where):
    positive = np.clip(heat, 0, None)
    strongest = np.argsort(-heat, axis=None)[: heat.size // 10]
    mass = positive[where].sum() / positive.sum()
    return mass, where.ravel()[strongest].mean()


# %% [markdown] tags=["solution"]
# Random maps get a quarter in both, the share of the area: a map with half of its mass inside is twice as good as
# nothing, and a map with half of its mass on a place that fills half of the picture is as good as nothing. A number
# without its chance says neither.

# %% [markdown] tags=["instructor"]
# **Hint** `np.argsort(-heat, axis=None)` lists the pixels, strongest first.
#
# **Marking** 4 points: 1 positive part, 1 mass, 1 K from the place, 1 chance.
#
# **Common mistakes** Absolute values: what speaks against the decision is then found in the place, too.

# %% [markdown] tags=["exercise"]
# ```{exercise} Whatever its phase
# *Objective:* measure a wave whose phase is unknown · *hard* · 20 minutes
#
# A generator's trace does not start where you expect. Write `amplitude(plane, period)`: the amplitude of a wave
# along the columns $x$ of `plane` (H, W), of whatever phase, by least squares on a constant, a cosine and a sine.
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
x = np.arange(64)
scene = rng.normal(100, 5, (64, 64))


def wave(amplitude, period, phase):
    return amplitude * np.cos(2 * np.pi * (x + phase) / period)


# %% tags=["solution"]
def amplitude(plane, period):
    # BEGIN SOLUTION
    turn = 2 * np.pi * np.arange(plane.shape[1]) / period
    basis = np.stack([np.ones_like(turn), np.cos(turn), np.sin(turn)], 1)
    found = np.linalg.lstsq(basis, plane.mean(0), rcond=None)[0]
    return np.hypot(found[1], found[2])
    # END SOLUTION


# %% tags=["test"]
assert np.isclose(amplitude(scene + wave(8, 4, 0), 4), 8, atol=1), (
    "a wave of amplitude 8 was planted: is a factor of 2 missing?"
)
assert np.isclose(amplitude(scene + wave(8, 4, 1), 4), 8, atol=1), (
    "the same wave a quarter of a period later has the same amplitude: "
    "a cosine alone does not see it"
)

# %% tags=["hidden-test"]
for phase in np.linspace(0, 8, 9):
    measured = amplitude(scene + wave(6, 8, phase), 8)
    assert np.isclose(measured, 6, atol=1), f"off at the phase {phase:g}"
assert np.isclose(amplitude(7 + wave(3, 5, 0.4) * np.ones((2, 1)), 5), 3), (
    "64 columns are no multiple of the period 5: cosine, sine and the "
    "constant are not orthogonal then, and have to be fitted together"
)
assert amplitude(scene, 4) < 1, "without a trace there is next to nothing"


# %% tags=["wrong"]
# knows only waves that begin with a crest
def amplitude(plane, period):
    turn = 2 * np.pi * np.arange(plane.shape[1]) / period
    row = plane.mean(0) - plane.mean()
    return abs(row @ np.cos(turn)) / (np.cos(turn) @ np.cos(turn))


# %% tags=["wrong"]
# forgets that a Fourier sum has to be doubled
def amplitude(plane, period):
    turn = 2 * np.pi * np.arange(plane.shape[1]) / period
    row = plane.mean(0) - plane.mean()
    return np.abs((row * np.exp(1j * turn)).mean())


# %% [markdown] tags=["solution"]
# A wave of any phase is a cosine plus a sine, and its amplitude the length of the two. It is never negative, so a
# scene without a trace has a little of it, too: whoever reports such amplitudes needs pictures without the trace
# beside them. At a period of 2 the sine is zero on whole pixels, and only the phases 0 and 1 can be told apart.

# %% [markdown] tags=["instructor"]
# **Hint** $\cos(a + b) = \cos a \cos b - \sin a \sin b$: two unknown numbers, no unknown phase.
#
# **Marking** 5 points: 2 both waves, 1 constant, 1 length of the two, 1 why it is never below zero.
#
# **Common mistakes** Searching phases on a grid: it works, slowly, and to the grid's precision.
