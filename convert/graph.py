"""A TFLite graph taken apart, changed and packed again."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

# XNNPACK and delegates read weights in place; the schema asks for this alignment.
_ALIGNMENT = 16

# The field of an old file that holds an operator's code; it ends here.
_LAST_OLD_CODE = 127


class Graph:
    """A TFLite model whose first subgraph can be changed.

    Args:
        packed: The flatbuffer.

    Attributes:
        model: As the schema's object API has it.
    """

    def __init__(self, packed: bytes) -> None:
        from tensorflow.lite.python import schema_py_generated as schema

        self._schema = schema
        self.model = schema.ModelT.InitFromPackedBuf(packed)
        for buffer in self.model.buffers:
            if buffer.data is None and buffer.size:  # it lies behind the flatbuffer
                content = packed[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(content, np.uint8), 0, 0
        for code in self.model.operatorCodes:
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            # LiteRT's quantizer leaves it out; OpenVINO and tf2onnx read nothing else.
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, _LAST_OLD_CODE)
        self._main = self.model.subgraphs[0]
        self._kinds = {
            number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()
        }

    @property
    def operators(self) -> list[Any]:
        """The operators, in the order in which they run."""
        return list(self._main.operators)

    @operators.setter
    def operators(self, operators: Sequence[Any]) -> None:
        self._main.operators = list(operators)

    @property
    def inputs(self) -> list[int]:
        """Places of the tensors that the graph takes."""
        return [int(place) for place in self._main.inputs]

    @property
    def outputs(self) -> list[int]:
        """Places of the tensors that the graph gives."""
        return [int(place) for place in self._main.outputs]

    def name(self, place: int) -> str:
        """Return the name of a tensor."""
        return _text(self._main.tensors[place].name)

    def kind(self, operator: Any) -> str:
        """Return the name of an operator in the schema, such as "CONV_2D"."""
        return self._kinds[self.model.operatorCodes[operator.opcodeIndex].builtinCode]

    def takers(self) -> dict[int, list[Any]]:
        """Return the operators that read each tensor, by its place."""
        takers: dict[int, list[Any]] = {}
        for operator in self._main.operators:
            for place in dict.fromkeys(int(place) for place in operator.inputs):
                takers.setdefault(place, []).append(operator)
        return takers

    def constant(self, place: int) -> NDArray[np.float32] | None:
        """Return the values of a float32 constant, flat; None of any other tensor."""
        tensor = self._main.tensors[place]
        data = self.model.buffers[tensor.buffer].data
        if data is None or not len(data) or tensor.type != self._schema.TensorType.FLOAT32:
            return None
        return np.frombuffer(bytes(data), np.float32)

    def scale_constant(self, place: int, factor: float) -> None:
        """Multiply every value of a float32 constant; others of the same values keep theirs."""
        tensor = self._main.tensors[place]
        data = bytes(self.model.buffers[tensor.buffer].data)
        values = np.frombuffer(data, np.float32) * np.float32(factor)
        tensor.buffer = self._add_buffer(values.tobytes())

    def add_constant(self, values: NDArray[np.float32], name: str) -> int:
        """Add a float32 constant and return its place."""
        tensor = self._schema.TensorT()
        tensor.name, tensor.type = name, self._schema.TensorType.FLOAT32
        tensor.shape = np.array(values.shape, np.int32)
        tensor.buffer = self._add_buffer(values.astype(np.float32).tobytes())
        return self._add(tensor)

    def add_tensor_like(self, place: int, suffix: str) -> int:
        """Add a float32 tensor of the shape of another and return its place."""
        other, tensor = self._main.tensors[place], self._schema.TensorT()
        tensor.name = self.name(place) + suffix
        tensor.shape, tensor.shapeSignature = other.shape, other.shapeSignature
        tensor.type = self._schema.TensorType.FLOAT32
        return self._add(tensor)

    def operator(self, kind: str, inputs: Sequence[int], output: int, **options: Any) -> Any:
        """Return a new operator, to be put in its place by the caller.

        Args:
            kind: Its name in the schema: "ADD", "MUL" or "DEPTHWISE_CONV_2D".
            inputs: Places of the tensors that it takes.
            output: Place of the one that it makes.
            **options: Fields of its options in the schema.
        """
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(self._schema.BuiltinOperator, kind))
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        table = f"{''.join(map(str.capitalize, kind.split('_')))}Options".replace("2d", "2D")
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, table)
        operator.builtinOptions = getattr(self._schema, f"{table}T")()
        for name, value in options.items():
            setattr(operator.builtinOptions, name, value)
        return operator

    def signature(self) -> tuple[str, str]:
        """Return the names by which runners call the graph and its input; made if it has none."""
        if not self.model.signatureDefs:
            signature = self._schema.SignatureDefT()
            signature.signatureKey, signature.subgraphIndex = "serving_default", 0
            signature.inputs = [self._named("image", place) for place in self.inputs]
            signature.outputs = [self._named("output_0", place) for place in self.outputs]
            self.model.signatureDefs = [signature]
        signature = self.model.signatureDefs[0]
        return _text(signature.signatureKey), _text(signature.inputs[0].name)

    def shape(self, place: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(int(side) for side in self._main.tensors[place].shape)

    def activation(self, name: str) -> int:
        """Return the number of a fused activation, such as "RELU6"."""
        return int(getattr(self._schema.ActivationFunctionType, name))

    def set_metadata(self, name: str, content: bytes) -> None:
        """Keep bytes under a name, instead of those that had it."""
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, self._add_buffer(content)
        others = [one for one in self.model.metadata or [] if one.name != name.encode()]
        self.model.metadata = [*others, entry]

    def packed(self) -> bytes:
        """Return the flatbuffer; the same bytes for the same changes.

        Tensors that nothing reads or makes are gone from then on, and others in other places.
        """
        model, buffers = self.model, self.model.buffers
        self._forget_unused()
        used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
        used |= {entry.buffer for entry in model.metadata or []}
        data = [
            bytes(one.data) if place in used and one.data is not None else b""
            for place, one in enumerate(buffers)
        ]
        model.buffers = [_AlignedBuffer(content) for content in data]
        builder = flatbuffers.Builder(sum(map(len, data)) + 4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        model.buffers = buffers
        return bytes(builder.Output())

    def _forget_unused(self) -> None:
        """Remove tensors that no operator reads or makes: readers of every tensor stumble."""
        main = self._main
        used = {*self.inputs, *self.outputs, -1}
        for operator in main.operators:
            used |= {int(place) for place in (*operator.inputs, *operator.outputs)}
        kept = [place for place in range(len(main.tensors)) if place in used]
        now = {place: index for index, place in enumerate(kept)} | {-1: -1}
        main.tensors = [main.tensors[place] for place in kept]
        main.inputs, main.outputs = ([now[x] for x in all_] for all_ in (self.inputs, self.outputs))
        for operator in main.operators:
            operator.inputs = [now[int(place)] for place in operator.inputs]
            operator.outputs = [now[int(place)] for place in operator.outputs]
        for signature in self.model.signatureDefs or []:
            for named in (*signature.inputs, *signature.outputs):
                named.tensorIndex = now[named.tensorIndex]

    def _named(self, name: str, place: int) -> Any:
        named = self._schema.TensorMapT()
        named.name, named.tensorIndex = name, place
        return named

    def _add(self, tensor: Any) -> int:
        self._main.tensors.append(tensor)
        return len(self._main.tensors) - 1

    def _add_buffer(self, content: bytes) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def _code(self, number: int) -> int:
        """Return the place of an operator's code in the model, which is added if it has none."""
        for place, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == number:
                return place
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.version = number, 1
        code.deprecatedBuiltinCode = min(number, _LAST_OLD_CODE)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def signed(packed: bytes) -> bytes:
    """Return a graph with a signature; a few come from TensorFlow without."""
    graph = Graph(packed)
    if graph.model.signatureDefs:
        return packed
    graph.signature()
    return graph.packed()


def _text(name: bytes | str) -> str:
    """Return a name, which is bytes where it was read and a string where it was set."""
    return name.decode() if isinstance(name, bytes) else name


class _AlignedBuffer:
    """Packs like the schema's own buffer, whose Python code ignores the alignment it asks for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        content = 0
        if self._data:
            builder.Prep(_ALIGNMENT, len(self._data))
            content = builder.CreateByteVector(self._data)
        builder.StartObject(3)
        builder.PrependUOffsetTRelativeSlot(0, content, 0)
        return int(builder.EndObject())
