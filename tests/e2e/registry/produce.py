"""Fills a topic through Confluent's own Python serializers and prints the rows it must become.

    produce.py BOOTSTRAP REGISTRY FORMAT TOPIC COUNT [OPTION=VALUE...]

FORMAT is avro, protobuf or json. The schema is evolved twice on the way, and the third version refers
to a schema of another subject. Messages of all versions are mixed; keys are plain text. Each line of
the output is one row as JSON, columns that a version lacks being null. Knows nothing of starsink: rows
are made from the same Python values as messages, never from bytes.
"""

import datetime
import decimal
import importlib
import json
import os
import sys
import tempfile

from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.serialization import MessageField, SerializationContext

UTC = datetime.timezone.utc
NAMES = ["Anna", "Łukasz", "李雷", "o'Neil \"q\"", "", "back\\slash\nline"]


def row(index):
    """Values of one row; which of them a message has is its version's affair."""
    version = index % 3 + 1
    at = datetime.datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC) + datetime.timedelta(
        milliseconds=index * 1_234_567
    )
    values = {
        "id": index,
        "big": 2**62 + index if index % 2 else -(2**62) - index,
        "name": NAMES[index % len(NAMES)],
        "amount": index + 0.5,
    }
    if version >= 2:
        values["city"] = None if index % 5 == 0 else f"city {index % 7}"
        values["price"] = decimal.Decimal(index * 31 - 4_000).scaleb(-2)
        values["day"] = (at + datetime.timedelta(days=index)).date()
        values["at"] = at.replace(microsecond=at.microsecond // 1000 * 1000)
        values["active"] = index % 4 == 1
    if version >= 3:
        values["tags"] = [f"t{n}" for n in range(index % 4)]
        values["address"] = {"street": NAMES[index % len(NAMES)], "number": index % 100}
        values["kind"] = ["OPEN", "CLOSED"][index % 2]
        # The third version lacks what the first one had.
        del values["amount"]
    return version, values


def expected(values):
    """The row's JSON: what StarRocks shall hold."""
    out = {}
    for column in [
        "id", "big", "name", "amount", "city", "price", "day", "at", "active", "tags", "address", "kind",
    ]:
        value = values.get(column)
        if isinstance(value, datetime.datetime):
            value = value.strftime("%Y-%m-%d %H:%M:%S.%f")
        elif isinstance(value, datetime.date):
            value = value.isoformat()
        elif isinstance(value, decimal.Decimal):
            value = f"{value:.2f}"
        out[column] = value
    return out


AVRO_V1 = ["id", "big", "name", "amount"]
AVRO_FIELDS = {
    "id": '{"name":"id","type":"int"}',
    "big": '{"name":"big","type":"long"}',
    "name": '{"name":"name","type":"string"}',
    "amount": '{"name":"amount","type":"double","default":0}',
    "city": '{"name":"city","type":["null","string"],"default":null}',
    "price": '{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":2},"default":"\\u0000"}',
    "day": '{"name":"day","type":{"type":"int","logicalType":"date"},"default":0}',
    "at": '{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"},"default":0}',
    "active": '{"name":"active","type":"boolean","default":false}',
    "tags": '{"name":"tags","type":{"type":"array","items":"string"},"default":[]}',
    "address": '{"name":"address","type":["null","org.example.Address"],"default":null}',
    "kind": '{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["OPEN","CLOSED"]},"default":"OPEN"}',
}
AVRO_ADDRESS = (
    '{"type":"record","name":"Address","namespace":"org.example","fields":'
    '[{"name":"street","type":"string"},{"name":"number","type":"int"}]}'
)


def avro(client, topic, options):
    from confluent_kafka.schema_registry.avro import AvroSerializer

    address = Schema(AVRO_ADDRESS, "AVRO")
    subject = f"{topic}-address"
    client.register_schema(subject, address)
    serializers = {}
    for version in (1, 2, 3):
        fields = ",".join(AVRO_FIELDS[name] for name in row(version - 1)[1])
        text = f'{{"type":"record","name":"Row","namespace":"org.example","fields":[{fields}]}}'
        references = [SchemaReference("org.example.Address", subject, 1)] if version == 3 else []
        schema = Schema(text, "AVRO", references)
        serializers[version] = AvroSerializer(client, schema, conf=options)
    return lambda version, values, context: serializers[version](values, context)


PROTO_FIELDS = {
    "id": "int32 id = 1;",
    "big": "sint64 big = 2;",
    "name": "string name = 3;",
    "amount": "double amount = 4;",
    "city": "optional string city = 5;",
    "price": "string price = 6;",
    "day": "string day = 7;",
    "at": "google.protobuf.Timestamp at = 8;",
    "active": "bool active = 9;",
    "tags": "repeated string tags = 10;",
    "address": "org.example.Address address = 11;",
    "kind": "Kind kind = 12;",
}
PROTO_ADDRESS = """syntax = "proto3"; package org.example;
message Address { string street = 1; int32 number = 2; }
"""


def protobuf(client, topic, options):
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from google.protobuf import timestamp_pb2
    from grpc_tools import protoc
    import grpc_tools

    directory = tempfile.mkdtemp()
    sys.path.insert(0, directory)
    # File names are subjects of references, so each topic has its own.
    tail = topic.replace("-", "_").replace(".", "_")
    names = {1: f"v1_{tail}", 2: f"v2_{tail}", 3: f"v3_{tail}"}
    with open(os.path.join(directory, f"address_{tail}.proto"), "w") as file:
        file.write(PROTO_ADDRESS)
    for version, name in names.items():
        fields = " ".join(PROTO_FIELDS[name] for name in row(version - 1)[1])
        imports = 'import "google/protobuf/timestamp.proto";'
        if version == 3:
            imports += f' import "address_{tail}.proto";'
        # The message is not the file's first one, so that its index says something.
        text = (
            f'syntax = "proto3"; package org.example.v{version}; {imports}\n'
            f"message First {{ int32 x = 1; }}\n"
            f"message Row {{ enum Kind {{ OPEN = 0; CLOSED = 1; }} {fields} }}\n"
        )
        with open(os.path.join(directory, f"{name}.proto"), "w") as file:
            file.write(text)
    known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    files = [f"address_{tail}.proto"] + [f"{name}.proto" for name in names.values()]
    status = protoc.main(["protoc", f"-I{directory}", f"-I{known}", f"--python_out={directory}", *files])
    assert status == 0, "protoc refuses"
    modules = {version: importlib.import_module(f"{name}_pb2") for version, name in names.items()}
    options = {"use.deprecated.format": False, **options}
    serializers = {
        version: ProtobufSerializer(module.Row, client, conf=options)
        for version, module in modules.items()
    }

    def serialize(version, values, context):
        message = modules[version].Row()
        for name, value in values.items():
            if value is None:
                continue
            if isinstance(value, datetime.datetime):
                stamp = timestamp_pb2.Timestamp()
                stamp.FromDatetime(value)
                message.at.CopyFrom(stamp)
            elif name == "tags":
                message.tags.extend(value)
            elif name == "address":
                message.address.street = value["street"]
                message.address.number = value["number"]
            elif name == "kind":
                message.kind = modules[version].Row.Kind.Value(value)
            elif isinstance(value, (datetime.date, decimal.Decimal)):
                setattr(message, name, str(value))
            else:
                setattr(message, name, value)
        return serializers[version](message, context)

    return serialize


JSON_FIELDS = {
    "id": {"type": "integer", "connect.type": "int32"},
    "big": {"type": "integer"},
    "name": {"type": "string"},
    "amount": {"type": "number"},
    "city": {"oneOf": [{"type": "null"}, {"type": "string"}]},
    "price": {"type": "string"},
    "day": {"type": "string"},
    "at": {"type": "integer", "title": "org.apache.kafka.connect.data.Timestamp"},
    "active": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "address": {"$ref": "http://example.org/address.json"},
    "kind": {"enum": ["OPEN", "CLOSED"]},
}
JSON_ADDRESS = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$id": "http://example.org/address.json",
    "title": "Address",
    "type": "object",
    "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
}


def json_schema(client, topic, options):
    from confluent_kafka.schema_registry.json_schema import JSONSerializer

    subject = f"{topic}-address"
    client.register_schema(subject, Schema(json.dumps(JSON_ADDRESS), "JSON"))
    serializers = {}
    for version in (1, 2, 3):
        properties = {}
        for place, name in enumerate(row(version - 1)[1]):
            properties[name] = {**JSON_FIELDS[name]}
            if "$ref" not in properties[name]:
                properties[name]["connect.index"] = place
        text = json.dumps(
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "title": "Row",
                "type": "object",
                "properties": properties,
                "additionalProperties": True,
            }
        )
        references = []
        if version == 3:
            references = [SchemaReference("http://example.org/address.json", subject, 1)]
        schema = Schema(text, "JSON", references)
        serializers[version] = JSONSerializer(schema, client, conf=options)

    def serialize(version, values, context):
        plain = {}
        for name, value in values.items():
            if isinstance(value, datetime.datetime):
                value = round(value.timestamp() * 1000)
            elif isinstance(value, (datetime.date, decimal.Decimal)):
                value = str(value)
            plain[name] = value
        return serializers[version](plain, context)

    return serialize


FORMATS = {"avro": avro, "protobuf": protobuf, "json": json_schema}


def main():
    bootstrap, registry, kind, topic, count, *rest = sys.argv[1:]
    client = SchemaRegistryClient({"url": registry})
    options = dict(pair.split("=", 1) for pair in rest)
    serialize = FORMATS[kind](client, topic, options)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    for index in range(int(count)):
        version, values = row(index)
        headers = []
        context = SerializationContext(topic, MessageField.VALUE, headers)
        value = serialize(version, values, context)
        producer.produce(topic, key=str(index), value=value, headers=context.headers or None)
        producer.poll(0)
        print(json.dumps(expected(values), ensure_ascii=False))
    left = producer.flush(60)
    assert left == 0, f"{left} messages were not delivered"


main()
