/* model/vision_job.c - a phase has as many units as its pages make on one rank; with more ranks
 * each takes its share of the unit's pages, so units are the same everywhere. */
#include "model/vision_job.h"

enum { SIDE = 3 }; // of a soft token, in patches

static uint32_t part_rows(const struct encoder_part *part)
{
    return part->grid_width * part->grid_height;
}

static uint32_t rounded_up(uint32_t n, uint32_t unit)
{
    return (n + unit - 1) / unit;
}

uint32_t vision_max_pages(uint32_t max_patches, uint32_t max_parts)
{
    return max_patches / PAGE_ROWS + max_parts;
}

uint32_t vision_share(uint32_t n_pages, uint32_t rank, uint32_t world_size)
{
    return (uint32_t)((uint64_t)n_pages * rank / world_size);
}

void vision_job_begin(struct vision_job *job, const struct encoder_part *parts, uint32_t n_parts,
                      uint32_t rank, uint32_t world_size)
{
    struct vision_page at = {0};
    job->n_parts = n_parts;
    job->n_pages = 0;
    for (; at.part < n_parts; at.part++) {
        job->parts[at.part] = parts[at.part];
        job->first_pages[at.part] = job->n_pages;
        uint32_t n_rows = part_rows(&parts[at.part]);
        for (at.first = 0; at.first < n_rows; at.first += PAGE_ROWS) {
            uint32_t left = n_rows - at.first;
            at.n_rows = left < PAGE_ROWS ? left : PAGE_ROWS;
            job->pages[job->n_pages++] = at;
            at.token += at.n_rows / TOKEN_ROWS;
        }
    }
    job->pages[job->n_pages] = (struct vision_page){.token = at.token};
    job->own_begin = vision_share(job->n_pages, rank, world_size);
    job->own_end = vision_share(job->n_pages, rank + 1, world_size);
    uint32_t own_row = 0;
    for (uint32_t p = job->own_begin; p <= job->own_end; p++) {
        job->pages[p].own_row = own_row;
        own_row += job->pages[p].n_rows;
    }
}

static uint32_t phase_units(uint32_t n_pages, enum vision_phase phase)
{
    static const uint32_t pages[] = {
        [PHASE_EMBED] = EMBED_PAGES,
        [PHASE_PROJECT] = PROJECT_PAGES,
        [PHASE_ATTEND] = ATTEND_PAGES,
        [PHASE_FINISH] = FINISH_PAGES,
    };
    return rounded_up(n_pages, pages[phase]);
}

uint32_t vision_job_units(uint32_t n_pages, uint32_t n_layers)
{
    uint32_t layer = phase_units(n_pages, PHASE_PROJECT) + phase_units(n_pages, PHASE_ATTEND);
    return phase_units(n_pages, PHASE_EMBED) + n_layers * layer +
           phase_units(n_pages, PHASE_FINISH);
}

// Unit number `number` of the n of its phase.
static void share_pages(const struct vision_job *job, uint32_t number, uint32_t n,
                        struct vision_unit *out)
{
    uint32_t own = job->own_end - job->own_begin;
    out->begin = job->own_begin + vision_share(own, number, n);
    out->end = job->own_begin + vision_share(own, number + 1, n);
    out->is_last = number + 1 == n;
}

struct vision_unit vision_job_unit(const struct vision_job *job, uint32_t n_layers, uint32_t number)
{
    uint32_t embed = phase_units(job->n_pages, PHASE_EMBED);
    uint32_t project = phase_units(job->n_pages, PHASE_PROJECT);
    uint32_t attend = phase_units(job->n_pages, PHASE_ATTEND);
    struct vision_unit unit = {.phase = PHASE_EMBED};
    if (number < embed) {
        share_pages(job, number, embed, &unit);
        return unit;
    }
    number -= embed;
    unit.layer = number / (project + attend);
    if (unit.layer >= n_layers) {
        unit.phase = PHASE_FINISH;
        share_pages(job, number - n_layers * (project + attend),
                    phase_units(job->n_pages, PHASE_FINISH), &unit);
        return unit;
    }
    number %= project + attend;
    unit.phase = number < project ? PHASE_PROJECT : PHASE_ATTEND;
    if (number < project)
        share_pages(job, number, project, &unit);
    else
        share_pages(job, number - project, attend, &unit);
    return unit;
}

void vision_patch_of(const struct encoder_part *part, uint32_t row, uint32_t *x, uint32_t *y)
{
    uint32_t token = row / TOKEN_ROWS, patch = row % TOKEN_ROWS;
    uint32_t width = part->grid_width / SIDE;
    *x = token % width * SIDE + patch % SIDE;
    *y = token / width * SIDE + patch / SIDE;
}
