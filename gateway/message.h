/* gateway/message.h - protobuf messages from and for the wire, by protobuf-c.
 *
 * A message of some kilobytes can ask for megabytes of memory when it is unpacked (a submessage of
 * two bytes becomes a struct); so unpacking has a limit of its own. Thread: any. */
#ifndef GEMMAD_GATEWAY_MESSAGE_H
#define GEMMAD_GATEWAY_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/status.h"
#include "base/text_buffer.h"

#define MESSAGE_MAX_UNPACKED_BYTES ((size_t)128 << 20)

/* *out is message_free's. INVALID_ARGUMENT: bytes are no such message; RESOURCE_EXHAUSTED: it needs
 * more memory than MESSAGE_MAX_UNPACKED_BYTES. */
NODISCARD enum status message_unpack(const ProtobufCMessageDescriptor *descriptor,
                                     const uint8_t *bytes, size_t n, ProtobufCMessage **out,
                                     struct error *err);
void message_free(ProtobufCMessage *message); /* NULL is fine */

/* Replaces what out held by the packed message. */
void message_pack(const ProtobufCMessage *message, struct text_buffer *out);

#endif
