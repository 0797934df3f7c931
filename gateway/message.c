/* gateway/message.c - unpacks with an allocator that counts. What was given out is not given back
 * to the count: a message that is packed so that unpacking allocates again and again is ended too.
 */
#include "gateway/message.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

struct budget {
    size_t left_bytes;
    bool spent;
};

static void *take(void *context, size_t n)
{
    struct budget *budget = context;
    if (n > budget->left_bytes) {
        budget->spent = true;
        return NULL;
    }
    budget->left_bytes -= n;
    return mem_zeroed(1, n);
}

static void give_back(void *context, void *block)
{
    (void)context;
    free(block);
}

enum status message_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                           size_t n, ProtobufCMessage **out, struct error *err)
{
    struct budget budget = {.left_bytes = MESSAGE_MAX_UNPACKED_BYTES};
    ProtobufCAllocator allocator = {take, give_back, &budget};
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, n, bytes);
    if (!message && budget.spent)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: needs more than %zu MiB of memory",
                         descriptor->name, MESSAGE_MAX_UNPACKED_BYTES >> 20);
    if (!message)
        return error_set(err, STATUS_INVALID_ARGUMENT, "no well-formed %s", descriptor->name);
    *out = message;
    return STATUS_OK;
}

void message_free(ProtobufCMessage *message)
{
    if (!message)
        return;
    // The budget is no longer there, so the allocator only frees.
    ProtobufCAllocator allocator = {take, give_back, NULL};
    protobuf_c_message_free_unpacked(message, &allocator);
}

void message_pack(const ProtobufCMessage *message, struct text_buffer *out)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    char *bytes = mem_zeroed(1, n + 1);
    protobuf_c_message_pack(message, (uint8_t *)bytes);
    text_buffer_finish(out);
    *out = (struct text_buffer){bytes, n, n + 1};
}
