#!/usr/bin/env python3
"""A stand-in for grpcurl (which Debian does not package) that understands what docs/api.md shows:

    grpcurl -plaintext [-H 'name: value'] [-d JSON] ADDRESS SERVICE/METHOD
    grpcurl -plaintext ADDRESS list

Like grpcurl it knows nothing but what server reflection tells it.
"""

import argparse
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main():
    parser = argparse.ArgumentParser(prog="grpcurl")
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("-d", default="{}", dest="data")
    parser.add_argument("address")
    parser.add_argument("method")
    options = parser.parse_args()
    metadata = [tuple(part.strip() for part in header.split(":", 1)) for header in options.headers]
    with grpc.insecure_channel(options.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if options.method == "list":
            print("\n".join(database.get_services()))
            return
        pool = descriptor_pool.DescriptorPool(database)
        service, name = options.method.split("/")
        method = pool.FindServiceByName(service).FindMethodByName(name)
        request = json_format.Parse(
            options.data, message_factory.GetMessageClass(method.input_type)()
        )
        call = channel.unary_stream(
            f"/{options.method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        try:
            for answer in call(
                request, metadata=[(name.lower(), value) for name, value in metadata], timeout=300
            ):
                print(json_format.MessageToJson(answer))
        except grpc.RpcError as error:
            sys.exit(f"ERROR:\n  Code: {error.code().name}\n  Message: {error.details()}")


if __name__ == "__main__":
    main()
