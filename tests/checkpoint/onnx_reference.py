"""Our ONNX graphs in onnx.checker, ONNX Runtime and OpenVINO: onnx_reference.py DIR [--table]

DIR holds the graphs and case_*.safetensors with inputs (in.*) and what OpenCLOC computes of them (out.*). Each runtime
gets the same inputs; the largest difference, relative to the largest value, must be at most 1e-4. --table prints one line
per graph and runtime.
"""

import pathlib
import sys

import numpy
import onnx
import onnxruntime
import openvino
from safetensors.numpy import load_file

TOLERANCE = 1e-4
# Which tensors of a case a graph reads and gives, where they do not have the graph's own names.
RENAMED = {
    'prompter_points.onnx': {'out.region_embeds': 'out.point_embeds'},
    'grounding.onnx': {'in.text_embeds': 'in.region_texts'},
}
TOKENS = 'image_tokens'  # what the image tower gives, and the others read


class Runtimes:
    """The graph at a path, compiled by each runtime -> functions of {name: array} to {name: array}."""

    def __init__(self, path):
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(str(path), load_external_data=False)
        self.inputs = [port.name for port in model.graph.input]
        self.outputs = [port.name for port in model.graph.output]
        session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
        self.run = {
            f'ONNX Runtime {onnxruntime.__version__}': lambda feed: dict(zip(self.outputs, session.run(self.outputs, feed))),
            f'OpenVINO {openvino.__version__.split("-")[0]}': lambda feed: {
                name: compiled(feed)[name] for name in self.outputs
            },
        }


def largest_difference(found, wanted):
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    return float(numpy.abs(found - wanted).max() / numpy.abs(wanted).max())


def differences(folder):
    """(graph, runtime, {output: largest difference over all cases})"""
    cases = [load_file(path) for path in sorted(folder.glob('case_*.safetensors'))]
    assert len(cases) >= 2, 'several batch sizes'
    for path in sorted(folder.glob('*.onnx')):
        runtimes = Runtimes(path)
        renamed = RENAMED.get(path.name, {})
        for name, run in runtimes.run.items():
            worst = {}
            for case in cases:

                def of_case(kind, port, case=case):
                    key = f'out.{port}' if port == TOKENS else f'{kind}.{port}'
                    return case[renamed.get(key, key)]

                found = run({port: of_case('in', port) for port in runtimes.inputs})
                for port in runtimes.outputs:
                    worst[port] = max(worst.get(port, 0.0), largest_difference(found[port], of_case('out', port)))
            yield path.name, name, worst


def main():
    folder = pathlib.Path(sys.argv[1])
    worst = 0.0
    for graph, runtime, found in differences(folder):
        for port, value in found.items():
            if '--table' in sys.argv or not value <= TOLERANCE:
                print(f'{graph} {runtime} {port}: {value:.1e}')
            worst = max(worst, value) if value == value else float('inf')
    print(f'largest difference {worst:.1e}')
    return 0 if worst <= TOLERANCE else 1


if __name__ == '__main__':
    sys.exit(main())
