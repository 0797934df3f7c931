/* media/job_memory.h - the memory file of one job: the file's bytes, then room for the result, of
 * which only what is written takes memory. It becomes the memory of struct media without a copy. */
#ifndef GEMMAD_MEDIA_JOB_MEMORY_H
#define GEMMAD_MEDIA_JOB_MEMORY_H

#include "base/status.h"
#include "media/protocol.h"

/* Makes it, with bytes [job->n_bytes] in it, and sets job->result_offset. *out_fd is the caller's.
 * RESOURCE_EXHAUSTED: no memory or descriptor. */
NODISCARD enum status job_memory_create(struct protocol_job *job, const unsigned char *bytes,
                                        int *out_fd, struct error *err);

/* Gives back what the result does not use and takes the child's way to write it, then maps the
 * result for reading: *out_data [*out_n_bytes], to be unmapped by the caller. The file is still his
 * to close. INTERNAL: the child keeps it mapped. */
NODISCARD enum status job_memory_keep(int fd, const struct protocol_job *job,
                                      const struct protocol_answer *answer,
                                      unsigned char **out_data, size_t *out_n_bytes,
                                      struct error *err);

#endif
