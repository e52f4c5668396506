"""Runs one model on one other runtime, in batches, for a driver that interleaves several of them.

usage: python bench/peers.py RUNTIME MODEL [--threads N] [--input FILE.npy]
RUNTIME: onnxruntime | openvino (both: NAME.onnx or NAME_ort_*.onnx), litert (NAME_int8.tflite),
         reference (ONNX Runtime with its optimizer off: QDQ models as float arithmetic between
         roundings, which saturates on no CPU; says what the answer is, never how fast)

Protocol, a JSON object a line on stdout: first {"runtime", "version", "create_ms"}; then for each
line "run N" on stdin {"runs_ms": [N times], "top1": class}. End of input ends it; what it cannot do
ends it with status 1 and a line on stderr. Timed is what a caller waits for: input in, output out.
Left out: pre-processing (the input is made up beforehand, the same that `etalase bench` makes up).
"""

import argparse
import json
import sys
import time

import numpy as np


def noise(shape):
    """`etalase bench`'s input: bytes by Marsaglia's xorshift64, mapped to -1..1."""
    state, mask = 0x2545_F491_4F6C_DD1D, (1 << 64) - 1
    values = np.empty(int(np.prod(shape)), np.float32)
    for index in range(values.size):
        state ^= (state << 13) & mask
        state ^= state >> 7
        state ^= (state << 17) & mask
        values[index] = (state >> 32) & 255
    return (values / np.float32(127.5) - np.float32(1.0)).reshape(shape)


def onnxruntime(model, threads, optimize=True):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    start = time.perf_counter()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    create = time.perf_counter() - start
    name = session.get_inputs()[0].name
    shape = session.get_inputs()[0].shape
    return ort.__version__, create, shape, lambda x: x, lambda x: session.run(None, {name: x})[0]


def reference(model, threads):
    return onnxruntime(model, threads, optimize=False)


def openvino(model, threads):
    import openvino as ov

    core = ov.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"})
    start = time.perf_counter()
    compiled = core.compile_model(model, "CPU")
    request = compiled.create_infer_request()
    create = time.perf_counter() - start
    shape = list(compiled.input(0).shape)
    tensor = None

    def run(x):
        nonlocal tensor
        if tensor is None:
            tensor = ov.Tensor(x, shared_memory=True)
            request.set_input_tensor(tensor)
        request.infer()
        return request.get_output_tensor(0).data

    return ov.__version__.split("-")[0], create, shape, lambda x: x, run


def litert(model, threads):
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    start = time.perf_counter()
    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    create = time.perf_counter() - start
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def prepare(x):
        if source["dtype"] is np.float32:
            return x
        scale, zero_point = source["quantization"]
        limits = np.iinfo(source["dtype"])
        return np.clip(np.round(x / scale) + zero_point, limits.min, limits.max).astype(source["dtype"])

    def run(x):
        interpreter.set_tensor(source["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(sink["index"])

    return version("ai-edge-litert"), create, list(source["shape"]), prepare, run


RUNTIMES = {"onnxruntime": onnxruntime, "openvino": openvino, "litert": litert, "reference": reference}


def answer(value):
    print(json.dumps(value), flush=True)


def main():
    parser = argparse.ArgumentParser(description="Runs one model on one runtime, in batches")
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--input", help="f32 array to run on instead of the made-up one")
    arguments = parser.parse_args()
    version, create, shape, prepare, run = RUNTIMES[arguments.runtime](arguments.model, arguments.threads)
    image = np.load(arguments.input) if arguments.input else noise([int(d) for d in shape])
    image = np.ascontiguousarray(prepare(image))
    answer({"runtime": arguments.runtime, "version": version, "create_ms": round(create * 1e3, 3)})
    for line in sys.stdin:
        command, _, count = line.strip().partition(" ")
        if command != "run" or not count.isdecimal() or int(count) == 0:
            sys.exit(f"not understood: {line.strip()!r}; known: run N")
        runs_ms, classes = [], set()
        for _ in range(int(count)):
            start = time.perf_counter()
            scores = run(image)
            runs_ms.append(round((time.perf_counter() - start) * 1e3, 4))
            classes.add(int(np.argmax(scores)))
        if len(classes) != 1:
            sys.exit(f"runs on the same input named different classes: {sorted(classes)}")
        answer({"runs_ms": runs_ms, "top1": classes.pop()})


if __name__ == "__main__":
    main()
