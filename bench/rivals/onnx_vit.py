"""Writes the image tower of vit.py as ONNX: F32, and 8 bits as onnxruntime's quantize_dynamic writes it.

8 bits: each of the 49 products with a weight becomes DynamicQuantizeLinear, MatMulInteger (s8 weights, a scale a
column), Cast, Mul, in the order that onnxruntime's optimiser recognises and fuses. torch.onnx.export and the
Python package of onnxruntime are not needed (Debian: python3-onnx).
"""
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


class Graph:
    def __init__(self, int8):
        self.int8, self.nodes, self.weights, self.count = int8, [], [], 0

    def constant(self, array):
        self.count += 1
        name = f"w{self.count}"
        self.weights.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def op(self, kind, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"x{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, x, weight, bias=None):  # weight [I, O]
        if self.int8:
            scale = np.maximum(np.abs(weight).max(0), 1e-12).astype(np.float32) / 127
            q = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
            xq, x_scale, x_zero = self.op("DynamicQuantizeLinear", x, outputs=3)
            product = self.op("MatMulInteger", xq, self.constant(q), x_zero,
                              self.constant(np.zeros(q.shape[1], np.int8)))
            scales = self.op("Mul", x_scale, self.constant(scale))
            y = self.op("Mul", self.op("Cast", product, to=TensorProto.FLOAT), scales)
        else:
            y = self.op("MatMul", x, self.constant(weight))
        return y if bias is None else self.op("Add", y, self.constant(bias))


def write(path, tower, int8):
    """`tower`: vit.ImageTower; its heads are 64 wide."""
    g = Graph(int8)
    state = {name: value.detach().numpy() for name, value in tower.state_dict().items()}
    width, size = state["cls"].shape[2], 224
    tokens = state["places"].shape[1]
    heads = width // 64

    def shape(*sizes):
        return g.constant(np.array(sizes, np.int64))

    def norm(x, name):
        return g.op("LayerNormalization", x, g.constant(state[name + ".weight"]),
                    g.constant(state[name + ".bias"]), axis=-1, epsilon=1e-5)

    def linear(x, name, weight=".weight", bias=".bias"):
        return g.linear(x, state[name + weight].T, state.get(name + bias))

    patches = state["patches.weight"]
    x = g.op("Conv", "pixels", g.constant(patches), kernel_shape=patches.shape[2:], strides=patches.shape[2:])
    x = g.op("Transpose", g.op("Reshape", x, shape(0, width, tokens - 1)), perm=[0, 2, 1])
    batch = g.op("Slice", g.op("Shape", "pixels"), shape(0), shape(1))
    cls = g.op("Expand", g.constant(state["cls"]), g.op("Concat", batch, shape(1, width), axis=0))
    x = norm(g.op("Add", g.op("Concat", cls, x, axis=1), g.constant(state["places"])), "ln_pre")
    for i in range(len(tower.blocks)):
        at = f"blocks.{i}."
        qkv = linear(norm(x, at + "ln_1"), at + "attn.in_proj", "_weight", "_bias")
        qkv = g.op("Transpose", g.op("Reshape", qkv, shape(0, 0, 3, heads, 64)), perm=[2, 0, 3, 1, 4])
        q, k, v = (g.op("Gather", qkv, g.constant(np.array(n, np.int64)), axis=0) for n in range(3))
        q = g.op("Mul", q, g.constant(np.array(0.125, np.float32)))
        scores = g.op("Softmax", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), axis=-1)
        mixed = g.op("Transpose", g.op("MatMul", scores, v), perm=[0, 2, 1, 3])
        x = g.op("Add", x, linear(g.op("Reshape", mixed, shape(0, 0, width)), at + "attn.out_proj"))
        h = linear(norm(x, at + "ln_2"), at + "mlp.0")
        erf = g.op("Erf", g.op("Div", h, g.constant(np.array(2 ** 0.5, np.float32))))
        gelu = g.op("Mul", g.op("Mul", h, g.op("Add", erf, g.constant(np.array(1, np.float32)))),
                    g.constant(np.array(0.5, np.float32)))
        x = g.op("Add", x, linear(gelu, at + "mlp.2"))
    x = norm(g.op("Gather", x, g.constant(np.array(0, np.int64)), axis=1), "ln_post")
    g.nodes.append(helper.make_node("Identity", [linear(x, "proj")], ["embedding"]))
    graph = helper.make_graph(
        g.nodes, "vit", [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", state["proj.weight"].shape[0]])], g.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    save(model, path)
