/* media/work.h - a job done: what a child makes of a file's bytes. It trusts the job and nothing of
 * the bytes. Thread: one at a time. */
#ifndef GEMMAD_MEDIA_WORK_H
#define GEMMAD_MEDIA_WORK_H

#include "media/protocol.h"

/* bytes [job->n_bytes]; result [job->result_bytes], 64-byte aligned. All is in *out, also why not.
 */
void work_run(const struct protocol_job *job, const unsigned char *bytes, unsigned char *result,
              struct protocol_answer *out);

#endif
