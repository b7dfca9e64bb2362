"""TFLite metadata: what the input and output of a graph mean, for any program that reads it.

The tables are those of the published TFLite metadata schema (file identifier M001). Its generated
code ships in no package that works without a screen, and the few tables needed are small, so they
are written here field by field.
"""

from collections.abc import Sequence
from typing import Any

import flatbuffers

from edge.contract import InputContract
from edge.convert.graph import Graph
from edge.modelfile import CARD_FILE, LABELS_FILE

_BUFFER = "TFLITE_METADATA"
# The oldest readers know all tables and fields used here.
_MIN_PARSER_VERSION = "1.0.0"

_TENSOR_AXIS_LABELS = 2  # AssociatedFileType
_RGB = 1  # ColorSpaceType
_FEATURE, _IMAGE = 1, 2  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions


def describe(
    graph: bytes,
    *,
    name: str,
    contract: InputContract,
    attributes: Sequence[str],
    licence: str,
    task: str = "attributes",
) -> bytes:
    """Return a TFLite graph with metadata on its input picture and its labelled output.

    Args:
        graph: A TFLite flatbuffer with one input and one output.
        name: Name of the model.
        contract: What its input wants.
        attributes: Names of the values of its output.
        licence: Licence of the model.
        task: One of `edge.modelfile.TASKS`.

    Returns:
        A TFLite flatbuffer; the same bytes for the same arguments.
    """
    changed = Graph(graph)
    changed.model.description = name
    content = _metadata(name, contract, _questions(attributes, task), licence)
    changed.set_metadata(_BUFFER, content)
    return changed.packed()


def normalization(contract: InputContract) -> tuple[float, float]:
    """Return (mean, std) so that (pixel - mean) / std is what the network wants.

    Args:
        contract: Its `value_range` is what pixel 0 and pixel 255 become.
    """
    low, high = contract.value_range
    std = 255 / (high - low)
    return 0.0 - low * std, std


def _questions(attributes: Sequence[str], task: str) -> tuple[str, str]:
    """Return what the model and its output are, in words; names of people are too many for it."""
    count = len(attributes)
    if task == "identity":
        return f"Who a face is, of {count:,} people", f"Probability of each of {count:,} people"
    return (
        f"Face attributes: {', '.join(attributes)}",
        f"Probability of each of {count} attributes",
    )


def _metadata(
    name: str, contract: InputContract, questions: tuple[str, str], licence: str
) -> bytes:
    """Return the ModelMetadata flatbuffer."""
    of_model, of_output = questions
    builder = flatbuffers.Builder(2048)
    card = _table(
        builder,
        5,
        {
            0: builder.CreateString(CARD_FILE),
            1: builder.CreateString("Input contract, thresholds, accuracy and origin of the model"),
        },
    )
    subgraph = _table(
        builder,
        10,
        {
            2: _vector(builder, [_input(builder, contract)]),
            3: _vector(builder, [_output(builder, of_output)]),
        },
    )
    root = _table(
        builder,
        8,
        {
            0: builder.CreateString(name),
            1: builder.CreateString(of_model),
            3: _vector(builder, [subgraph]),
            5: builder.CreateString(licence),
            6: _vector(builder, [card]),
            7: builder.CreateString(_MIN_PARSER_VERSION),
        },
    )
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def _input(builder: flatbuffers.Builder, contract: InputContract) -> int:
    """Write the TensorMetadata of the picture: its size, colours and normalisation."""
    builder.StartObject(2)
    builder.PrependUint32Slot(0, contract.width, 0)
    builder.PrependUint32Slot(1, contract.height, 0)
    size = builder.EndObject()
    builder.StartObject(2)
    builder.PrependInt8Slot(0, _RGB if contract.colour == "RGB" else 0, 0)
    builder.PrependUOffsetTRelativeSlot(1, size, 0)
    image = builder.EndObject()
    mean, std = normalization(contract)
    unit = _union(
        builder,
        1,
        _NORMALIZATION,
        _table(
            builder,
            2,
            {
                0: _floats(builder, [mean]),
                1: _floats(builder, [std]),
            },
        ),
    )
    low, high = contract.value_range
    return _table(
        builder,
        7,
        {
            0: builder.CreateString("image"),
            1: builder.CreateString(f"A face, {contract.width}×{contract.height} pixels"),
            3: _union(builder, 2, _IMAGE, image),
            4: _vector(builder, [unit]),
            5: _table(builder, 2, {0: _floats(builder, [high]), 1: _floats(builder, [low])}),
        },
    )


def _output(builder: flatbuffers.Builder, about: str) -> int:
    """Write the TensorMetadata of the probabilities: their labels and range."""
    file_name = builder.CreateString(LABELS_FILE)
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, file_name, 0)
    builder.PrependInt8Slot(2, _TENSOR_AXIS_LABELS, 0)
    labels = builder.EndObject()
    return _table(
        builder,
        7,
        {
            0: builder.CreateString("probability"),
            1: builder.CreateString(about),
            3: _union(builder, 2, _FEATURE, _table(builder, 0)),
            5: _table(builder, 2, {0: _floats(builder, [1.0]), 1: _floats(builder, [0.0])}),
            6: _vector(builder, [labels]),
        },
    )


def _table(builder: Any, slots: int, fields: dict[int, int] | None = None) -> int:
    """Write a table whose fields are all offsets, by field number."""
    builder.StartObject(slots)
    for slot, offset in (fields or {}).items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _union(builder: Any, slots: int, kind: int, content: int) -> int:
    """Write a table that starts with a union: its type and its content."""
    builder.StartObject(slots + 1)
    builder.PrependUint8Slot(0, kind, 0)
    builder.PrependUOffsetTRelativeSlot(1, content, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
