"""The paper's statements that can be tested, in its own words, each with its section.

Three kinds: a finding or a recommendation is supported or contradicted; a hypothesis, which the
paper itself only poses or expects, is answered. Not here are what the paper says of its own scope
(models of ten million parameters) or by arithmetic (a KAN has more parameters than an MLP of its
widths); its recommendations for stabler training and that residual connections "may help to
alleviate some of these issues" (section 7), which are what the experiment `stability` trains; and
that the comparison of degrees with layers "may not hold for deeper networks" (section 5.2), of
which a study trains one and two hidden layers only.
"""

from dataclasses import dataclass

FINDING, HYPOTHESIS, RECOMMENDATION = "finding", "hypothesis", "recommendation"
# What the statements are about, in the order in which figures and reports show them.
TOPICS = {
    "Accuracy": ("C1", "C2", "C19", "C20", "C25", "C27"),
    "Overfitting": ("C3", "C12", "C24", "C26", "C29"),
    "Stability": ("C4", "C5", "C13", "C21", "C28"),
    "HSIC bottleneck": ("C6", "C14", "C18"),
    "Activation": ("C7",),
    "Degree and grid": ("C8", "C15", "C23"),
    "Efficiency": ("C9", "C10", "C11", "C16", "C17", "C22"),
}


@dataclass(frozen=True)
class Statement:
    """A statement of the paper.

    Attributes
    ----------
    summary : str
        What it says, as it is tested here.
    quotes : tuple of (str, str)
        The paper's words, letter by letter, and their section.
    kind : str
        `FINDING`, `HYPOTHESIS` or `RECOMMENDATION`.
    """

    summary: str
    quotes: tuple[tuple[str, str], ...]
    kind: str = FINDING


STATEMENTS = {
    "C1": Statement(
        "At equal depth and width KANs and MLPs reach comparable accuracy.",
        (
            (
                "both MLPs and KANs achieve comparable accuracies across a variety of datasets "
                "when compared using fixed network architectures",
                "4.0.1",
            ),
            ("KANs provide competitive accuracies when compared to MLP architectures", "7"),
        ),
    ),
    "C2": Statement(
        "A wide MLP with as many parameters is comparable to a KAN (HIGGS) or better (the others).",
        (
            (
                "When MLPs are scaled up (by increasing layer width) to match the number of "
                "parameters of a KAN of the same depth, performance of the wide MLPs is comparable "
                "(HIGGS) or better (MNIST, Fashion MNIST, CIFAR10, IMDB) than KANs.",
                "4.0.1",
            ),
        ),
    ),
    "C3": Statement(
        "KANs overfit more than MLPs: a larger generalization gap, for all schemes.",
        (
            (
                "KANs seem to have a higher tendency to overfit (as measured by the difference "
                "between training and test accuracy) than MLPs for all training schemes",
                "4.0.1",
            ),
        ),
    ),
    "C4": Statement(
        "Large KANs do best with Kaiming-normal, AdamW and a low learning rate (at most 5e-4).",
        (
            (
                "large KANs seem to perform best when utilizing a Kaiming Normal [25] weight "
                "initialization, an adaptive optimizer (such as AdAM), and low initial learning "
                "rate (<= 5e-4)",
                "4.0.1",
            ),
        ),
    ),
    "C5": Statement(
        "KANs are more sensitive to initialization, optimizer and learning rate than MLPs.",
        (
            (
                "final performance of KANs is more sensitive to choice of initialization, "
                "optimizer, and learning rate",
                "4.0.1",
            ),
            ("are more sensitive to choice of training scheme", "7"),
        ),
    ),
    "C6": Statement(
        "With the HSIC bottleneck KANs and MLPs compare as before, at marginally lower accuracies.",
        (
            (
                "performance trends of KANs compared to MLPs remain similar when HSIC Bottleneck "
                "training is used, with marginally worse final accuracies",
                "4.0.2",
            ),
        ),
    ),
    "C7": Statement(
        "GELU beats SiLU and ELU almost everywhere in KANs.",
        (
            (
                "KANs almost universally perform best when using the GeLU activation as compared "
                "to the SiLU or ELU",
                "5.1",
            ),
        ),
    ),
    "C8": Statement(
        "Width cannot be traded for degree; a higher degree helps less, for each parameter, than "
        "another layer.",
        (
            (
                "you cannot simply trade width for degree in KANs, and (on a per-parameter basis) "
                "increasing the degree in a layer seems to provide less performance utility than "
                "adding another layer of equal degree",
                "5.2",
            ),
        ),
    ),
    "C9": Statement(
        "With as many parameters KANs are more efficient than wide MLPs.",
        (
            (
                "when comparing architectures with an equal number of parameters (mlpWide 2layers "
                "and kan 2layers), the efficiency of KANs is higher",
                "6.1",
            ),
        ),
    ),
    "C10": Statement(
        "The efficiency of KANs falls as layers are added, and the generalization gap does not.",
        (
            (
                "as we add layers, efficiency of KAN architectures seems to diminish and "
                "generalization error stays the same or increases",
                "6.1",
            ),
        ),
    ),
    "C11": Statement(
        "KANs take longer to train than MLPs of as many parameters.",
        (
            (
                "MLP architectures outperform KAN architectures of the same parameter count as "
                "measured by accuracy and training time when back propagation is used",
                "4.0.1",
            ),
        ),
    ),
    "C12": Statement(
        "KANs reach their best accuracy after fewer epochs than MLPs, and then overfit.",
        (
            (
                "KANs reaching their highest accuracies early in the training process, then "
                "overfitting to training data",
                "6.1",
            ),
            (
                "a tendency to overfit much earlier during the training process than MLP "
                "architectures",
                "7",
            ),
        ),
    ),
    "C13": Statement(
        "Deeper KANs are more sensitive to initialization, optimizer and learning rate.",
        (
            (
                "caution must be used when scaling to very deep architectures using traditional "
                "MLP training schemes",
                "7",
            ),
        ),
        RECOMMENDATION,
    ),
    "C14": Statement(
        "The HSIC bottleneck makes the training of KANs more stable, and they overfit less.",
        (
            (
                "We hypothesize that given their tendency to overfit and sensitive dependence on "
                "optimizer, the HSIC Bottleneck may provide more stable and consistent training of "
                "KANs.",
                "4.0.2",
            ),
        ),
        HYPOTHESIS,
    ),
    "C15": Statement(
        "With the degree of its splines the error of a KAN first falls, then rises.",
        (
            (
                "As each spline fit becomes more exact, we expect test error to lower to a point "
                "and then increase as over-fitting starts to occur.",
                "5.2",
            ),
        ),
        HYPOTHESIS,
    ),
    "C16": Statement(
        "The most efficient network is a small MLP of one hidden layer.",
        (
            (
                "the model with the highest efficiency (i.e the 25k parameter, single hidden layer "
                "MLP that reaches accuracy with a single epoch of training)",
                "6.1",
            ),
        ),
    ),
    "C17": Statement(
        "More complex data, of a higher intrinsic dimension, need larger models for the same "
        "efficiency.",
        (
            (
                "more complex datasets require more complex models to reach the same efficiency",
                "6.1",
            ),
        ),
    ),
    "C18": Statement(
        "What is concluded of backpropagation holds with the HSIC bottleneck.",
        (
            (
                "These conclusions seem to hold regardless of training with backpropagation or the "
                "HSIC Bottleneck algorithm",
                "7",
            ),
        ),
    ),
    "C19": Statement(
        "On high-dimensional data KANs are no worse than MLPs.",
        (
            (
                "(when judged by test accuracy) KANs are an effective alternative to MLP "
                "architectures on high-dimensional datasets",
                "Abstract",
            ),
        ),
    ),
    "C20": Statement(
        "MLPs are more accurate than KANs of as many parameters.",
        (
            (
                "MLP architectures outperform KAN architectures of the same parameter count as "
                "measured by accuracy and training time when back propagation is used",
                "4.0.1",
            ),
        ),
    ),
    "C21": Statement(
        "The training of KANs is less stable: accuracies differ more from seed to seed and fall "
        "more from epoch to epoch.",
        (("suffer from more unstable training dynamics", "Abstract"),),
    ),
    "C22": Statement(
        "KANs reach competitive accuracies with fewer parameters.",
        (
            ("have somewhat better parameter efficiency", "Abstract"),
            (
                "KANs appear to be marginally more parameter efficient than MLPs, suggesting the "
                "possibility of smaller models to attain competitive accuracies",
                "7",
            ),
        ),
    ),
    "C23": Statement(
        "With the grid points of its splines the error of a KAN first falls, then rises.",
        (
            (
                "we can also opt to add more interpolation points for each B-spline and increase "
                "the degree. As each spline fit becomes more exact, we expect test error to lower "
                "to a point and then increase as over-fitting starts to occur.",
                "5.2",
            ),
        ),
        HYPOTHESIS,
    ),
    "C24": Statement(
        "With as many parameters KANs have a larger generalization gap than wide MLPs.",
        (
            (
                "there is also higher average generalization error (for the KAN) with an "
                "equivelent number of parameters",
                "6.1",
            ),
        ),
    ),
    "C25": Statement(
        "Depth helps KANs less than MLPs.",
        (
            (
                "vanilla KANs may not scale as well to deep architectures compared to MLPs",
                "6.1",
            ),
        ),
        HYPOTHESIS,
    ),
    "C26": Statement(
        "Without AdamW and a low learning rate KANs overfit more than MLPs by the same scheme.",
        (
            (
                "Without such training schemes, KANs tend to overfit and exhibit high "
                "generalization error (compared to MLPs trained with the same scheme).",
                "7",
            ),
        ),
    ),
    "C27": Statement(
        "What is concluded of KANs and MLPs holds at equal numbers of parameters and layers.",
        (("even when the number of parameters and number of layers is held constant", "7"),),
    ),
    "C28": Statement(
        "KANs, large or not, do best with AdamW and a low learning rate (at most 5e-4).",
        (
            (
                "For optimal performance KAN architectures must be trained using adaptive "
                "optimizers and low learning rates.",
                "7",
            ),
        ),
        RECOMMENDATION,
    ),
    "C29": Statement(
        "Large KANs overfit early in training, so that caution is needed.",
        (
            (
                "This necessitates additional caution in training large KANs to prevent "
                "overfitting early in the training process.",
                "4.0.1",
            ),
        ),
        RECOMMENDATION,
    ),
}
