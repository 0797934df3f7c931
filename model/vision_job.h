/* model/vision_job.h - the pages of a vision job, and which of them a rank computes in a unit. Part
 * of model/vision.c; nothing else includes this. Thread: plain values. */
#ifndef GEMMAD_MODEL_VISION_JOB_H
#define GEMMAD_MODEL_VISION_JOB_H

#include "model/encoder.h"

enum {
    TOKEN_ROWS = 9,   /* 3 x 3 patches */
    PAGE_TOKENS = 16, /* soft tokens */
    PAGE_ROWS = TOKEN_ROWS * PAGE_TOKENS,
    /* Pages of a unit, at most: so that units are of about equal work. */
    EMBED_PAGES = 4,
    PROJECT_PAGES = 4, /* norm, q, k, v */
    ATTEND_PAGES = 1,  /* attention, o, feed-forward */
    FINISH_PAGES = 8,  /* pooling, projection */
};

/* Neighbouring rows of a part. */
struct vision_page {
    uint32_t part;
    uint32_t first;   /* row in the part, and */
    uint32_t own_row; /* among this rank's rows, if it is this rank's */
    uint32_t n_rows;
    uint32_t token; /* soft tokens of the job before it */
};

struct vision_job {
    struct encoder_part *parts;
    uint32_t n_parts;
    struct vision_page *pages; /* [n_pages + 1]: behind the last one where it would begin */
    uint32_t *first_pages;     /* [n_parts] */
    uint32_t n_pages;
    uint32_t own_begin, own_end; /* this rank's pages */
};

/* What a unit does. */
enum vision_phase { PHASE_EMBED, PHASE_PROJECT, PHASE_ATTEND, PHASE_FINISH };

struct vision_unit {
    enum vision_phase phase;
    uint32_t layer;
    uint32_t begin, end; /* this rank's pages in it, maybe none */
    bool is_last;        /* of its phase and layer */
};

/* Pages that a job can have. */
uint32_t vision_max_pages(uint32_t max_patches, uint32_t max_parts);
/* The job's arrays are large enough. */
void vision_job_begin(struct vision_job *job, const struct encoder_part *parts, uint32_t n_parts,
                      uint32_t rank, uint32_t world_size);
uint32_t vision_job_units(uint32_t n_pages, uint32_t n_layers);
struct vision_unit vision_job_unit(const struct vision_job *job, uint32_t n_layers,
                                   uint32_t number);
/* A rank's first page, of so many. */
uint32_t vision_share(uint32_t n_pages, uint32_t rank, uint32_t world_size);

/* Where row number `row` of a part is: its patch's column and line. */
void vision_patch_of(const struct encoder_part *part, uint32_t row, uint32_t *x, uint32_t *y);

#endif
