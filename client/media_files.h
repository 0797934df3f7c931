/* client/media_files.h - the files of --image, --video and --audio, read into the request.
 *
 * Thread: the main thread. */
#ifndef GEMMAD_CLIENT_MEDIA_FILES_H
#define GEMMAD_CLIENT_MEDIA_FILES_H

#include "client/options.h"

extern const struct option_group media_options; /* --image, --video, --audio, --max-soft-tokens */

/* Fills in request.media: images, then videos, then audio, each in the order of its flags. Errors
 * as of input_read_file; INVALID_ARGUMENT: a file is empty. */
NODISCARD enum status media_files_read(struct settings *settings, struct error *err);
/* Parts for them in the content of a chat's message: {"type":"image"}, ... each with a comma behind
 * it. */
void media_files_write_parts(const struct settings *settings, struct text_buffer *out);

#endif
