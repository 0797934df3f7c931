/* media/image_gif.c - a GIF's first frame, on its canvas. Our own decoder: the format is 100 lines,
 * and what libraries do with odd files differs from what Pillow does, which is:
 * - the canvas grows to hold the frame; where the frame is not, it has the transparent colour, and
 *   without one colour 0 (not the background colour);
 * - colours above a palette's end are black; without a palette, or with one that is a gray ramp,
 *   a colour is its number's gray;
 * - disposal and everything behind the first frame's pixels are not looked at.
 * Frames with fewer pixels than their size are errors; further data behind the last pixel is not.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "media/image_format.h"

enum { MAX_CODE_BITS = 12, N_CODES = 1 << MAX_CODE_BITS, NO_COLOUR = -1 };

// Reads on past the end as zeros, and remembers that.
struct input {
    const unsigned char *at, *end;
    bool over;
};

static unsigned next_u8(struct input *in)
{
    if (in->at == in->end) {
        in->over = true;
        return 0;
    }
    return *in->at++;
}

static unsigned next_u16(struct input *in)
{
    unsigned low = next_u8(in);
    return low | next_u8(in) << 8;
}

static const unsigned char *next_bytes(struct input *in, size_t n)
{
    if ((size_t)(in->end - in->at) < n) {
        in->over = true;
        return NULL;
    }
    in->at += n;
    return in->at - n;
}

struct frame {
    uint32_t canvas_width, canvas_height; /* grown to hold the frame */
    uint32_t left, top, width, height;
    bool interlaced;
    int transparent; /* colour, or NO_COLOUR */
    unsigned char palette[256][3];
};

static void gray_palette(unsigned char palette[256][3])
{
    for (int i = 0; i < 256; i++)
        memset(palette[i], i, 3);
}

// flags: the low three bits are the size.
static void read_palette(struct input *in, unsigned flags, unsigned char palette[256][3])
{
    unsigned n = 2u << (flags & 7);
    const unsigned char *bytes = next_bytes(in, (size_t)n * 3);
    if (!bytes)
        return;
    gray_palette(palette);
    if (memcmp(palette, bytes, (size_t)n * 3) == 0)
        return;
    memset(palette, 0, 256 * 3);
    memcpy(palette, bytes, (size_t)n * 3);
}

static void read_extension(struct input *in, struct frame *frame)
{
    unsigned label = next_u8(in), n = next_u8(in);
    const unsigned char *block = next_bytes(in, n);
    if (block && label == 0xf9 && n >= 4 && (block[0] & 1))
        frame->transparent = block[3];
    while (n && !in->over) {
        n = next_u8(in);
        (void)next_bytes(in, n);
    }
}

// Up to the first frame's pixels; false: there are none before the file ends.
static bool read_frame(struct input *in, struct frame *frame)
{
    *frame = (struct frame){.transparent = NO_COLOUR};
    gray_palette(frame->palette);
    (void)next_bytes(in, 6);
    frame->canvas_width = next_u16(in);
    frame->canvas_height = next_u16(in);
    unsigned flags = next_u8(in);
    (void)next_bytes(in, 2);
    if (flags & 0x80)
        read_palette(in, flags, frame->palette);
    unsigned kind;
    while ((kind = next_u8(in)) != ',') {
        if (in->over || kind == ';')
            return false;
        if (kind == '!')
            read_extension(in, frame);
    }
    frame->left = next_u16(in);
    frame->top = next_u16(in);
    frame->width = next_u16(in);
    frame->height = next_u16(in);
    flags = next_u8(in);
    frame->interlaced = flags & 0x40;
    if (flags & 0x80)
        read_palette(in, flags, frame->palette);
    if (frame->left + frame->width > frame->canvas_width)
        frame->canvas_width = frame->left + frame->width;
    if (frame->top + frame->height > frame->canvas_height)
        frame->canvas_height = frame->top + frame->height;
    return !in->over;
}

enum status image_gif_probe(const struct image_file *file, struct image_info *out,
                            struct error *err)
{
    struct input in = {file->bytes, file->bytes + file->n_bytes, false};
    struct frame frame;
    if (!read_frame(&in, &frame))
        return in.over ? image_cut_short(err, "GIF") : image_broken(err, "GIF", "it has no frame");
    out->width = frame.canvas_width;
    out->height = frame.canvas_height;
    return STATUS_OK;
}

// Where the frame's next pixel goes.
struct pen {
    unsigned char *canvas; /* [canvas height, canvas width] of colours */
    const struct frame *frame;
    uint32_t x, y, step;
    bool full;
};

static void next_row(struct pen *pen)
{
    pen->x = 0;
    pen->y += pen->step;
    // Interlaced: every 8th row from 0, every 8th from 4, every 4th from 2, every 2nd from 1.
    while (pen->y >= pen->frame->height && pen->frame->interlaced && pen->step > 2) {
        bool first = pen->step == 8 && pen->y % 8 == 0;
        pen->y = first ? 4 : pen->step / 4;
        pen->step = first ? 8 : pen->step / 2;
    }
    pen->full = pen->y >= pen->frame->height;
}

static void draw(struct pen *pen, const unsigned char *colours, size_t n)
{
    const struct frame *frame = pen->frame;
    while (n && !pen->full) {
        size_t room = frame->width - pen->x, take = n < room ? n : room;
        size_t row = (size_t)(frame->top + pen->y) * frame->canvas_width;
        memcpy(pen->canvas + row + frame->left + pen->x, colours, take);
        colours += take, n -= take;
        pen->x += (uint32_t)take;
        if (pen->x == frame->width)
            next_row(pen);
    }
}

// Codes out of sub-blocks: the lowest bits first.
struct codes {
    struct input in;
    uint32_t bits;
    unsigned n_bits, block_left;
};

static unsigned next_code(struct codes *codes, unsigned n_bits)
{
    while (codes->n_bits < n_bits && !codes->in.over) {
        if (!codes->block_left) {
            codes->block_left = next_u8(&codes->in);
            if (!codes->block_left)
                codes->in.over = true; // the terminator: there are no more
            continue;
        }
        codes->block_left--;
        codes->bits |= next_u8(&codes->in) << codes->n_bits;
        codes->n_bits += 8;
    }
    unsigned code = codes->bits & ((1u << n_bits) - 1);
    codes->bits >>= n_bits;
    codes->n_bits = codes->n_bits < n_bits ? 0 : codes->n_bits - n_bits;
    return code;
}

// A code stands for its prefix's string and one more colour.
struct table {
    uint16_t prefix[N_CODES], length[N_CODES];
    unsigned char last[N_CODES];
};

// The string of a code, whose last byte is just before end; returns its first byte.
static unsigned char *expand(const struct table *table, unsigned code, unsigned char *end)
{
    unsigned char *start = end - table->length[code];
    while (end > start) {
        *--end = table->last[code];
        code = table->prefix[code];
    }
    return start;
}

enum { CODES_WRONG = 0, CODES_END = 1 };

// Draws until the frame is full. CODES_WRONG: a code that stands for nothing; CODES_END otherwise.
static int decode_codes(struct codes *codes, unsigned min_bits, struct table *table,
                        struct pen *pen)
{
    const unsigned clear = 1u << min_bits;
    unsigned char string[N_CODES + 1], *const end = string + N_CODES;
    unsigned n_codes = clear + 2, n_bits = min_bits + 1, previous = clear;
    for (unsigned i = 0; i < clear; i++)
        table->prefix[i] = 0, table->length[i] = 1, table->last[i] = (unsigned char)i;
    while (!pen->full) {
        unsigned code = next_code(codes, n_bits);
        if (codes->in.over || code == clear + 1)
            return CODES_END;
        if (code == clear) {
            n_codes = clear + 2, n_bits = min_bits + 1, previous = clear;
            continue;
        }
        if (previous == clear ? code > clear : code > n_codes || code >= N_CODES)
            return CODES_WRONG;
        // The code being defined: the previous string and its own first colour.
        bool defines_itself = previous != clear && code == n_codes;
        unsigned char *start = expand(table, defines_itself ? previous : code, end);
        size_t n = (size_t)(end - start);
        if (defines_itself)
            *end = *start, n++;
        draw(pen, start, n);
        if (previous != clear && n_codes < N_CODES) {
            table->prefix[n_codes] = (uint16_t)previous;
            table->length[n_codes] = (uint16_t)(table->length[previous] + 1);
            table->last[n_codes] = *start;
            if (n_codes == (1u << n_bits) - 1 && n_bits < MAX_CODE_BITS)
                n_bits++;
            n_codes++;
        }
        previous = code;
    }
    return CODES_END;
}

static enum status draw_frame(struct input *in, const struct frame *frame, unsigned char *canvas,
                              struct error *err)
{
    unsigned min_bits = next_u8(in);
    if (in->over)
        return image_cut_short(err, "GIF");
    if (min_bits < 1 || min_bits > 8)
        return image_broken(err, "GIF", "its code size is not 1 to 8");
    struct table *table = malloc(sizeof *table);
    if (!table)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a GIF decoder");
    struct codes codes = {.in = *in};
    struct pen pen = {.canvas = canvas,
                      .frame = frame,
                      .step = frame->interlaced ? 8 : 1,
                      .full = !frame->width || !frame->height};
    int end = decode_codes(&codes, min_bits, table, &pen);
    free(table);
    if (end == CODES_WRONG)
        return image_broken(err, "GIF", "a code of its pixels stands for nothing");
    return pen.full ? STATUS_OK : image_cut_short(err, "GIF");
}

// Three bytes a pixel out of one, in place: from the end.
static void colour_canvas(const struct frame *frame, struct image *image)
{
    for (size_t i = (size_t)image->width * image->height; i-- > 0;) {
        int colour = image->pixels[i];
        if (colour == frame->transparent)
            memset(image->pixels + i * 3, 255, 3);
        else
            memcpy(image->pixels + i * 3, frame->palette[colour], 3);
    }
}

enum status image_gif_decode(const struct image_file *file, struct image *out,
                             unsigned *out_orientation, struct error *err)
{
    struct input in = {file->bytes, file->bytes + file->n_bytes, false};
    struct frame frame;
    (void)read_frame(&in, &frame); // the probe has seen that it is there
    enum status st = image_allocate(out, 3, err);
    if (st != STATUS_OK)
        return st;
    int free_colour = frame.transparent == NO_COLOUR ? 0 : frame.transparent;
    memset(out->pixels, free_colour, (size_t)out->width * out->height);
    st = draw_frame(&in, &frame, out->pixels, err);
    if (st == STATUS_OK)
        colour_canvas(&frame, out);
    *out_orientation = 1; // it has no place for EXIF
    return st;
}
