"""IMDB: 25,000 and 25,000 film reviews, positive or negative (Maas et al. 2011).

A review becomes a bag of words. Its text is put in lower case and HTML line breaks become spaces;
its words are the runs of at least two letters, digits or underscores (scikit-learn's default
token pattern). The vocabulary is the most frequent words of the training reviews, by the number of
their occurrences, and in alphabetical order where that ties.
"""

import re
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from kancore.data.dataset import Dataset
from kancore.data.preparation import make_dataset
from kancore.data.raw_files import RawFile, describe, read_tar
from kancore.machine.messages import shown
from kancore.schemes import derive_seed

FILES = (
    RawFile(
        "aclImdb_v1.tar.gz",
        (
            "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
            "https://bj.bcebos.com/dataset/imdb%2FaclImdb_v1.tar.gz",
        ),
        84125825,
        "7c2ac02c03563afcf9b574c7e56c153a",
    ),
)
WEIGHTINGS = ("binary", "counts", "tfidf", "svd")
CLASS_NAMES = ("negative", "positive")
_REVIEW = re.compile(r"(?:\./)?aclImdb/(train|test)/(neg|pos)/[^/]+\.txt")
_LINE_BREAK = re.compile(r"<br\s*/?>")


def prepare(
    raw: Path,
    weighting: str = "binary",
    words: int = 5000,
    components: int = 100,
    random_test: int | None = None,
) -> Dataset:
    """Make the data set from the folder `raw` of its archive.

    Parameters
    ----------
    raw
        Folder that holds the archive.
    weighting
        What a feature is: ``binary``, whether the word occurs; ``counts``, how often; ``tfidf``,
        times the smoothed logarithm of its rarity, rows of unit length; ``svd``, the leading
        singular components of TF-IDF, in place of the published 100-dimensional word vectors.
    words
        Size of the vocabulary.
    components
        Number of features of ``svd``; not used otherwise.
    random_test
        Number of all reviews that are drawn at random for the test part, as the published code
        draws 10,000; ``None`` keeps the published parts.

    Returns
    -------
    Dataset
        ``[25000, words]`` float32 sparse CSR in both parts, or dense ``[25000, components]``;
        label 1 is positive.

    Raises
    ------
    ValueError
        If `weighting` is none of these, the archive is damaged or holds no reviews, or no more
        reviews than `random_test`.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting is {weighting!r}, expected one of {', '.join(WEIGHTINGS)}")
    reviews = _read(Path(raw) / FILES[0].name)
    if random_test is not None:
        reviews = _divided_again(reviews, random_test)
    train, test = _count(reviews["train"][0], reviews["test"][0], words)
    x_train, x_test = _weigh(train, test, weighting, components)
    return make_dataset(
        "imdb",
        x_train,
        torch.tensor(reviews["train"][1]),
        x_test,
        torch.tensor(reviews["test"][1]),
        class_names=CLASS_NAMES,
        source=describe(Path(raw), FILES),
    )


def _read(path: Path) -> dict[str, tuple[list[str], list[int]]]:
    """Texts and labels of both parts, in the order of the files' names."""
    reviews: dict[str, tuple[list[str], list[int]]] = {"train": ([], []), "test": ([], [])}
    for name, content in sorted(read_tar(path, _REVIEW.fullmatch)):
        part, label = name.split("/")[-3:-1]
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{shown(path)}: {name} is not text in UTF-8") from error
        reviews[part][0].append(_LINE_BREAK.sub(" ", text.lower()))
        reviews[part][1].append(int(label == "pos"))
    for part, (texts, _) in reviews.items():
        if not texts:
            raise ValueError(f"{shown(path)}: no file aclImdb/{part}/neg/*.txt or pos/*.txt")
    return reviews


def _divided_again(
    reviews: dict[str, tuple[list[str], list[int]]], test: int
) -> dict[str, tuple[list[str], list[int]]]:
    """Put the reviews of both parts together, and draw `test` of them for the test part."""
    texts, labels = (train + test for train, test in zip(*reviews.values(), strict=True))
    if not test < len(texts):
        raise ValueError(f"random_test is {test}, expected less than the {len(texts)} reviews")
    order = np.random.default_rng(derive_seed("random test", "imdb")).permutation(len(texts))
    drawn = {"train": order[test:], "test": order[:test]}
    return {
        part: ([texts[i] for i in index], [labels[i] for i in index])
        for part, index in drawn.items()
    }


def _count(train: list[str], test: list[str], words: int) -> tuple[csr_array, csr_array]:
    """Occurrences of the `words` most frequent training words, in alphabetical order."""
    vectorizer = CountVectorizer(dtype=np.float32)
    counts = vectorizer.fit_transform(train)
    frequency = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()
    # The columns are in alphabetical order, which a stable sort keeps among equals.
    chosen = np.sort(np.argsort(-frequency, kind="stable")[:words])
    return csr_array(counts)[:, chosen], csr_array(vectorizer.transform(test))[:, chosen]


def _weigh(
    train: csr_array, test: csr_array, weighting: str, components: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn counts into features; whatever is fitted is fitted on `train`."""
    if weighting == "binary":
        train.data[:] = 1
        test.data[:] = 1
    elif weighting in ("tfidf", "svd"):
        tfidf = TfidfTransformer().fit(train)
        train, test = tfidf.transform(train), tfidf.transform(test)
    if weighting == "svd":
        seed = derive_seed("svd", "imdb") % 2**32  # NumPy's older generators take 32 bits
        svd = TruncatedSVD(components, random_state=seed).fit(train)
        train, test = (svd.transform(x).astype(np.float32) for x in (train, test))
        return torch.from_numpy(train), torch.from_numpy(test)
    return _to_torch(train), _to_torch(test)


def _to_torch(x: csr_array) -> torch.Tensor:
    x.sort_indices()
    return torch.sparse_csr_tensor(
        torch.from_numpy(x.indptr).long(),
        torch.from_numpy(x.indices).long(),
        torch.from_numpy(x.data),
        size=x.shape,
        check_invariants=True,
    )
