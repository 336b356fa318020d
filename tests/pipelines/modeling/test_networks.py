"""The networks: good on mixed tables, the same answer in ONNX Runtime, the same weights from the same seed."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import cache

import msgspec
import numpy as np
import pytest

from pipelines.data.dataset import EncodedRows
from pipelines.modeling import networks
from pipelines.modeling.devices import load_tensorflow, make_reproducible, placement
from pipelines.modeling.hyperparameters import Fitting, Network, Params
from pipelines.steps.export import to_onnx
from pipelines.steps.train import fit
from slipway.contracts.schema import CONTRACT, Feature, Schema
from slipway.errors import UseCaseError
from slipway.model_api import Inputs

pytestmark = pytest.mark.slow

TABLE = Schema(
    contract=CONTRACT,
    usecase="mixed",
    task="binary",
    features=(
        Feature("wave", "number", nullable=True),
        Feature("line", "number"),
        Feature("constant", "number"),
        Feature("never", "number", nullable=True),
        Feature("shop", "category", vocabulary=("a", "b", "c")),
        Feature("gift", "boolean"),
    ),
    target="y",
    classes=("no", "yes"),
    positive="yes",
)
MULTICLASS = msgspec.structs.replace(TABLE, task="multiclass", classes=("no", "maybe", "yes"), positive=None)
REGRESSION = msgspec.structs.replace(TABLE, task="regression", classes=(), positive=None, unit="EUR")
PICTURES = msgspec.structs.replace(
    TABLE, features=(*TABLE.features, Feature("photo", "image", size=(6, 5), channels=3))
)
SCHEMAS = {"binary": TABLE, "multiclass": MULTICLASS, "regression": REGRESSION, "images": PICTURES}
SMALL = Network(members=4, width=32)


class NoFolder:
    """A use case without `model.py`."""

    name = "mixed"
    task = "binary"

    def __init__(self, schema: Schema, build=None):
        self.task, self.build = schema.task, build

    def function(self, module, name):
        return self.build


def rows(schema: Schema, count: int, seed: int = 0) -> EncodedRows:
    """A wave of one number where it is known, a shift by shop: nothing that a linear model finds."""
    rng = np.random.default_rng(seed)
    wave, line, shop = rng.uniform(0, 1, count), rng.normal(size=count), rng.integers(2, 5, count)
    signal = 2 * np.sin(9 * wave) + 0.3 * line + np.array([0, 0, -1, 0, 1])[shop] + 0.3 * rng.normal(size=count)
    wave[::17] = np.nan
    numbers = np.stack([wave, line, np.full(count, 3.0), np.full(count, np.nan)], axis=1).astype("float32")
    features = {"numbers": numbers, "codes": np.stack([shop, rng.integers(2, 4, count)], axis=1).astype("int64")}
    if schema.images:
        features["images"] = rng.integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)
    if schema.task == "regression":
        return EncodedRows(features, (10_000 + 500 * signal).astype("float32"))
    edges = np.quantile(signal, np.linspace(0, 1, len(schema.classes) + 1)[1:-1])
    return EncodedRows(features, np.digitize(signal, edges).astype("int64"))


def fitted(schema: Schema, epochs: int = 1, count: int = 600, seed: int = 3, **fitting):
    train, validation = rows(schema, count), rows(schema, 300, seed=1)
    make_reproducible(seed)
    params = Params(Fitting(epochs=epochs, **fitting), SMALL).sized(count)
    inputs = Inputs(schema, train.features, train.target)
    return fit(NoFolder(schema), inputs, validation, params, placement())


@cache
def trained(name: str):
    """A network of that schema that has learned something, made once for all tests that only ask it."""
    return fitted(SCHEMAS[name], epochs=15 if name in ("binary", "regression") else 3, learning_rate=3e-3)


def test_it_finds_what_a_linear_model_cannot():
    network, history = trained("binary")
    unseen = rows(TABLE, 500, seed=2)
    right = networks.predict(network, unseen.features).argmax(axis=1) == unseen.target
    assert right.mean() > 0.85
    assert history["val_error"][-1] < history["val_error"][0]


def test_a_regression_answers_in_the_targets_unit():
    network, _ = trained("regression")
    unseen = rows(REGRESSION, 500, seed=2)
    errors = networks.predict(network, unseen.features)[:, 0] - unseen.target
    assert np.std(errors) < 0.5 * np.std(unseen.target) and abs(errors.mean()) < 100


@pytest.mark.parametrize("name", SCHEMAS)
def test_onnx_answers_as_keras_for_missing_unknown_and_absurd_values(name, tmp_path):
    import onnxruntime

    schema = SCHEMAS[name]
    network = networks.calibrated(trained(name)[0], None if schema.task == "regression" else 0.7)
    feeds = {name: values.copy() for name, values in rows(schema, 40, seed=5).features.items()}
    feeds["numbers"][:3] = np.nan
    feeds["numbers"][3:5] = [[1e30], [-3e38]]
    feeds["codes"][5:9] = [[0, 0], [1, 1], [-7, -1], [2**40, 99]]
    to_onnx(network, tmp_path / "m.onnx", feeds)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    outputs = session.run(None, feeds)[0]
    assert {node.name for node in session.get_inputs()} == set(feeds)
    assert outputs.shape == (40, max(1, len(schema.classes))) and np.isfinite(outputs).all()
    scale = 500 if schema.task == "regression" else 1
    assert np.abs(outputs - networks.predict(network, feeds)).max() <= 1e-5 * scale


def test_a_code_out_of_range_counts_as_unknown():
    feeds = {name: values[:1].repeat(3, axis=0) for name, values in rows(TABLE, 1, seed=5).features.items()}
    feeds["codes"][:, 0] = [1, -1, 5]
    outputs = networks.predict(trained("binary")[0], feeds)
    assert (outputs == outputs[0]).all()


def test_a_number_that_was_never_missing_counts_as_its_median_when_it_is():
    feeds = {name: values[:2].copy() for name, values in rows(TABLE, 2, seed=5).features.items()}
    feeds = {name: values[:1].repeat(2, axis=0) for name, values in feeds.items()}
    feeds["numbers"][:, 1] = [np.nan, np.median(rows(TABLE, 600).features["numbers"][:, 1])]
    outputs = networks.predict(trained("binary")[0], feeds)
    assert np.allclose(outputs[0], outputs[1], atol=1e-6)


def test_the_same_seed_gives_the_same_weights():
    first, again = (fitted(TABLE, epochs=2, count=200)[0].get_weights() for _ in range(2))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))


def test_a_saved_network_answers_as_before(tmp_path):
    network, _ = trained("images")
    feeds = rows(PICTURES, 20, seed=5).features
    network.save(tmp_path / "model.keras")
    loaded = networks.load(NoFolder(PICTURES), tmp_path / "model.keras")
    assert np.array_equal(networks.predict(loaded, feeds), networks.predict(network, feeds))


def test_the_model_is_the_mean_of_members_that_differ():
    import keras

    from pipelines.modeling.networks.layers import MEMBERS

    network, _ = trained("binary")
    feeds = rows(TABLE, 20, seed=5).features
    members = keras.Model(network.input, network.get_layer(MEMBERS).output).predict(feeds, verbose=0)
    assert members.shape == (20, 4, 2) and members.std(axis=1).min() > 0
    assert np.allclose(members.mean(axis=1), networks.predict(network, feeds), atol=1e-6)


@pytest.mark.parametrize(("outputs", "named"), [(3, "numbers"), (2, "columns")])
def test_a_network_of_another_form_is_refused(outputs, named):
    import keras

    def build(inputs, params):
        source = keras.Input(inputs.features["numbers"].shape[1:], name=named)
        codes = keras.Input(inputs.features["codes"].shape[1:], name="codes", dtype="int64")
        return keras.Model([source, codes], keras.layers.Dense(outputs, "softmax")(source))

    train = rows(TABLE, 20)
    with pytest.raises(UseCaseError, match=r"\(None, 2\)" if outputs == 3 else "'codes', 'numbers'"):
        networks.build(NoFolder(TABLE, build), Inputs(TABLE, train.features, train.target), {})


def test_layers_of_a_model_may_have_the_names_of_ours():
    import keras

    source = keras.Input((4,), name="numbers")
    layer = keras.layers.Dense(8, name="temperature")(source)
    network = keras.Model(source, keras.layers.Dense(2, "softmax", name="members")(layer))
    assert networks.trainable(network) is network
    assert networks.calibrated(network, 0.7).output.shape == (None, 2)


def test_it_trains_mirrored_over_all_devices():
    """Two logical processors stand for two GPUs; TensorFlow must be configured before it starts."""
    code = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipelines.modeling import devices, networks
from pipelines.modeling.hyperparameters import Fitting, Params
from pipelines.steps.train import fit
from slipway.model_api import Inputs
from tests.pipelines.modeling import test_networks as made
place = devices.placement("CPU")
assert (place.strategy, place.replicas) == ("MirroredStrategy", 2), place
train, validation = made.rows(made.TABLE, 200), made.rows(made.TABLE, 100, seed=1)
params = Params(Fitting(epochs=2), made.SMALL).sized(200)
inputs = Inputs(made.TABLE, train.features, train.target)
network, history = fit(made.NoFolder(made.TABLE), inputs, validation, params, place)
assert history["loss"][1] < history["loss"][0], history
assert networks.predict(network, validation.features).shape == (100, 2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_tensorflow_writes_no_advice_into_the_output_of_a_training():
    load_tensorflow()
    assert not logging.getLogger("tensorflow").isEnabledFor(logging.WARNING)
