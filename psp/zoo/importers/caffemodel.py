"""The layers in a .caffemodel file, read without Caffe and without a protocol buffer library.

A .caffemodel is a NetParameter message of protocol buffers. Of its schema (BVLC caffe.proto and the
authors' additions) this needs:

    NetParameter          100 layer*          (2 layers*: the format before 2014)
    LayerParameter        1 name, 2 type, 3 bottom*, 7 blobs*, 106 convolution, 121 pooling, 152 bn
    BlobProto             5 data (packed float), 7 shape { 1 dim* }; before, 1..4 were its sizes
    ConvolutionParameter  4 kernel*, 6 stride*, 18 dilation*
    PoolingParameter      1 pool (0 max, 1 average), 2 kernel
    BNParameter           3 momentum, 4 eps
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from psp.errors import PspError


@dataclass
class Layer:
    """A layer with its blobs (float32 arrays) and those parameters that a PSPNet needs."""

    name: str = ""
    kind: str = ""
    bottoms: list[str] = field(default_factory=list)
    blobs: list[np.ndarray[Any, np.dtype[np.float32]]] = field(default_factory=list)
    kernel: int = 0
    stride: int = 1
    dilation: int = 1
    average: bool = False
    momentum: float = 0.95
    eps: float = 1e-5


def read_layers(net: memoryview) -> Iterator[Layer]:
    """Yield the layers of a NetParameter message. Raises PspError if it is damaged or too old."""
    old = False
    for number, value in _fields(net):
        if number == 100 and isinstance(value, memoryview):
            yield _layer(value)
        old = old or number == 2
    if old:
        raise PspError(
            "a Caffe model of the format before 2014; convert it with upgrade_net_proto_binary."
        )


def _layer(message: memoryview) -> Layer:
    layer = Layer()
    for number, value in _fields(message):
        if number == 1:
            layer.name = _text(value)
        elif number == 2:
            layer.kind = _text(value)
        elif number == 3:
            layer.bottoms.append(_text(value))
        elif number == 7:
            layer.blobs.append(_blob(_message(value)))
        elif number == 106:
            integers = _integers(_message(value))
            layer.stride = integers.get(6, 1)
            layer.kernel = integers.get(4, 0)
            layer.dilation = integers.get(18, 1)
        elif number == 121:
            integers = _integers(_message(value))
            layer.average = integers.get(1, 0) == 1
            layer.kernel = integers.get(2, 0)
        elif number == 152:
            for subfield, item in _fields(_message(value)):
                if subfield in (3, 4) and not isinstance(item, int) and len(item) == 4:
                    (real,) = struct.unpack("<f", item)
                    if subfield == 3:
                        layer.momentum = real
                    else:
                        layer.eps = real
    return layer


def _blob(message: memoryview) -> np.ndarray[Any, np.dtype[np.float32]]:
    shape: list[int] = []
    legacy = [1, 1, 1, 1]
    values = bytearray()
    for number, value in _fields(message):
        if number == 7:
            shape = []
            for _, n in _unpacked(_message(value)):
                shape.append(n)
                if len(shape) > 8:
                    raise PspError("damaged Caffe model: a blob of more than 8 axes.")
        elif number == 5:
            values += _message(value)
        elif 1 <= number <= 4 and isinstance(value, int):
            legacy[number - 1] = value
    if len(values) % 4:
        raise PspError(f"damaged Caffe model: {len(values)} bytes of float32 values.")
    data = np.frombuffer(values, "<f4")
    shape = shape or legacy
    if data.size != math.prod(shape):
        raise PspError(f"damaged Caffe model: a blob of shape {shape} has {data.size} values.")
    return data.reshape(shape) if data.size else np.zeros(0, np.float32)


def _integers(message: memoryview) -> dict[int, int]:
    """Return the first value of every integer field, by field number."""
    values: dict[int, int] = {}
    for number, value in _unpacked(message):
        values.setdefault(number, value)
    return values


def _unpacked(message: memoryview) -> Iterator[tuple[int, int]]:
    """Yield the integer fields; several values of a field may be packed into one item."""
    for number, value in _fields(message):
        if isinstance(value, int):
            yield number, value
        elif number in (1, 4, 6, 18):
            at = 0
            while at < len(value):
                item, at = _varint(value, at)
                yield number, item


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field of a message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise PspError(
                "not a Caffe model, or damaged: not a sequence of protocol buffer fields."
            )
        if number == 0 or at + length > len(message):
            raise PspError("not a Caffe model, or a truncated one: a field reaches past the end.")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the integer at a position, and the position after it."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise PspError("not a Caffe model, or a truncated one: a number has no end.")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise PspError("not a Caffe model: a number in the place of a message.")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8", errors="replace")
