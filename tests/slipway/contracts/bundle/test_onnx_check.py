"""ONNX files made with the `onnx` package, which the check under test does without."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.contracts.bundle import field_limit, onnx_check
from slipway.errors import BundleError
from tests.support import graphs

HUGE = 1 << 40


def model(*nodes: onnx.NodeProto, constants: tuple[onnx.TensorProto, ...] = (), width: int = 2) -> onnx.ModelProto:
    """A network of the nodes, which go from `numbers` to `answer`."""
    numbers = helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, width])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "test", [numbers], [answer], list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def plain() -> onnx.ModelProto:
    return model(helper.make_node("Identity", ["numbers"], ["answer"]))


def constant(name: str, values: list, kind: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, kind), name)


def external(name: str = "weights") -> onnx.TensorProto:
    tensor = constant(name, [1.0], np.float32)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return tensor


def field(number: int, content: bytes) -> bytes:
    """A field of up to 16 KB, for files that the `onnx` package does not write."""
    return bytes([number << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def refused(made: onnx.ModelProto | bytes) -> str:
    """The reason for which the file is refused."""
    with pytest.raises(BundleError) as raised:
        onnx_check.check(made if isinstance(made, bytes) else made.SerializeToString())
    return str(raised.value)


@pytest.mark.parametrize("outputs", [1, 2, 10])
def test_a_network_is_read_as_onnx_reads_it(tmp_path, outputs):
    path = tmp_path / "model.onnx"
    graphs.tabular(path, 3, 2, outputs, slow=2)
    onnx_check.check(path.read_bytes())
    found, expected = onnx_check.parse(path.read_bytes()).graph, onnx.load(path).graph
    assert [(node.domain, node.op_type, node.input) for node in found.node] == [
        (node.domain, node.op_type, node.input) for node in expected.node
    ]
    assert [(tensor.name, tensor.dims, tensor.data_type, tensor.raw_data) for tensor in found.initializer] == [
        (tensor.name, tensor.dims, tensor.data_type, tensor.raw_data) for tensor in expected.initializer
    ]


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.int32, np.float64, np.uint8, np.bool_, np.float16])
def test_constants_of_every_usual_type_are_accepted(kind):
    values = np.arange(6).reshape(2, 3).astype(kind)
    made = model(constants=(numpy_helper.from_array(values, "raw"),))
    typed = made.graph.initializer.add()
    data_type = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    typed.CopyFrom(helper.make_tensor("typed", data_type, [2, 3], values.flatten().tolist()))
    onnx_check.check(made.SerializeToString())


class TestRefused:
    def test_a_tensor_in_another_file(self):
        assert "'weights' lies in another file" in refused(model(constants=(external(),)))

    def test_a_tensor_in_another_file_without_a_location(self):
        tensor = constant("weights", [1])
        tensor.data_location = TensorProto.EXTERNAL
        assert "lies in another file" in refused(model(constants=(tensor,)))

    def test_a_tensor_in_another_file_inside_a_node(self):
        node = helper.make_node("Constant", [], ["answer"], value=external())
        assert "lies in another file" in refused(model(node))

    def test_a_tensor_in_another_file_inside_a_subgraph(self):
        graph = helper.make_graph([], "inner", [], [], [external()])
        node = helper.make_node("If", ["numbers"], ["answer"], then_branch=graph, else_branch=graph)
        assert "lies in another file" in refused(model(node))

    @pytest.mark.parametrize("domain", ["com.microsoft", "evil", "ai.onnx.preview.training", "ai.onnx\x00"])
    def test_an_operator_of_another_domain(self, domain):
        node = helper.make_node("Run", ["numbers"], ["answer"], domain=domain)
        assert "the operator Run is of the domain" in refused(model(node))

    def test_an_operator_of_another_domain_inside_a_subgraph(self):
        graph = helper.make_graph([helper.make_node("Run", [], [], domain="evil")], "inner", [], [])
        node = helper.make_node("Scan", ["numbers"], ["answer"], body=graph, num_scan_inputs=1)
        assert "of the domain 'evil'; ai.onnx and ai.onnx.ml are allowed" in refused(model(node))

    def test_functions(self):
        made = plain()
        made.functions.append(helper.make_function("ai.onnx", "Relu", ["x"], ["y"], [], []))
        assert "functions of its own" in refused(made)

    def test_training_that_is_brought_along(self):
        made = plain()
        made.training_info.add()
        assert "brings training along" in refused(made)

    def test_a_loop(self):
        graph = helper.make_graph([], "inner", [], [])
        node = helper.make_node("Loop", ["numbers"], ["answer"], body=graph)
        assert "the operator Loop may never end" in refused(model(node))

    def test_graphs_that_are_nested_without_end(self):
        graph = helper.make_graph([], "innermost", [], [])
        for _ in range(10):
            node = helper.make_node("If", ["numbers"], ["answer"], then_branch=graph)
            graph = helper.make_graph([node], "inner", [], [])
        assert "4 deep in each other" in refused(model(*graph.node))

    def test_sparse_tensors(self):
        sparse = helper.make_sparse_tensor(constant("values", [1.0], np.float32), constant("at", [0]), [HUGE])
        made = plain()
        made.graph.sparse_initializer.append(sparse)
        assert "sparse tensor" in refused(made)
        node = helper.make_node("Constant", [], ["answer"], sparse_value=sparse)
        assert "sparse tensor" in refused(model(node))

    @pytest.mark.parametrize("dims", [[3], [HUGE, HUGE], [-1], [1 << 29], [1] * 40])
    def test_a_shape_that_its_bytes_do_not_fill(self, dims):
        tensor = constant("weights", [1, 2])
        del tensor.dims[:]
        tensor.dims.extend(dims)
        assert "the tensor 'weights' has" in refused(model(constants=(tensor,)))

    def test_a_shape_that_its_typed_values_do_not_fill(self):
        tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[1000], float_data=[1.0])
        assert "1 values that do not fill it" in refused(model(constants=(tensor,)))

    def test_a_type_that_there_is_not(self):
        tensor = constant("weights", [1])
        tensor.data_type = 99
        assert "unknown type 99" in refused(model(constants=(tensor,)))

    def test_an_input_of_an_absurd_width(self):
        made = model(helper.make_node("Identity", ["numbers"], ["answer"]), width=HUGE)
        assert "is declared" in refused(made)

    def test_gigabytes_of_chance(self):
        node = helper.make_node("RandomNormal", [], ["answer"], shape=[HUGE])
        assert "RandomNormal makes a tensor of any size" in refused(model(node))


class TestMalformed:
    @pytest.mark.parametrize(
        "content", [b"", b"\x00" * 8, b"not a model", b"\xff" * 64, b"\x1f\x8b\x08\x00", b"\x08\x09"]
    )
    def test_invalid_onnx_is_reported(self, content):
        assert "model.onnx is no ONNX file" in refused(content)

    def test_a_file_that_ends_early(self):
        content = plain().SerializeToString()
        for size in range(1, len(content) - 1):
            try:
                onnx_check.check(content[:size])
            except BundleError:
                continue
            onnx.load_from_string(content[:size])  # what is accepted is a whole file, too

    def test_a_file_of_nothing_but_fields(self):
        assert "too many fields" in refused(b"\x08\x01" * 400_000)

    def test_small_messages_that_would_fill_the_memory(self):
        node_in_graph = field(7, field(1, b""))
        assert "too many fields" in refused(node_in_graph * 200_000)

    def test_packed_numbers_that_would_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr(field_limit, "MOST_FIELDS", 1000)
        tensor = TensorProto(name="weights", data_type=TensorProto.INT32, int32_data=[1] * 100_000)
        assert "too many fields" in refused(model(constants=(tensor,)))

    def test_nesting_beyond_what_protobuf_follows(self):
        graph = b""
        for _ in range(40):
            graph = field(1, field(5, field(6, graph)))  # GraphProto.node, NodeProto.attribute, AttributeProto.g
        assert "MaxDepth" in refused(field(7, graph))

    @pytest.mark.parametrize("name", [b"numbers", b"answer", b"Identity", b"weights"])
    def test_a_name_that_is_no_utf_8(self, name):
        made = plain()
        made.graph.initializer.append(constant("weights", [1]))
        content = made.SerializeToString().replace(name, b"\xff" * len(name))
        assert "is no UTF-8" in refused(content)

    def test_a_group_in_which_fields_would_not_be_counted(self):
        group = b"\xa3\x06\xa4\x06"  # the field 100 begins and ends
        assert "of the unknown kind 3" in refused(plain().SerializeToString() + group)

    def test_both_parts_of_a_graph_are_checked(self):
        node = helper.make_node("Run", ["numbers"], ["answer"], domain="evil")
        parts = plain().SerializeToString(), model(node).SerializeToString()
        assert "of the domain 'evil'" in refused(parts[0] + parts[1])
        assert "of the domain 'evil'" in refused(parts[1] + parts[0])

    def test_an_overlong_field_number_that_other_readers_cut_short(self):
        functions = b"\xca\x81\x80\x80\x70\x00"  # (25 << 3 | 2) with bits beyond the 32nd
        assert "is no ONNX file" in refused(plain().SerializeToString() + functions)


def test_no_changed_byte_hides_what_onnx_would_find():
    """Of 3,000 files with changed bytes, those that are accepted hold nothing that is refused."""
    weights = constant("weights", [[1, 2], [3, 4]], np.float32)
    inner = helper.make_node("MatMul", ["numbers", "weights"], ["answer"])
    content = bytearray(model(inner, constants=(weights, external("far"))).SerializeToString())
    chance, accepted = random.Random(4), 0
    for _ in range(3000):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            onnx_check.check(bytes(changed))
        except BundleError:
            continue
        accepted += 1
        try:
            found = onnx.load_from_string(bytes(changed))
        except Exception:
            continue
        assert not any(tensor.data_location for tensor in found.graph.initializer)
        assert not any(tensor.external_data for tensor in found.graph.initializer)
        assert not found.functions
    assert accepted
