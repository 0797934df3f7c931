/* daemon/worker_files.c - see the header. A world of one has no collectives, but its file has a
 * page, and so has the media file of a model without encoders: the handshake has one form. */
#include "daemon/worker_files.h"

#include "engine/ring.h"
#include "tp/comm.h"

enum status worker_files_bytes(const struct worker_load *load, size_t *out, struct error *err)
{
    size_t step_bytes = step_max_bytes(&load->limits);
    size_t result_bytes = step_result_max_bytes(&load->limits);
    if (step_bytes == 0 || result_bytes == 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "the step limits make no sense");
    out[CONTROL_STEPS] = ring_shared_bytes(load->n_ring_slots, step_bytes);
    out[CONTROL_RESULTS] = ring_shared_bytes(load->n_ring_slots, result_bytes);
    out[CONTROL_COLLECTIVES] = load->world_size == 1
                                   ? 4096
                                   : tp_comm_shared_bytes(load->world_size, load->collective_bytes);
    out[CONTROL_MEDIA] = load->limits.media_bytes > 0 ? load->limits.media_bytes : 4096;
    return STATUS_OK;
}
