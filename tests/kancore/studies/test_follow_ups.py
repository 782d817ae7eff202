"""Follow-ups: names, sweeps, JSON and back."""

import json

from kancore.schemes import Architecture, Scheme
from kancore.studies.follow_ups import FollowUp

KANS = tuple(
    Architecture("kan", (8,), activation, 3, 5, (-1.0, 1.0)) for activation in ("gelu", "elu")
)
OPTIONS = {
    **{"epochs": 3, "batch_size": 10, "evaluate_every": 1, "validation_fraction": 0.1},
    **{"train_examples": None, "test_examples": 50},
}
FOLLOW_UP = FollowUp("activation", "digits", 2, KANS, OPTIONS)


def test_each_architecture_is_a_sweep_of_the_one_scheme():
    scheme = Scheme("adam", 0.005, "orthogonal")
    sweeps = FOLLOW_UP.sweeps(scheme)
    assert [sweep.architecture for sweep in sweeps] == list(KANS)
    for sweep in sweeps:
        assert sweep.schemes == (scheme,)
        assert (sweep.dataset, sweep.objective, sweep.seed) == ("digits", "backprop", 2)
        assert (sweep.epochs, sweep.batch_size, sweep.test_examples) == (3, 10, 50)


def test_name_is_a_path():
    assert FOLLOW_UP.name == "activation/digits/seed2"


def test_json_and_back():
    assert FollowUp.from_dict(json.loads(json.dumps(FOLLOW_UP.to_dict()))) == FOLLOW_UP
