/* client/message_json.h - any message as JSON, for --json: all fields by their names in the .proto
 * file, numbers as numbers, enums by name. Thread: any. */
#ifndef GEMMAD_CLIENT_MESSAGE_JSON_H
#define GEMMAD_CLIENT_MESSAGE_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/text_buffer.h"

/* Appends one object, without a newline. Fields have the same shape in every message: an absent
 * number is 0, an absent text "", an empty list []; only the unset ones of a oneof and absent
 * messages are left out. Numbers that JSON has not (an infinite logprob) are null. */
void message_json(struct text_buffer *out, const ProtobufCMessage *message);
/* Prints it to stdout, as a line. */
void message_print(const ProtobufCMessage *message);

#endif
