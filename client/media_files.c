/* client/media_files.c - what a file is the server finds out; the mime type that goes with it says
 * no more than the flag did. */
#include "client/media_files.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/input.h"

static const struct option media_table[] = {
    {"image", 0, OPTION_TEXTS, OPTION_LIST(media, images), "FILE", 0, 0,
     "a picture (JPEG, PNG, WebP, GIF): stands where <|image|> does in a prompt, before the first "
     "message of a chat; may be repeated, as may the next two"},
    {"video", 0, OPTION_TEXTS, OPTION_LIST(media, videos), "FILE", 0, 0,
     "a video (MP4, WebM, MKV, moving GIF or WebP); its place is <|video|>"},
    {"audio", 0, OPTION_TEXTS, OPTION_LIST(media, clips), "FILE", 0, 0,
     "a clip of audio (WAV, MP3, FLAC, Ogg); its place is <|audio|>"},
    {"max-soft-tokens", 0, OPTION_COUNT, OPTION_PLAIN(media.max_soft_tokens), "N", 0, UINT32_MAX,
     "of each image and each frame of a video: 70, 140, 280, 560 or 1120"},
};
const struct option_group media_options = OPTION_GROUP("Images, video, audio", media_table);

struct kind {
    const ProtobufCBinaryData *paths;
    size_t n;
    const char *name, *mime_type;
    bool has_budget;
};

static void list_kinds(const struct settings *settings, struct kind out[3])
{
    const struct media_settings *m = &settings->media;
    out[0] = (struct kind){m->images, m->n_images, "image", "image/x-file", true};
    out[1] = (struct kind){m->videos, m->n_videos, "video", "video/x-file", true};
    out[2] = (struct kind){m->clips, m->n_clips, "audio", "audio/x-file", false};
}

static enum status add_file(struct settings *settings, const struct kind *kind, const char *path,
                            struct error *err)
{
    struct text_buffer bytes = {0};
    enum status st = input_read_file(path, &bytes, err);
    if (st == STATUS_OK && bytes.length == 0)
        st = error_set(err, STATUS_INVALID_ARGUMENT, "%s: empty", path);
    if (st != STATUS_OK) {
        text_buffer_finish(&bytes);
        return st;
    }
    Gemmad__V1__GenerateRequest *request = &settings->request;
    Gemmad__V1__Media *medium = mem_zeroed(1, sizeof *medium);
    gemmad__v1__media__init(medium);
    medium->has_data = medium->has_mime_type = true;
    medium->mime_type = (ProtobufCBinaryData){strlen(kind->mime_type), (uint8_t *)kind->mime_type};
    medium->data.len = bytes.length;
    medium->data.data = (uint8_t *)text_buffer_release(&bytes);
    medium->has_max_soft_tokens = kind->has_budget && settings->media.max_soft_tokens > 0;
    medium->max_soft_tokens = settings->media.max_soft_tokens;
    request->media = mem_resized(request->media, request->n_media + 1, sizeof(void *));
    request->media[request->n_media++] = medium;
    return STATUS_OK;
}

enum status media_files_read(struct settings *settings, struct error *err)
{
    struct kind kinds[3];
    list_kinds(settings, kinds);
    enum status st = STATUS_OK;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < kinds[k].n && st == STATUS_OK; i++)
            st = add_file(settings, &kinds[k], (const char *)kinds[k].paths[i].data, err);
    return st;
}

void media_files_write_parts(const struct settings *settings, struct text_buffer *out)
{
    struct kind kinds[3];
    list_kinds(settings, kinds);
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < kinds[k].n; i++)
            text_buffer_append_format(out, "{\"type\":\"%s\"},", kinds[k].name);
}
