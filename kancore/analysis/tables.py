"""The columns of tables that are computed from what jobs have trained."""

import pyarrow as pa

from kancore.tables import HISTORY, KEY, LANDSCAPES, ORIGIN, TIMINGS, column

# One row a run. 'Best' is chosen on the validation split; what the published code does, to choose
# on the test set itself, stands beside it.
RUNS = pa.schema(
    [
        *KEY,
        column("epochs", pa.int64(), "epochs completed at the last evaluation", "epochs"),
        column("best_epoch", pa.int64(), "first epoch of the best validation accuracy", "epochs"),
        column("train_accuracy", pa.float64(), "training accuracy at best_epoch", "fraction"),
        column("validation_accuracy", pa.float64(), "accuracy at best_epoch", "fraction"),
        column("test_accuracy", pa.float64(), "test accuracy at best_epoch", "fraction"),
        column("best_test_epoch", pa.int64(), "first epoch of the best test accuracy", "epochs"),
        column("best_test_accuracy", pa.float64(), "best over epochs on the test set", "fraction"),
        column(
            "generalization_gap",
            pa.float64(),
            "mean over evaluations of training accuracy - test accuracy",
            "fraction",
        ),
        column("last_test_accuracy", pa.float64(), "at the last evaluation", "fraction"),
        column(
            "mean_fall",
            pa.float64(),
            "mean over evaluations but the first of what test accuracy lost since the one before; "
            "what it gained counts 0",
            "fraction",
        ),
        column("diverged", pa.bool_(), "the loss became non-finite before the last epoch"),
        *ORIGIN,
    ]
)

# One row an estimate.
INTRINSIC_DIMENSIONS = pa.schema(
    [
        column("study", pa.string(), "name of the study; null if published"),
        column("dataset", pa.string(), "name of the data set"),
        column(
            "estimator",
            pa.string(),
            "two_nn or mle, of the data; landscape_absolute (90% accuracy) or landscape_relative "
            "(90% of the directly trained network's), of a network's loss landscape",
        ),
        column("neighbors", pa.int64(), "nearest neighbours used; null of a landscape"),
        column("network", pa.string(), "name of the architecture; null of data"),
        column("parameters", pa.int64(), "parameters of that network; null of data"),
        column("dimension", pa.float64(), "the estimate; null where there is none"),
        column("low", pa.float64(), "lower bound of its 95% interval, if it has one"),
        column("high", pa.float64(), "upper bound of its 95% interval, if it has one"),
        column("observations", pa.int64(), "what the interval is over: distinct points, or seeds"),
        column("reason", pa.string(), "why there is no estimate; null where there is one"),
        column("source", pa.string(), "measured, or where it was published"),
    ]
)

# One row a run and source of the intrinsic dimension.
EFFICIENCY = pa.schema(
    [
        *RUNS,
        column("source", pa.string(), "where the intrinsic dimension is from: paper, or estimator"),
        column("intrinsic_dimension", pa.float64(), "of the data set; null if unknown"),
        column("undefined", pa.bool_(), "no more parameters than dimensions: no efficiency"),
        column("efficiency", pa.float64(), "of test_accuracy, reached at best_epoch", "1 / epochs"),
        column(
            "efficiency_on_test",
            pa.float64(),
            "as published: of best_test_accuracy, reached at best_test_epoch",
            "1 / epochs",
        ),
    ]
)

# One row a data set and ordered pair of sources of the intrinsic dimension.
EFFICIENCY_RANKS = pa.schema(
    [
        column("study", pa.string(), "name of the study"),
        column("dataset", pa.string(), "name of the data set"),
        column("source", pa.string(), "where the intrinsic dimension is from"),
        column("intrinsic_dimension", pa.float64(), "from that source; null if unknown"),
        column("runs", pa.int64(), "runs of the data set"),
        column("undefined", pa.int64(), "runs with no more parameters than dimensions"),
        column("other", pa.string(), "the source that it is compared with"),
        column("spearman", pa.float64(), "rank correlation of efficiencies over runs"),
        column("compared", pa.int64(), "runs with both efficiencies"),
    ]
)

# One row a protocol, model and measure: what the protocol changes in it.
AUDIT = pa.schema(
    [
        column("study", pa.string(), "name of the study"),
        column("dataset", pa.string(), "name of the data set"),
        column("protocol", pa.string(), "published, or a departure of the published code"),
        column("model", pa.string(), "mlp, kan, wide_mlp, or module:function of the user's own"),
        column("measure", pa.string(), "test_accuracy, best_accuracy, gap or log_efficiency"),
        column("clean", pa.float64(), "interquartile mean under the protocol clean"),
        column("effect", pa.float64(), "interquartile mean of protocol - clean, over pairs"),
        column("low", pa.float64(), "lower bound of its 95% interval; null with few seeds"),
        column("high", pa.float64(), "upper bound of its 95% interval; null with few seeds"),
        column("pairs", pa.int64(), "pairs: of one depth and seed, and of one scheme"),
        column("trained", pa.bool_(), "false: what is trained is the same as under clean"),
    ]
)

# One row a factor, part of the cells and measure: what the factor changes in how KANs train.
STABILITY = pa.schema(
    [
        column("study", pa.string(), "name of the study"),
        column("factor", pa.string(), "baseline, a factor, or combined"),
        column("dataset", pa.string(), "name of the data set, or all"),
        column("depth", pa.string(), "the paper's name of the depth, or all"),
        column(
            "measure",
            pa.string(),
            "of all schemes of a data set, depth and seed: median, best, spread (test accuracy); "
            "close, failed (shares of schemes); gap; epochs; outside_grid, also of each layer",
        ),
        column("baseline", pa.float64(), "mean of the baseline"),
        column("value", pa.float64(), "mean with the factor"),
        column("effect", pa.float64(), "mean of factor - baseline, over pairs"),
        column("low", pa.float64(), "lower bound of its 95% interval; null with few seeds"),
        column("high", pa.float64(), "upper bound of its 95% interval; null with few seeds"),
        column("pairs", pa.int64(), "pairs: of one data set, depth and seed"),
        column("seeds", pa.int64(), "fewest seeds of a data set; an interval takes 3 or more"),
    ]
)

# One row a claim, or a test of it, under one choice that differs from the declared ones.
FIRMNESS = pa.schema(
    [
        column("study", pa.string(), "name of the study"),
        column("variation", pa.string(), "what is varied; declared: nothing"),
        column("setting", pa.string(), "threshold, share of epochs, data set, objective, ..."),
        column("claim", pa.string(), "name of the claim"),
        column("part", pa.int64(), "test of the claim, counted from 1; 0 is the whole claim"),
        column("verdict", pa.string(), "supported, contradicted, ..., as in the verdicts"),
        column("value", pa.float64(), "what was measured; null of a whole claim"),
        column("low", pa.float64(), "lower bound of its 95% interval; null with few seeds"),
        column("high", pa.float64(), "upper bound of its 95% interval; null with few seeds"),
        column("p", pa.float64(), "p value of the verdict, for this test alone; null with these"),
        column("pairs", pa.int64(), "pairs of runs; null of a whole claim"),
        column("seeds", pa.int64(), "fewest seeds that a data set has pairs of"),
    ]
)

# One row a test of a claim, as declared.
VERDICTS = pa.schema(
    [
        column("study", pa.string(), "name of the study"),
        column("topic", pa.string(), "what the claim is about: accuracy, overfitting, ..."),
        column("claim", pa.string(), "name of the claim"),
        column("statement", pa.string(), "what the claim says"),
        column("claim_verdict", pa.string(), "verdict on the whole claim"),
        column("part", pa.int64(), "test of the claim, counted from 1"),
        column("question", pa.string(), "what is compared with what"),
        column("unit", pa.string(), "accuracy or gap (fractions), log_... (factors), or order"),
        column("summary", pa.string(), "effect: interquartile mean; share: of pairs above zero"),
        column("value", pa.float64(), "what was measured; null without pairs"),
        column("low", pa.float64(), "lower bound of its 95% interval; null with few seeds"),
        column("high", pa.float64(), "upper bound of its 95% interval; null with few seeds"),
        column("above", pa.float64(), "the claim needs an interval above this; null: no bound"),
        column("below", pa.float64(), "the claim needs an interval below this; null: no bound"),
        column("negligible", pa.float64(), "differences within this of zero are none; or null"),
        column("published", pa.float64(), "the same of the published runs; null without them"),
        column("numbers", pa.string(), "whether ours are the published numbers; null if unknown"),
        column("words_hold", pa.bool_(), "whether the published numbers lie within the bounds"),
        column("verdict", pa.string(), "supported, contradicted, suggested, doubted, depends, ..."),
        column("corrected", pa.string(), "the verdict that correction for all tests leaves"),
        column("p", pa.float64(), "p value of the verdict, for this test alone"),
        column("p_holm", pa.float64(), "p value adjusted for all tests"),
        column("pairs", pa.int64(), "pairs of runs"),
        column("seeds", pa.int64(), "fewest seeds that a data set has pairs of"),
    ]
)

# Which trained network a row is of: the best of its model on its data set.
_NETWORK = (
    *KEY,
    column("epoch", pa.int64(), "epochs completed when it was kept", "epochs"),
    column("validation_accuracy", pa.float64(), "accuracy on its validation split", "fraction"),
    column("test_accuracy", pa.float64(), "accuracy on its test examples", "fraction"),
)
_LABEL = (
    column("label", pa.int64(), "true class, counted from 0"),
    column("label_name", pa.string(), "its name"),
)

# One row a network and pair of classes that it takes for each other, or a class for itself.
CONFUSION = pa.schema(
    [
        *_NETWORK,
        *_LABEL,
        column("predicted", pa.int64(), "class that the network says"),
        column("predicted_name", pa.string(), "its name; none: an output of no class"),
        column("count", pa.int64(), "test examples", "examples"),
    ]
)

# One row a network and class.
CLASS_ACCURACY = pa.schema(
    [
        *_NETWORK,
        *_LABEL,
        column("correct", pa.int64(), "test examples of the class told as such", "examples"),
        column("examples", pa.int64(), "test examples of the class", "examples"),
        column("accuracy", pa.float64(), "correct / examples", "fraction"),
        column("low", pa.float64(), "lower bound of Wilson's 95% interval", "fraction"),
        column("high", pa.float64(), "upper bound of Wilson's 95% interval", "fraction"),
    ]
)

# One row a point at which an edge of a KAN's first layer is sampled.
EDGES = pa.schema(
    [
        *_NETWORK,
        column("edge", pa.int64(), "rank of the edge by its strength, from 1"),
        column("input", pa.string(), "feature, or row and column of a pixel, from 1"),
        column("unit", pa.int64(), "unit of the first layer, from 1"),
        column("strength", pa.float64(), "standard deviation of the edge over training examples"),
        column("x", pa.float64(), "the network's input: a scaled value of the feature"),
        column("base", pa.float64(), "base branch there"),
        column("spline", pa.float64(), "splines there; the edge is the sum of both"),
        column("density", pa.float64(), "of training examples, in the interval of x", "1 / x"),
    ]
)

# One row a unit of a first layer, and branch of its edges.
FIRST_LAYERS = pa.schema(
    [
        *_NETWORK,
        column("branch", pa.string(), "weight; of a KAN base: its weight, spline: their norm"),
        column("unit", pa.int64(), "unit of the first layer, from 1"),
        column("channels", pa.int64(), "channels of an image", "pixels"),
        column("height", pa.int64(), "height of an image", "pixels"),
        column("width", pa.int64(), "width of an image", "pixels"),
        column("values", pa.list_(pa.float64()), "of each pixel, channel by channel, row by row"),
    ]
)

# Schemas of the tables that figures are drawn from.
SCHEMAS = {
    "history": HISTORY,
    "runs": RUNS,
    "timings": TIMINGS,
    "follow_ups": RUNS,
    "landscapes": LANDSCAPES,
    "intrinsic_dimension": INTRINSIC_DIMENSIONS,
    "efficiency": EFFICIENCY,
    "audit": AUDIT,
    "stability": STABILITY,
    "firmness": FIRMNESS,
    "verdicts": VERDICTS,
    "confusion": CONFUSION,
    "class_accuracy": CLASS_ACCURACY,
    "edges": EDGES,
    "first_layers": FIRST_LAYERS,
}
