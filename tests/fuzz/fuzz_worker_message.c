/* tests/fuzz/fuzz_worker_message.c - a packet of any bytes on the control socket: refused, or a
 * message that can be sent again (encode checks every rule by reading its own packet back). */
#include <stdint.h>

#include "daemon/worker_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct worker_message message;
    struct error err = {0};
    if (worker_message_decode(data, n, &message, &err) != STATUS_OK) {
        CHECK(err.status == STATUS_INVALID_ARGUMENT && err.message[0]);
        return 0;
    }
    struct text_buffer again = {0};
    worker_message_encode(&message, &again);
    text_buffer_finish(&again);
    return 0;
}
