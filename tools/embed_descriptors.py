#!/usr/bin/env python3
"""Turns the descriptor set of the published .proto files into the C table of proto/descriptors.h,
which is what server reflection serves.

    embed_descriptors.py DESCRIPTOR_SET OUT.c

Reads the few fields it needs of FileDescriptorSet by hand, so that the build needs no protobuf
module for Python.
"""
import sys


def fields(data):
    """(number, value) of a message's fields; varints as int, others as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            yield key >> 3, data[at:at + length]
            at += length
        else:
            raise ValueError(f"wire type {key & 7} in a descriptor")


def named(data, number):
    return [value for n, value in fields(data) if n == number]


def name_of(data):
    return named(data, 1)[0].decode()


def message_symbols(data, scope):
    name = f"{scope}{name_of(data)}"
    yield name
    for field in named(data, 2):
        yield f"{name}.{name_of(field)}"
    for nested in named(data, 3):
        yield from message_symbols(nested, name + ".")
    for enum in named(data, 4):
        yield f"{name}.{name_of(enum)}"


def file_symbols(data):
    package = named(data, 2)
    scope = package[0].decode() + "." if package else ""
    for message in named(data, 4):
        yield from message_symbols(message, scope)
    for enum in named(data, 5):
        yield scope + name_of(enum)
    for service in named(data, 6):
        yield scope + name_of(service)
        for method in named(service, 2):
            yield f"{scope}{name_of(service)}.{name_of(method)}"


def services(data):
    package = named(data, 2)
    scope = package[0].decode() + "." if package else ""
    return [scope + name_of(service) for service in named(data, 6)]


def main(source, target):
    with open(source, "rb") as file:
        files = named(file.read(), 1)
    out = ['/* Made by tools/embed_descriptors.py. */', '#include "proto/descriptors.h"', ""]
    for i, data in enumerate(files):
        numbers = ", ".join(str(byte) for byte in data)
        out.append(f"static const unsigned char bytes_{i}[] = {{{numbers}}};")
        symbols = ", ".join(f'"{symbol}"' for symbol in file_symbols(data))
        out.append(f"static const char *const symbols_{i}[] = {{{symbols}}};")
    out.append("const struct proto_file proto_files[] = {")
    for i, data in enumerate(files):
        out.append(f'    {{"{name_of(data)}", bytes_{i}, sizeof bytes_{i}, symbols_{i}, '
                   f"sizeof symbols_{i} / sizeof *symbols_{i}}},")
    out += ["};", "const size_t n_proto_files = sizeof proto_files / sizeof *proto_files;"]
    names = [name for data in files for name in services(data)]
    out.append("const char *const proto_services[] = {")
    out += [f'    "{name}",' for name in names]
    out += ["};", "const size_t n_proto_services = sizeof proto_services / sizeof *proto_services;"]
    with open(target, "w") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
