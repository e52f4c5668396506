"""Runs one model on one other runtime, in batches, for a driver that interleaves several of them.

usage: python bench/peers.py RUNTIME MODEL [--threads N] [--input FILE.npy]
RUNTIME: onnxruntime | openvino (both: NAME.onnx or NAME_ort_*.onnx), litert (NAME_int8.tflite),
         ncnn (NAME_f32.ncnn.param, in float), mnn (NAME_int8.mnn),
         reference (ONNX Runtime with its optimizer off: QDQ models as float arithmetic between
         roundings, which saturates on no CPU; says what the answer is, never how fast)

Protocol, a JSON object a line on stdout: first {"runtime", "version", "create_ms"}; then for each
line "run N" on stdin {"runs_ms": [N times], "top1": class}. End of input ends it; what it cannot do
ends it with status 1 and a line on stderr, and a runtime that is not installed with status 3 and
a line. What runtimes print goes to stderr. Timed is what a caller waits for: input in, output out.
Left out: pre-processing (the input is made up beforehand, the same that `etalase bench` makes up).
"""

import argparse
import json
import os
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


def nchw(x):
    return x.transpose(0, 3, 1, 2)


def ncnn(model, threads):
    import ncnn as runtime

    net = runtime.Net()
    net.opt.num_threads = threads
    # Float is to mean f32 here; halves, its default, change the scores and save no time on x86.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    start = time.perf_counter()
    if net.load_param(model) != 0 or net.load_model(model.removesuffix(".param") + ".bin") != 0:
        sys.exit(f"{model}: ncnn does not load it")
    create = time.perf_counter() - start
    side = side_of(model)

    def run(x):
        with net.create_extractor() as extractor:
            extractor.input("in0", runtime.Mat(x[0]))
            status, scores = extractor.extract("out0")
            if status != 0:
                sys.exit(f"{model}: ncnn does not run it")
            return np.array(scores)

    return runtime.__version__, create, [1, side, side, 3], nchw, run


def side_of(model):
    """ncnn's files do not say how large the input is."""
    from models import NETWORKS

    name = os.path.basename(model).removesuffix("_f32.ncnn.param")
    if name not in NETWORKS:
        sys.exit(f"{model}: none of bench/models.py's networks")
    return NETWORKS[name][1]


def mnn(model, threads):
    import MNN

    start = time.perf_counter()
    interpreter = MNN.Interpreter(model)
    session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "normal"})
    create = time.perf_counter() - start
    source, sink = interpreter.getSessionInput(session), interpreter.getSessionOutput(session)
    n, c, h, w = source.getShape()
    layout = MNN.Tensor_DimensionType_Caffe
    scores = MNN.Tensor(sink.getShape(), MNN.Halide_Type_Float, np.zeros(sink.getShape(), np.float32), layout)
    image = None

    def run(x):
        nonlocal image
        if image is None:
            image = MNN.Tensor(source.getShape(), MNN.Halide_Type_Float, x, layout)
        source.copyFrom(image)
        interpreter.runSession(session)
        sink.copyToHostTensor(scores)
        return scores.getNumpyData()

    return MNN.version(), create, [n, h, w, c], nchw, run


RUNTIMES = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "litert": litert,
    "ncnn": ncnn,
    "mnn": mnn,
    "reference": reference,
}
# Those that may be missing, and the module whose absence says so.
OPTIONAL = {"ncnn": "ncnn", "mnn": "MNN"}
ABSENT = 3


def protocol():
    """Stdout for answers alone: MNN prints there as soon as it is imported."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def main():
    parser = argparse.ArgumentParser(description="Runs one model on one runtime, in batches")
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--input", help="f32 array to run on instead of the made-up one")
    arguments = parser.parse_args()
    out = protocol()

    def answer(value):
        print(json.dumps(value), file=out, flush=True)

    try:
        version, create, shape, prepare, run = RUNTIMES[arguments.runtime](arguments.model, arguments.threads)
    except ModuleNotFoundError as error:
        if error.name != OPTIONAL.get(arguments.runtime):
            raise
        print(f"{arguments.runtime}: not installed: {error.name}", file=sys.stderr)
        sys.exit(ABSENT)
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
