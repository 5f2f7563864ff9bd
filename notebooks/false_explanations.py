# %% [markdown]
# # Catch the false explanation
#
# Ten explanations of one detector, on real pictures of this build. **Some are false.** None was made by accident:
# each is a way in which explanations go wrong in print, dressed up so that it cannot be told by looking at it. Say
# which are false, and of which kind, and prove it with the tools of this book.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
seeds = [0]
lab_seed = 1  # another seed has other answers
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import torch

from tff_core import figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import exam_forgeries as texts
from tff_core.exam import forgeries
from tff_core.features import pixels

chapter = Chapter(detector, ["progan"], seeds[:1], device=device, build=build)
parts = [
    chapter.validation(first=forgeries.PER_LABEL),
    chapter.test("progan", first=forgeries.PER_LABEL),
]

# %% [markdown]
# ## What is on the table
#
# **Idea.** An explanation is a claim about a network, and a claim can be checked. The best check is to make the
# thing again from what it says it was made of. Where that fails, ask what it was made of instead: only a forgery
# that you can make yourself has been understood.
#
# **What you have.** `lab.net` is the detector, ready for relevance, `lab.model` the same as it was trained,
# `lab.forgetful` a copy that has forgotten all it had learnt; `lab.x` and `lab.pictures` are the pictures that are
# explained, `lab.labels` their labels; `lab.validation` and `lab.test` the two parts, each with `pictures`,
# `labels` and `logits`; `lab.omega` and `lab.k` the ranking and how many maps count as top.

# %%
lab = forgeries.opened(
    chapter.trained().model, chapter.net(), chapter.spec.preprocessing,
    chapter.omega(), chapter.k,
    *((chapter.load(part, middle=True), part.labels) for part in parts),
)  # fmt: skip
exhibits = lab.exhibits(lab_seed)

# %% tags=["remove-input"]
say(texts.kinds())

# %% [markdown]
# ## The exhibits
#
# At least three are true. The random sets are `lab.omega.random(lab.k, seed)` for seeds from zero on; the random
# order is that of the method `random` of {doc}`chapter 19 </notebooks/19_faithful>`, with `lab.settings`; regions
# have `forgeries.PATCH` pixels a side; thresholds have the largest geometric mean of the two shares called right
# (`metrics.best_threshold`).

# %% tags=["remove-input"]
say(
    texts.claims(
        [tuple(one) for one in exhibits],
        lab.k,
        forgeries.DRAWS,
        forgeries.SHARES,
    )
)
seen = lab.pictures.permute(0, 2, 3, 1).numpy()
rows = {"picture": seen}
for one in exhibits:
    if one.about == forgeries.HEATMAPS:
        heat = np.clip(one.shown["maps"], 0, None)
        most = np.quantile(heat, 0.995) or 1  # of all its pictures together
        rows[one.letter] = pixels.overlay(seen, (heat / most).clip(0, 1))
figures.show(
    figures.pictures(
        rows,
        text="The explained pictures, and the heat maps of the exhibits; "
        "one scale for each row.",
    )
)

# %% tags=["remove-input"]
for one in exhibits:
    if one.about == forgeries.PARTS:
        figures.show(
            figures.pictures(
                {
                    f"{one.letter}, {name}": some.permute(0, 2, 3, 1).numpy()
                    for name, some in one.shown.items()
                },
                text=f"The two parts of exhibit {one.letter}.",
                columns=16,
            )
        )

# %% [markdown]
# ## Your answers
#
# Write a word of the table above for each letter. The answers are kept as sealed sums: a cell can tell whether a
# word is right, and nobody reads them by accident. Trying all words is possible and proves nothing; the exercises
# below put your *proofs* to exhibits that you have not seen.

# %%
answers = dict.fromkeys("ABCDEFGHIJ", "")
right = forgeries.check(answers, lab.seals(lab_seed))

# %% tags=["remove-input"]
say(texts.checked(right, answers, {o.letter: o.about for o in exhibits}))

# %% [markdown]
# ## What it means, and what it does not
#
# - Every kind of forgery here has an innocent twin: a wrong index, a control drawn once, a folder that was copied.
#   The proofs do not ask about intentions.
# - An exhibit that is true is only what it says it is. Whether relevance by the z+ rule is *faithful* is the
#   question of {doc}`chapter 19 </notebooks/19_faithful>`.
# - Here the detector and the pictures are at hand. For most explanations in print they are not, and then none of
#   these proofs can be made: that is what published weights, seeds and lists of pictures are for.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - reproduce an explanation, and say in which respect it differs if it does;
# - name what a false heat map was made of, by making it again;
# - recompute a control, a threshold and a mean from all that they should be made of;
# - find pictures that are in two parts at once.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Make it again
# *Objective:* check a heat map by reproducing it · *easy* · 15 minutes
#
# Write `reproduced(maps)`: whether heat maps (N, H, W) are the relevance of the pixels, summed over the channels,
# of `lab.net` for `lab.x`, in the order of the pixels *and* in what each map adds up to.
# ```


# %% tags=["solution", "in-chapter"]
def reproduced(maps):
    # BEGIN SOLUTION
    own = pixels.relevance(lab.net, lab.x).sum(1).double().cpu().numpy()
    order = pixels.likeness(own, maps)
    sums = np.allclose(own.sum((1, 2)), maps.sum((1, 2)), rtol=0.01)
    return bool((order > 0.99).all() and sums)
    # END SOLUTION


# %% tags=["test", "in-chapter"]
mine = pixels.relevance(lab.net, lab.x).sum(1).double().cpu().numpy()
assert reproduced(mine), "relevance of these pictures has to pass"
assert not reproduced(mine[::-1]), (
    "the maps were shown beside other pictures: compare picture by picture"
)
assert not reproduced(2 * mine), (
    "every map is twice what it should be: the order of the pixels alone "
    "does not see that; what do the maps add up to?"
)

# %% tags=["hidden-test", "in-chapter"]
for one, kind in lab.examples(forgeries.HEATMAPS):
    assert reproduced(one.shown["maps"]) == (kind == "true"), (
        f"an exhibit that is {kind!r} is judged wrongly: both the order of "
        "the pixels and the sums count"
    )


# %% tags=["wrong", "in-chapter"]
# looks at the order of the pixels alone
def reproduced(maps):
    own = pixels.relevance(lab.net, lab.x).sum(1).double().cpu().numpy()
    return bool((pixels.likeness(own, maps) > 0.99).all())


# %% tags=["wrong", "in-chapter"]
# looks at what the maps add up to alone
def reproduced(maps):
    own = pixels.relevance(lab.net, lab.x).sum(1).double().cpu().numpy()
    return np.allclose(own.sum((1, 2)), maps.sum((1, 2)), rtol=0.01)


# %% [markdown] tags=["solution"]
# Two properties, two checks: ranks say which pixel is before which, sums how much there is. A forgery that keeps one
# of them fails by the other. The sums of relevance are those of the rule, the logit less the last layer's bias.

# %% [markdown] tags=["instructor"]
# **Hint** `pixels.likeness` for the order, `.sum((1, 2))` for the sums.
#
# **Marking** 3 points: 1 relevance, 1 order, 1 sums. For the answers of this seed: `lab.key(lab_seed)`; another
# `lab_seed` has others, so give each group its own.
#
# **Common mistakes** One correlation over all pictures together.

# %% [markdown] tags=["exercise"]
# ```{exercise} What is it made of?
# *Objective:* name the source of a false heat map by making it again · *medium* · 20 minutes
#
# Write `source(maps)`: the word of the table for heat maps. Candidates are relevance of these pictures, of the
# pictures in another order (each map beside the next picture), of `lab.forgetful`, and the edges of `lab.pictures`.
# Which one has the *same* order of pixels? And if it is the right one: do the sums agree?
# ```

# %% tags=["exercise", "in-chapter"]
own, forgetful = (
    pixels.relevance(net, lab.x).sum(1).double().cpu().numpy()
    for net in (lab.net, lab.forgetful)
)


# %% tags=["solution", "in-chapter"]
def source(maps):
    # BEGIN SOLUTION
    candidates = {
        "true": own,
        "other pictures": np.roll(own, 1, axis=0),
        "another network": forgetful,
        "edges": pixels.edges(lab.pictures),
    }
    alike = {k: pixels.likeness(maps, m).mean() for k, m in candidates.items()}
    found = max(alike, key=alike.get)
    sums = np.allclose(own.sum((1, 2)), maps.sum((1, 2)), rtol=0.01)
    return found if found != "true" or sums else "another scale"
    # END SOLUTION


# %% tags=["test", "in-chapter"]
assert source(own) == "true", "relevance of these pictures is true"
assert source(np.roll(own, 1, axis=0)) == "other pictures", (
    "each map stands beside the next picture: which candidate is that?"
)
assert source(own / 7) == "another scale", (
    "the order is right and the sums are not: another scale"
)

# %% tags=["hidden-test", "in-chapter"]
for one, kind in lab.examples(forgeries.HEATMAPS):
    assert source(one.shown["maps"]) == kind, (
        f"an exhibit of the kind {kind!r} is called "
        f"{source(one.shown['maps'])!r}: which candidate is reproduced?"
    )


# %% tags=["wrong", "in-chapter"]
# whatever is not relevance of these pictures must be edges
def source(maps):
    return "true" if pixels.likeness(own, maps).mean() > 0.99 else "edges"


# %% tags=["wrong", "in-chapter"]
# finds the candidate, and never looks at the scale
def source(maps):
    alike = {
        "true": pixels.likeness(maps, own).mean(),
        "other pictures": pixels.likeness(maps, np.roll(own, 1, 0)).mean(),
        "edges": pixels.likeness(maps, pixels.edges(lab.pictures)).mean(),
    }
    return max(alike, key=alike.get)


# %% [markdown] tags=["solution"]
# Maps of different origin may resemble each other: relevance of a forgetful network often does, which is what
# {doc}`chapter 17 </notebooks/17_does_it_depend>` is about. So no threshold on likeness names a source; the
# candidate that is *reproduced* does, its correlation being one up to ties.

# %% [markdown] tags=["instructor"]
# **Hint** Compute all candidates first, then take the one that is most alike.
#
# **Marking** 5 points, one for each word.
#
# **Common mistakes** "Correlates with edges, so it is edges": true relevance does so, too, on some pictures.

# %% [markdown] tags=["exercise"]
# ```{exercise} Draw it again
# *Objective:* check a control by recomputing all of its draws · *medium* · 15 minutes
#
# `falls()` gives how far the mean logit of the explained fakes falls without each of the random sets. Write
# `control(shown)` for an exhibit about the random control: `"true"` if its `control` is what it is said to be, else
# `"best draw"`.
# ```

# %% tags=["exercise", "in-chapter"]
from functools import cache

from tff_core.features.dropout import fold_dropout


@cache
def falls():
    x = lab.x[torch.from_numpy(lab.labels == 1)]
    means = []
    for seed in range(forgeries.DRAWS):
        net = fold_dropout(lab.net, lab.omega.random(lab.k, seed))
        means.append(float((lab.net(x) - net(x)).mean()))
    return np.array(means)


# %% tags=["solution", "in-chapter"]
def control(shown):
    # BEGIN SOLUTION
    fell = falls()
    to_mean = abs(shown["control"] - fell.mean())
    to_best = abs(shown["control"] - fell.min())
    return "true" if to_mean < to_best else "best draw"
    # END SOLUTION


# %% tags=["test", "in-chapter"]
fell = falls()
assert control({"top": 0.0, "control": fell.mean()}) == "true", (
    "the mean of all draws is what the exhibit says it shows"
)
assert control({"top": 9.0, "control": fell.min()}) == "best draw", (
    "the draw that falls least makes the top maps look best"
)

# %% tags=["hidden-test", "in-chapter"]
for one, kind in lab.examples(forgeries.CONTROL):
    assert control(one.shown) == kind, (
        f"a control that is {kind!r} is judged wrongly: compare with the "
        "mean of the draws, and with the smallest"
    )


# %% tags=["wrong", "in-chapter"]
# believes every control that falls less than the top maps
def control(shown):
    return "true" if shown["control"] < shown["top"] else "best draw"


# %% tags=["wrong", "in-chapter"]
# believes no control that is not the first draw
def control(shown):
    same = np.isclose(shown["control"], falls()[0], rtol=1e-3)
    return "true" if same else "best draw"


# %% [markdown] tags=["solution"]
# A control is a distribution, and one draw of it can be anywhere in it. Which draw was taken cannot be seen from its
# value; it is seen when all of them are drawn again. That needs their seeds, which is why this book writes them down.

# %% [markdown] tags=["instructor"]
# **Hint** Two candidates: which one is nearer?
#
# **Marking** 3 points: 2 both candidates computed, 1 decision.
#
# **Discuss** How would you catch it if the seeds were not given? (By how unlikely such a draw is.)

# %% [markdown] tags=["exercise"]
# ```{exercise} In both parts
# *Objective:* find pictures that are in two parts, saved again in between · *medium* · 20 minutes
#
# Write `shared(calibration, test)` for pictures uint8 (M, 3, H, W): how many of the test pictures show what a
# calibration picture shows. Saved again by JPEG, a picture has other bytes in nearly every pixel; scenes that are
# only similar do not count. What do two copies share that two similar scenes do not?
# ```


# %% tags=["solution", "in-chapter"]
def shared(calibration, test):
    # BEGIN SOLUTION
    def fine(pictures):
        luma = pictures.double().mean(1, keepdim=True)
        around = torch.nn.functional.avg_pool2d(luma, 5, 1, 2)
        flat = (luma - around)[:, 0, 3:-3, 3:-3].flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        return flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-9)

    alike = fine(test) @ fine(calibration).T
    return int((alike.amax(1) > 0.7).sum())
    # END SOLUTION


# %% tags=["test", "in-chapter"]
one, two = lab.validation.pictures, lab.test.pictures
assert shared(one, two) == 0, (
    "these two parts share nothing: do similar scenes count as the same?"
)
moved = two.clone()
moved[[0, 3]] = one[[5, 1]]
assert shared(one, moved) == 2, (
    "two calibration pictures stand among the test pictures, in other "
    "places: compare each with each"
)

# %% tags=["hidden-test", "in-chapter"]
for seed in range(2):
    again = forgeries.leaked(lab, seed)
    found = shared(one, again)
    right = int((again != two).flatten(1).any(1).sum())
    assert found == right, (
        f"{found} pictures are found in both parts where {right} are: they "
        "were saved again, so that hardly any byte is the same"
    )


# %% tags=["wrong", "in-chapter"]
# compares bytes, which saving again changes
def shared(calibration, test):
    known = {picture.numpy().tobytes() for picture in calibration}
    return sum(picture.numpy().tobytes() in known for picture in test)


# %% tags=["wrong", "in-chapter"]
# compares only pictures that stand in the same place
def shared(calibration, test):
    pairs = zip(calibration.double(), test.double(), strict=True)
    return sum(float((a - b).abs().mean()) < 4 for a, b in pairs)


# %% [markdown] tags=["solution"]
# Two copies share their grain; two similar scenes share at most what is coarse. Without it, copies correlate at
# nearly one and all other pairs hardly at all, so the border between them is easy to draw. It has to be drawn before
# looking at the accuracy that one hopes for.

# %% [markdown] tags=["instructor"]
# **Hint** Take off a local mean, then correlate each with each.
#
# **Marking** 4 points: 2 what is fine, 1 each with each, 1 a border with its reason.
#
# **Common mistakes** Hashes of files: one more saving, and they find nothing.

# %% [markdown] tags=["exercise"]
# ```{exercise} The verdict
# *Objective:* judge ten explanations, and be right for a reason · *hard* · 30 minutes
#
# Write `verdict(exhibit)`: the word for an exhibit about a threshold, curves or a mean (`exhibit.about`,
# `exhibit.shown`). With your functions for the others it answers the whole lab: fill in `answers` above.
# ```

# %% tags=["exercise", "in-chapter"]
from tff_core import metrics
from tff_core.exam import flipping, methods

own = pixels.relevance(lab.net, lab.x).sum(1).double().cpu().numpy()


def heights(maps, **how):
    """Mean logit of the decision while regions go, in the order of maps."""
    when = flipping.order(torch.as_tensor(maps), forgeries.PATCH, **how)
    fill, shares = flipping.mean_colour(lab.x), forgeries.SHARES
    found = flipping.curve(lab.model, lab.x, when.to(lab.x), shares, fill)
    return (np.where(found[:, :1] < 0, -1, 1) * found).mean(0)


# %% tags=["solution", "in-chapter"]
def verdict(exhibit):
    # BEGIN SOLUTION
    shown = exhibit.shown
    if exhibit.about == "threshold":
        both = [metrics.best_threshold(part.labels, part.logits)
                for part in (lab.validation, lab.test)]  # fmt: skip
        told, false = shown["threshold"], "tuned on the test"
    elif exhibit.about == "a mean":
        edges = pixels.edges(lab.pictures)
        each = np.sort(pixels.likeness(own, edges))
        both = [each.mean(), each[: len(each) // 2].mean()]
        told, false = shown["value"], "best pictures"
    else:
        chance = methods.build(lab.model, ["random"], lab.settings)
        both = [heights(chance["random"](lab.x)),
                heights(own, least_first=True)]  # fmt: skip
        told, false = shown["control"], "straw man"
    honest, forged = (np.abs(one - told).max() for one in both)
    return "true" if honest < forged else false
    # END SOLUTION


# %% tags=["test", "in-chapter"]
words = {verdict(o) for o in exhibits if o.about in ("threshold", "curves")}
known = {"true", "tuned on the test", "straw man"}
assert words <= known, f"{words - known} are no words for these exhibits"
numbers = {o.letter: verdict(o) for o in exhibits
           if o.about in ("threshold", "curves", "a mean")}  # fmt: skip
good = forgeries.check(numbers, lab.seals(lab_seed))
assert all(good.values()), (
    f"{sum(good.values())} of {len(good)} verdicts are right: compute what "
    "an honest and a false exhibit would show, and see which it is nearer"
)

# %% tags=["hidden-test", "in-chapter"]
for about in ("threshold", "curves", "a mean"):
    for one, kind in lab.examples(about):
        assert verdict(one) == kind, (
            f"an exhibit about {about} that is {kind!r} is judged wrongly: "
            "recompute it from all that it should be made of"
        )


# %% tags=["wrong", "in-chapter"]
# believes all that looks plausible
def verdict(exhibit):
    return "true"


# %% tags=["wrong", "in-chapter"]
# suspects everything, and computes nothing
def verdict(exhibit):
    false = {"threshold": "tuned on the test", "curves": "straw man"}
    return false.get(exhibit.about, "best pictures")


# %% [markdown] tags=["solution"]
# In each case the number is computed twice, as it should have been made and as it would have been forged. The
# exhibit is nearer to one of the two by orders of magnitude. Suspicion alone is right about the false ones, trust
# alone about the true ones; both are as good as not having looked.

# %% [markdown] tags=["instructor"]
# **Hint** Two candidates for each, as for the random control.
#
# **Marking** 6 points: 2 for each subject. 4 more for ten right answers with their proofs.
#
# **Discuss** Which of the ten could you have told without the network?
#
# **Common mistakes** Tolerances: compare with both candidates instead of with one and a guess.
