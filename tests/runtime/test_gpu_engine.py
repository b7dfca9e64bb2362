"""The GPU path: on software Vulkan where there is no GPU, and its refusals everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.assets import fetch
from edge.errors import EdgeError
from edge.modelfile import read_model, resolve_model
from edge.quiet import quiet
from edge.runtime import interpreter
from edge.runtime.classifier import Classifier
from edge.runtime.gpu_engine import Adapter, GpuEngine, refusal, selected_adapter
from edge.runtime.interpreter import Interpreter

# Debian's chromium brings it; a driver named in the environment goes before it.
SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")

SELECTED = (
    "I0000 00:00:1 7 environment.cc:532] Selected adapter: {}, arch={}, vendor={}, "
    "backend=Vulkan, adapterType={}\nINFO: next line\n"
)
SOFTWARE = SELECTED.format("SwiftShader Device (Subzero)", "swiftshader", "google",
                           "CPU / Software")  # fmt: skip
LOADED = "INFO: [gpu_registry.cc:138] Dynamically loaded GPU accelerator(libX.so) registered.\n"


@pytest.fixture(scope="module")
def float32():
    return read_model(resolve_model("default-float32")).graph


@pytest.fixture(scope="module")
def vulkan(float32):
    """A Vulkan adapter, a real one or software."""
    with pytest.MonkeyPatch.context() as patch:
        if "VK_DRIVER_FILES" not in os.environ and SWIFTSHADER.exists():
            patch.setenv("VK_DRIVER_FILES", str(SWIFTSHADER))
        try:
            yield Interpreter(float32, "probe", device="gpu").adapter
        except EdgeError as error:
            if "no Vulkan adapter" not in error.message:
                raise
            if os.environ.get("EDGE_REQUIRE_VULKAN") == "1":
                pytest.fail(error.message)
            pytest.skip(error.message)


@pytest.fixture
def crops():
    return np.random.default_rng(1).integers(0, 256, (2, 80, 80, 3), dtype=np.uint8)


def test_reads_the_adapter_from_what_litert_says():
    assert selected_adapter(SOFTWARE) == Adapter("SwiftShader Device (Subzero)", "Vulkan", True)
    real = SELECTED.format("Card (TM), 8 GB", "ada", "maker", "Discrete GPU")
    assert selected_adapter(SOFTWARE + real) == Adapter("Card (TM), 8 GB", "Vulkan", False)
    assert selected_adapter("INFO: Created a WebGPU environment.\n") is None


def test_reads_the_reason_from_what_litert_says():
    none = "Warning: vkCreateInstance: Found no drivers!\n ERROR: INTERNAL: No adapters found\n"
    unknown = "ERROR: Following operations are not supported by GPU delegate:\n"
    unknown += "DENSIFY: Operation is not supported.\nDEQUANTIZE: \nDEQUANTIZE: not here\n"
    unknown += "159 operations will run on the GPU, and the remaining 229 operations on the CPU.\n"
    assert refusal(LOADED + none) == "no Vulkan adapter was found"
    assert refusal(LOADED + unknown) == "the GPU does not know DENSIFY, DEQUANTIZE"
    assert "has no GPU accelerator" in refusal("INFO: CPU accelerator registered.\n")
    assert refusal(LOADED) is None


def test_float_probabilities_are_those_of_the_cpu(vulkan, float32, crops):
    cpu, gpu = (Interpreter(float32, "float", device=device) for device in ("cpu", "gpu"))
    assert gpu.adapter == vulkan
    assert (gpu.runtime, gpu.device, cpu.adapter) == ("litert", "gpu", None)
    assert gpu.input == cpu.input
    assert gpu.outputs == cpu.outputs
    assert gpu.operators() == {"DELEGATE": 1}
    assert gpu.multiply_adds() == cpu.multiply_adds() > 0
    results = [gpu.run_pixels(crop, (0.0, 255.0))[0] for crop in crops]
    expected = [cpu.run_pixels(crop, (0.0, 255.0))[0] for crop in crops]
    assert np.stack(results) == pytest.approx(np.stack(expected), abs=0.01)
    assert not np.array_equal(results[0], results[1])


def test_int8_probabilities_are_those_of_the_cpu(vulkan, crops):
    model = read_model(resolve_model("default"))
    cpu, gpu = (Classifier(model, device=device) for device in ("cpu", "gpu"))
    assert gpu.adapter == vulkan
    assert gpu.classify(crops) == pytest.approx(cpu.classify(crops), abs=0.06)


def test_outputs_stand_in_the_order_of_the_file(vulkan):
    graph = fetch("blazeface").read_bytes()
    values = np.random.default_rng(0).uniform(-1, 1, (128, 128, 3)).astype(np.float32)
    cpu, gpu = (Interpreter(graph, "blazeface", device=device) for device in ("cpu", "gpu"))
    for ours, theirs in zip(gpu.run(values), cpu.run(values), strict=True):
        assert ours.shape == theirs.shape
        assert ours == pytest.approx(theirs, abs=0.02 * float(np.abs(theirs).max()))


def test_a_graph_that_the_gpu_runs_in_part_is_refused_with_the_operators(vulkan):
    graph = fetch("blazeface-full").read_bytes()
    with pytest.raises(EdgeError, match=r"sparse cannot run on a GPU: .* DENSIFY") as caught:
        Interpreter(graph, "sparse", device="gpu")
    assert caught.value.hint == "leave out --device gpu"


def test_a_part_that_runs_on_the_cpu_is_no_gpu(vulkan):
    from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

    graph = fetch("blazeface-full").read_bytes()
    mixed = HardwareAccelerator.GPU | HardwareAccelerator.CPU
    with pytest.raises(EdgeError, match="does not know DENSIFY"):
        GpuEngine(lambda: CompiledModel.from_buffer(graph, hardware_accel=mixed), "sparse", {}, [])


def test_a_silent_fall_back_to_the_cpu_is_no_gpu(float32):
    from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

    cpu = HardwareAccelerator.CPU
    with pytest.raises(EdgeError, match="float cannot run on a GPU: LiteRT fell back to the CPU"):
        GpuEngine(lambda: CompiledModel.from_buffer(float32, hardware_accel=cpu), "float", {}, [])


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_gpu_that_gives_other_numbers_is_refused(float32, monkeypatch, value):
    class Broken:
        adapter = Adapter("Broken Card", "Vulkan", False)

        def __init__(self, compile_model, name, graph_input, outputs):
            pass

        def fill(self, write):
            pass

        def infer(self):
            return [np.full((1, 2), value, np.float32)]

    monkeypatch.setattr(interpreter, "GpuEngine", Broken)
    with pytest.raises(EdgeError, match="gives other numbers on Broken Card than on the CPU"):
        Interpreter(float32, "float", device="gpu")


def child(code, **environment):
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip


OPEN = (
    "from edge.modelfile import read_model, resolve_model;"
    "from edge.runtime.classifier import Classifier;"
    "import numpy as np;"
    "model = read_model(resolve_model('default'));"
    "gpu = Classifier(model, device='gpu');"
    "gpu.probabilities(np.zeros((80, 80, 3), np.uint8));"
)


def test_opening_running_and_closing_is_quiet(vulkan):
    ended = child(OPEN + "print(gpu.adapter.backend)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{vulkan.backend}\n", "")


def test_without_an_adapter_the_reason_is_named():
    ended = child(OPEN, VK_DRIVER_FILES=os.devnull, VK_ICD_FILENAMES=os.devnull)
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1
    assert last.endswith("default.tflite cannot run on a GPU: no Vulkan adapter was found")
    assert "accelerator_registry" not in ended.stderr


@pytest.mark.parametrize("runtime", ["openvino", "tensorflow", "tflite-runtime"])
def test_other_runtimes_have_no_gpu_here(float32, runtime):
    with pytest.raises(EdgeError, match=f"{runtime} runs on the CPU only") as caught:
        Interpreter(float32, "float", runtime=runtime, device="gpu")
    assert "--runtime litert" in caught.value.hint


def test_an_unknown_device_is_refused_with_the_known_ones(float32):
    with pytest.raises(EdgeError, match="unknown device tpu") as caught:
        Interpreter(float32, "float", device="tpu")
    assert "cpu, gpu" in caught.value.hint


def test_what_was_held_back_can_be_read():
    with quiet() as held:
        os.write(2, b"one\n")
    with pytest.raises(ZeroDivisionError), quiet(ZeroDivisionError) as said:
        os.write(2, bytes(os.write(2, b"two\n") // 0))
    assert (held.text, said.text) == ("one\n", "two\n")
