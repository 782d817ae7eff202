"""Verdicts: of made-up pairs, of a made-up study, and what the published runs say."""

import json
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from kancore.analysis.statistics import over_seeds, summarize_runs
from kancore.analysis.tables import VERDICTS
from kancore.claims.choices import Choice, changed
from kancore.claims.comparisons import Evidence, measured
from kancore.claims.declared import (
    BEST,
    CLAIMS,
    FEWEST_TESTED,
    OTHER,
    THRESHOLDS,
    Claim,
    Part,
)
from kancore.claims.statements import HYPOTHESIS, TOPICS, Statement
from kancore.claims.verdicts import judge, tabulate
from kancore.intrinsic_dimension.estimates import paper_dimensions

FOLDER = Path(__file__).parents[3] / "published"
FIGURES = pd.read_csv(FOLDER / "accuracies.csv")
DIMENSIONS = paper_dimensions(pd.read_csv(FOLDER / "intrinsic_dimension.csv"))
PUBLISHED = pd.read_csv(FOLDER / "comparisons.csv")
SO = Statement("It is so.", (("so", "7"),))
# Its tables are empty: made-up tests bring their own pairs.
STUDY = Evidence(*3 * [pd.DataFrame()])


def part(differences, seeds=3, **bounds):
    """A test of these differences, those of even number on one data set, the others on another."""
    places = np.arange(len(differences))
    names = np.where(places % 2, "one", "two").tolist()
    columns = {"dataset": names, "seed": places // 2 % seeds, "difference": differences}
    pairs = pd.DataFrame(columns).astype({"difference": float})
    return Part("a - b", lambda evidence: pairs, **bounds)


def verdict(*parts):
    (found,) = judge(STUDY, claims=[Claim("C0", SO, "pairs", parts)], other=changed(STUDY))
    return found


SPREAD = np.linspace(-0.01, 0.01, 20)


@pytest.mark.parametrize(
    ("differences", "bounds", "expected"),
    [
        (SPREAD, {"above": -0.02, "below": 0.02}, "supported"),
        (SPREAD + 0.05, {"above": -0.02, "below": 0.02}, "contradicted"),
        (SPREAD - 0.05, {"above": -0.02, "below": 0.02}, "contradicted"),
        (SPREAD + 0.02, {"above": -0.02, "below": 0.02}, "inconclusive"),
        (SPREAD + 0.03, {"above": 0}, "supported"),
        (SPREAD - 0.03, {"above": 0}, "contradicted"),
        (SPREAD, {"above": 0}, "inconclusive"),
        (SPREAD - 0.03, {"below": 0}, "supported"),
        (np.ones(300), {"above": 0.9, "summary": "share"}, "supported"),
        (SPREAD, {"above": 0.9, "summary": "share"}, "contradicted"),
        (np.ones(FEWEST_TESTED - 1), {"above": 0}, "not tested"),
        ([], {"above": 0}, "not tested"),
    ],
)
def test_the_whole_interval_decides(differences, bounds, expected):
    found = verdict(part(differences, **bounds))
    assert found["verdict"] == found["parts"][0]["verdict"] == expected
    assert (found["reason"] is None) == (expected != "not tested")


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_suggest_and_doubt(seeds):
    good, bad = part(SPREAD + 0.03, seeds, above=0), part(SPREAD - 0.03, seeds, above=0)
    unclear, firm = part(SPREAD, seeds, above=0), part(SPREAD + 0.03, above=0)
    assert verdict(good)["verdict"] == "suggested"
    assert verdict(bad)["verdict"] == "doubted"
    assert verdict(unclear)["verdict"] == "inconclusive"
    assert verdict(firm, good)["verdict"] == "suggested"
    assert verdict(firm, bad, unclear)["verdict"] == "doubted"
    assert verdict(part(SPREAD - 0.03, above=0), bad)["verdict"] == "contradicted"
    found = verdict(good)["parts"][0]
    assert found["seeds"] == seeds
    assert found["effect"] == pytest.approx(0.03)
    assert all(found[name] is None for name in ("effect_low", "effect_high", "p", "p_holm"))
    assert found["corrected"] == "suggested"  # there is no p value to adjust


def test_seeds_that_agree_exactly_decide_nothing():
    """Two data sets and three seeds with differences of 1e-6 were supported, with p = 0."""
    for differences in (np.full(6, 1e-6), np.full(6, -0.0463)):
        claim = verdict(part(differences, above=0))
        (found,) = claim["parts"]
        assert claim["verdict"] == claim["corrected"] == "inconclusive"
        assert found["effect"] == pytest.approx(differences[0])
        assert all(found[name] is None for name in ("effect_low", "effect_high", "p", "p_holm"))
    few = verdict(part(np.full(6, 1e-6), seeds=1, above=0))
    assert few["verdict"] == "inconclusive"


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_single_pair_is_not_tested(seeds):
    found = verdict(part([0.01], seeds, above=0))["parts"][0]
    assert (found["verdict"], found["effect"], found["p"]) == ("not tested", 0.01, None)
    assert found["effect_low"] is found["share_low"] is None


def test_a_share_of_all_pairs_is_as_sure_as_one_pair_more_leaves_it():
    """Then the seeds of one data set have shares of 1, 1 and m / (m + 1): Student's interval."""
    for count, expected in ((5, "inconclusive"), (100, "supported")):
        pairs = pd.DataFrame({"dataset": "one", "seed": np.arange(3 * count) % 3})
        pairs["difference"] = 0.01
        test = Part("a", lambda known, own=pairs: own, above=0.9, summary="share")
        (found,) = judge(STUDY, claims=[Claim("C0", SO, "pairs", (test,))], other=changed(STUDY))
        result = found["parts"][0]
        assert (found["verdict"], result["share"], result["share_high"]) == (expected, 1.0, 1.0)
        low = ttest_1samp([1, 1, count / (count + 1)], 0).confidence_interval(0.95).low
        assert 1 - result["share_low"] == pytest.approx(1 - low, rel=0.1)
        assert 0 < result["p"] < 1


def test_pairs_of_one_seed_that_agree_are_one_observation():
    """Seeds that disagree leave open what many schemes of one of them would suggest."""
    differences = np.repeat([0.03, 0.03, -0.02, -0.02, 0.02, 0.02], 10).reshape(6, 10)
    by_seed = differences.T.flatten()  # in turn: two data sets of each of three seeds
    assert verdict(part(by_seed, seeds=1, above=0))["verdict"] == "suggested"
    assert verdict(part(by_seed, above=0))["verdict"] == "inconclusive"


def test_a_claim_of_several_tests():
    good, bad = part(SPREAD + 0.03, above=0), part(SPREAD - 0.03, above=0)
    unclear, missing = part(SPREAD, above=0), part([], above=0)
    assert verdict(good, good)["verdict"] == "supported"
    assert verdict(good, unclear)["verdict"] == "inconclusive"
    assert verdict(unclear, bad, good)["verdict"] == "contradicted"
    some = verdict(good, missing)
    assert some["verdict"] == "supported"
    assert some["reason"].startswith("Not tested, for fewer than 3 pairs: a - b: 0 pairs")


def test_a_result_says_all_that_it_rests_on():
    found = verdict(part([0.1, 0.2, 0.3, 0.4, -0.1, 0.2], above=0))["parts"][0]
    assert found["pairs"] == 6
    assert (found["above"], found["below"]) == (0, None)
    assert found["effect"] == pytest.approx((0.1 + 0.2 + 0.2 + 0.3) / 4)
    assert found["effect_low"] < found["effect"] < found["effect_high"]
    assert found["share"] == pytest.approx(5 / 6)
    assert found["by_dataset"]["two"]["pairs"] == 3
    assert found["by_dataset"]["two"]["effect"] == pytest.approx((0.1 + 0.3 - 0.1) / 3)
    assert found["published"] is None


@pytest.fixture(scope="module")
def both(make_history):
    """Runs under both objectives; the gaps of the made-up evaluations are all alike but for this.

    Seeds that agree exactly would decide nothing.
    """
    runs = summarize_runs(make_history(objectives=("backprop", "hsic"), seeds=(0, 1, 2)))
    noise = np.random.default_rng(0).normal(0, 0.001, len(runs))
    return runs.assign(generalization_gap=runs["generalization_gap"] + noise)


@pytest.fixture(scope="module")
def verdicts(both, follow_ups):
    found = judge(measured(both, follow_ups, DIMENSIONS), PUBLISHED)
    return {claim["name"]: claim for claim in found}


@pytest.mark.slow
def test_a_made_up_study_has_the_verdicts_that_it_was_made_for(verdicts):
    assert list(verdicts) == [f"C{number}" for number in range(1, 30)]
    found = {name: claim["verdict"] for name, claim in verdicts.items()}
    assert found["C1"] == "contradicted"  # KANs were made 3 points worse
    assert found["C2"] == "suggested"  # by three pairs of each data set
    assert verdicts["C2"]["parts"][-1]["verdict"] == "supported"
    assert found["C3"] == found["C24"] == "supported"  # and to overfit twice as fast
    assert found["C4"] == "contradicted"  # high rates are better in it
    assert found["C7"] == "suggested"  # by follow-ups of fewer seeds
    assert found["C8"] == "suggested"
    assert found["C20"] == "supported"
    assert found["C28"] == "contradicted"
    c6 = verdicts["C6"]["parts"][0]
    assert c6["effect"] == pytest.approx(-0.04, abs=0.005)
    assert c6["verdict"] == "supported"


@pytest.mark.slow
def test_verdicts_are_plain_and_the_same_each_time(make_history, follow_ups):
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=(0, 1, 2)))
    claims = [claim for claim in CLAIMS if claim.name in ("C1", "C3", "C5", "C8")]
    known = [measured(runs, follow_ups, DIMENSIONS) for _ in range(2)]
    found = (judge(each, PUBLISHED, claims, changed(each)) for each in known)
    one, other = (json.dumps(each, allow_nan=False) for each in found)
    assert one == other


def test_what_a_study_does_not_contain_is_not_tested(runs):
    only_mlp = runs[runs["model"] == "mlp"]
    found = judge(measured(only_mlp, runs.iloc[:0], DIMENSIONS), PUBLISHED)
    assert {claim["verdict"] for claim in found} == {"not tested"}
    assert all(claim["reason"] for claim in found)


def test_a_study_that_diverged_is_not_tested(runs):
    at_once = runs.assign(diverged=True, test_accuracy=np.nan, validation_accuracy=np.nan)
    evidence = measured(at_once, at_once.iloc[:0], DIMENSIONS)
    found = judge(evidence, PUBLISHED)
    assert {claim["verdict"] for claim in found} == {"not tested"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claim", "part", "effect", "pairs"),
    [
        ("C1", 0, None, 15),
        ("C2", 1, 0.8987 - 0.8772, 1),
        ("C2", 4, 0.7106 - 0.7307, 1),
        ("C6", 0, None, 9),
        ("C4", 2, None, 6),  # Adam, of large KANs
        ("C9", 0, None, 60),
        ("C12", 0, None, 207),
    ],
)
def test_published_runs_own_effect_stands_beside(verdicts, claim, part, effect, pairs):
    known = verdicts[claim]["parts"][part]["published"]
    assert known["pairs"] == pairs
    if effect is not None:
        assert known["effect"] == pytest.approx(effect, abs=1e-4)  # figures have four digits


def test_published_effect_of_c2_is_that_of_the_table(verdicts):
    """Of wide networks of MNIST those that are published have 1.4 times the parameters."""
    wide = [0.5613 - 0.5416, 0.8987 - 0.8772, 0.8649 - 0.8631]
    parts = verdicts["C2"]["parts"]
    assert parts[0]["published"] is None
    assert parts[-1]["published"]["effect"] == pytest.approx(sum(wide) / 3, abs=1e-4)
    assert parts[-1]["published"]["words_hold"]
    assert not parts[4]["published"]["words_hold"]  # 2.01 points below, where 2 are comparable


def test_our_numbers_and_the_papers_words_are_told_apart():
    """The published effect lies in our interval, beside it, or beyond the bound."""
    found = {}
    own = pd.DataFrame({"dataset": "one", "seed": range(20), "difference": SPREAD + 0.03})
    test = Part("a - b", lambda known: own, above=0)
    for value in (0.031, 0.001, -0.01):
        row = {"claim": "C0", "question": "a - b", "pairs": 1, "effect": value, "share": 1.0}
        (claim,) = judge(STUDY, pd.DataFrame([row]), [Claim("C0", SO, "pairs", (test,))])
        known = claim["parts"][0]["published"]
        found[value] = known["numbers"], known["words_hold"]
    assert found == {
        0.031: ("agree", True),
        0.001: ("same side", True),
        -0.01: ("other side", False),
    }


def test_a_hypothesis_is_answered_and_not_contradicted():
    posed = Statement("It may be so.", (("may be so", "5.2"),), HYPOTHESIS)
    for shift, words in ((-0.03, "answered: no"), (0.03, "answered: yes"), (0, "open")):
        (found,) = judge(
            STUDY, claims=[Claim("C0", posed, "pairs", (part(SPREAD + shift, above=0),))]
        )
        assert (found["words"], found["kind"]) == (words, "hypothesis")
    assert verdict(part(SPREAD - 0.03, above=0))["words"] == "contradicted"


def test_a_negligible_difference_is_none_and_turns_no_sign():
    """The interval is within a twentieth of a point of zero."""
    tiny = part(SPREAD / 40, above=0, negligible=0.005)
    (found,) = verdict(tiny)["parts"]
    assert (found["verdict"], found["nothing"]) == ("contradicted", True)
    assert 0 < found["p"] < 0.05
    (open_,) = verdict(part(SPREAD / 40, above=0))["parts"]
    assert (open_["verdict"], open_["nothing"]) == ("inconclusive", False)
    # One data set has a clear difference, the other none: that is no other sign.
    places = np.arange(40)
    mixed = np.where(places % 2, 0.05, 0.0) + 0.0002 * np.sin(places)
    (found,) = verdict(part(mixed, above=0, negligible=0.005))["parts"]
    assert {each["verdict"] for each in found["by_dataset"].values()} == {
        "supported",
        "contradicted",
    }
    assert found["turns_on"] == []


def test_a_test_whose_sign_turns_with_the_data_set_depends_on_it():
    places = np.arange(40)
    turning = np.where(places % 2, 0.03, -0.03) + 0.002 * np.sin(places)
    claim = verdict(part(turning, above=0))
    (found,) = claim["parts"]
    assert claim["verdict"] == claim["words"] == found["verdict"] == "depends"
    by_name = {each["setting"]: each for each in found["turns_on"]}
    assert {name: each["verdict"] for name, each in by_name.items()} == {
        "one": "supported",
        "two": "contradicted",
    }
    assert by_name["one"]["value"] == pytest.approx(0.03, abs=0.002)
    # One test that is contradicted throughout decides all the same.
    assert verdict(part(turning, above=0), part(SPREAD - 0.03, above=0))["verdict"] == (
        "contradicted"
    )
    assert verdict(part(turning, above=0), part(SPREAD, above=0))["verdict"] == "depends"


def test_a_test_whose_sign_turns_with_more_choices_depends_on_them():
    """After half the epochs all pairs say the opposite; a choice for other tests is not made."""
    test = Part("a", lambda known: known.runs, above=0)
    early = part(SPREAD - 0.03, above=0).compare(STUDY)
    late = part(SPREAD + 0.03, above=0).compare(STUDY)
    study, cut = (Evidence(pairs, *2 * [pd.DataFrame()]) for pairs in (late, early))
    claims = [Claim("C0", SO, "pairs", (test,))]
    for over, verdict_ in ((OTHER, "supported"), (BEST, "depends")):
        choice = Choice("budget", "0.5", (over,), lambda _: cut)
        (claim,) = judge(study, claims=claims, other=changed(study, [choice]))
        (found,) = claim["parts"]
        assert (claim["verdict"], found["declared"]) == (verdict_, "supported")
    told = {(each["choice"], each["setting"]): each["verdict"] for each in found["turns_on"]}
    assert told["budget", "0.5"] == "contradicted"
    assert told["alone", "one"] == "supported"


def test_a_test_whose_sign_turns_without_a_data_set_depends_on_it():
    """One of five data sets outweighs the others, none of which decides anything alone."""
    places = np.arange(180)
    names = np.where(places < 108, "large", (places % 4).astype(str))
    seeds = places // 4 % 3
    noise = 0.005 * (seeds - 1) * np.where(places % 2, 1, -1)
    shift = np.where(places < 108, 0.02, noise - 0.01) + 0.0004 * np.sin(places)
    table = {"dataset": names, "seed": seeds, "difference": shift}
    test = Part("a", lambda known: pd.DataFrame(table), above=0)
    (claim,) = judge(STUDY, claims=[Claim("C0", SO, "pairs", (test,))], other=changed(STUDY))
    (found,) = claim["parts"]
    told = {(each["choice"], each["setting"]): each["verdict"] for each in found["turns_on"]}
    assert (claim["verdict"], found["declared"]) == ("depends", "supported")
    assert told["without", "large"] == "contradicted"
    assert {found["by_dataset"][name]["verdict"] for name in "0123"} == {"inconclusive"}


def test_each_data_set_has_its_interval():
    """That of its pairs alone, and none where they are few."""
    (found,) = verdict(part(SPREAD + 0.03, above=0))["parts"]
    alone = found["by_dataset"]["one"]
    (own,) = verdict(part(np.repeat((SPREAD + 0.03)[1::2], 2), above=0))["parts"]
    assert alone["effect_low"] < alone["effect"] < alone["effect_high"]
    assert alone["seeds"] == 3
    assert alone["effect"] == pytest.approx(own["effect"], abs=0.002)
    (found,) = verdict(part((SPREAD + 0.03)[:8], above=0))["parts"]
    assert found["by_dataset"]["one"]["effect_low"] is None
    assert found["by_dataset"]["one"]["verdict"] == "suggested"


@pytest.mark.slow
def test_a_test_whose_sign_turns_with_the_schemes_depends_on_them(make_history):
    """Gaps of KANs are larger by Adam and smaller by SGD, on every data set."""
    runs = summarize_runs(make_history(datasets=("mnist", "cifar10"), seeds=(0, 1, 2)))
    random = np.random.default_rng(0)
    side = runs["optimizer"].map({"adam": 0.02, "sgd": -0.03, "sgd_momentum": -0.03})
    gaps = side.where(runs["model"] == "kan", 0.0) + random.normal(0, 0.001, len(runs))
    evidence = measured(runs.assign(generalization_gap=gaps), runs.iloc[:0], DIMENSIONS)
    (claim,) = judge(
        evidence, PUBLISHED, [claim for claim in CLAIMS if claim.name == "C3"], changed(evidence)
    )
    effect, share = claim["parts"]
    assert effect["verdict"] == "depends"
    found = {(each["choice"], each["setting"]): each["verdict"] for each in effect["turns_on"]}
    assert found["optimizer", "adam"] == "supported"
    assert found["optimizer", "sgd"] == found["optimizer", "sgd_momentum"] == "contradicted"
    assert found["learning_rate", "0.005"] == "contradicted"
    assert claim["verdict"] in ("contradicted", "depends")
    assert share["summary"] == "share"


def test_seeds_to_decide_have_the_power_that_is_asked():
    """Student's test of so many seeds, simulated, decides four times in five."""
    effect, deviation = 0.01, 0.012
    seeds = np.array([-1.0, 0.0, 1.0]) * deviation + effect  # of this standard deviation
    pairs = pd.DataFrame({"dataset": "one", "seed": np.arange(6) % 3})
    pairs["difference"] = np.tile(seeds, 2)
    test = Part("a", lambda known: pairs, above=0)
    (claim,) = judge(STUDY, claims=[Claim("C0", SO, "pairs", (test,))], other=changed(STUDY))
    needed = claim["parts"][0]["seeds_needed"]
    random = np.random.default_rng(0)

    def power(count):
        sample = random.normal(effect, deviation, (20_000, count))
        return (ttest_1samp(sample, 0, axis=1).pvalue < 0.05).mean()

    assert claim["verdict"] == "inconclusive"
    assert power(needed) >= 0.79
    assert power(needed - 1) < 0.8
    (decided,) = verdict(part(SPREAD + 0.03, above=0))["parts"]
    assert decided["seeds_needed"] is None


def test_published_figures_are_whole():
    runs = FIGURES[FIGURES["source"] == "published runs"]
    assert len(runs) == 45
    assert len(FIGURES) - len(runs) == 3 * 6
    assert runs[["best", "median"]].stack().between(0.4, 1).all()
    assert (runs["best"] >= runs["median"]).all()


def test_declarations():
    for claim in CLAIMS:
        assert claim.parts
        for declared in claim.parts:
            assert declared.above < declared.below
            assert (declared.above, declared.below) != (-inf, inf)
    assert THRESHOLDS["comparable"] == 0.02


@pytest.mark.parametrize("bounds", [{"above": 0}, {"below": 0}, {"above": -0.02, "below": 0.02}])
@pytest.mark.parametrize("summary", ["effect", "share"])
def test_p_values_are_below_the_level_where_the_interval_decides(bounds, summary):
    random = np.random.default_rng(5)
    if summary == "share":
        bounds = {end: value + 0.5 for end, value in bounds.items()}
    for shift in np.linspace(-0.03, 0.03, 13):
        differences = random.normal(shift, 0.01, 24)
        result = verdict(part(differences, summary=summary, **bounds))["parts"][0]
        assert (result["verdict"] != "inconclusive") == (result["p"] < 0.05)


def test_the_p_value_of_one_bound_is_that_of_the_t_test():
    means = np.array([0.01, 0.03, 0.02, 0.05])
    pairs = pd.DataFrame({"dataset": "one", "seed": np.arange(4).repeat(9)})
    pairs["difference"] = (means[:, None] + np.linspace(-0.1, 0.1, 9)).flatten()
    columns = (pairs[name].to_numpy() for name in ("difference", "dataset", "seed"))
    mean = over_seeds(*columns, np.mean)
    assert 2 * mean.p_above(0.0) == pytest.approx(ttest_1samp(means, 0).pvalue)
    assert mean.p_below(0.02) == pytest.approx(ttest_1samp(means, 0.02, alternative="less").pvalue)
    low, high = mean.interval(0.95)
    assert 2 * mean.p_above(low) == pytest.approx(0.05) == 2 * mean.p_below(high)


def test_verdicts_are_corrected_for_all_tests():
    """Holm's method, as a loop: the smallest p value times the number of tests, and so on."""
    random = np.random.default_rng(2)
    parts = [part(random.normal(shift, 0.02, 24), above=0) for shift in np.linspace(0, 0.03, 8)]
    claims = [Claim(f"C{n}", SO, "pairs", (p,)) for n, p in enumerate(parts)]
    claims.append(Claim("C9", SO, "pairs", (part([], above=0),)))
    found = judge(STUDY, claims=claims, other=changed(STUDY))
    results = [claim["parts"][0] for claim in found]
    assert (results[-1]["p"], results[-1]["corrected"]) == (None, "not tested")
    left = sorted(results[:-1], key=lambda result: result["p"])
    reached = 0.0
    for place, result in enumerate(left):
        reached = max(reached, min(1.0, result["p"] * (len(left) - place)))
        assert result["p_holm"] == pytest.approx(reached)
        kept = result["verdict"] if reached <= 0.05 else "inconclusive"
        assert result["corrected"] == kept
    assert {r["verdict"] for r in left} > {r["corrected"] for r in left if r["p_holm"] < 0.05}
    assert sum(r["verdict"] != r["corrected"] for r in left) > 0
    assert [claim["corrected"] for claim in found] == [r["corrected"] for r in results]


def test_a_study_under_both_objectives_is_judged_on_what_holds_under_both(verdicts):
    for part_ in (verdicts["C6"]["parts"][1], verdicts["C18"]["parts"][0]):
        assert (part_["pairs"], part_["seeds"]) == (3 * 3, 3)  # one a data set and seed
        assert part_["above"] == -0.1
    assert verdicts["C14"]["verdict"] != "not tested"


def test_what_two_claims_compare_alike_is_compared_once():
    asked = []

    def compare(evidence):
        asked.append(evidence)
        return pd.DataFrame({"dataset": "one", "seed": range(20), "difference": SPREAD})

    study = Evidence(*3 * [pd.DataFrame()])
    parts = Part("a - b", compare, above=-1), Part("a - b", compare, above=1)
    claims = [Claim("C0", SO, "pairs", (part,)) for part in parts]
    found = judge(study, claims=claims, other=changed(study))
    assert [claim["verdict"] for claim in found] == ["supported", "contradicted"]
    assert len(asked) == 1
    assert asked[0] is study


def test_a_table_of_all_tests_says_what_the_verdicts_do(verdicts):
    table = tabulate("made_up", verdicts.values())
    assert list(table) == VERDICTS.names
    assert len(table) == sum(len(claim["parts"]) for claim in verdicts.values())
    assert list(dict.fromkeys(table["topic"])) == list(TOPICS)
    row = table[(table["claim"] == "C3") & (table["part"] == 2)].iloc[0]
    part_ = verdicts["C3"]["parts"][1]
    assert (row["summary"], row["value"], row["above"]) == ("share", part_["share"], 0.9)
    assert (row["low"], row["high"]) == (part_["share_low"], part_["share_high"])
    assert row["published"] == part_["published"]["share"]
    assert (row["verdict"], row["claim_verdict"]) == (part_["verdict"], verdicts["C3"]["verdict"])
    assert row["words_hold"] == part_["published"]["words_hold"]
