/* text/template_sequence.h - the filters of lists and mappings, a part of filter_find. */
#ifndef GEMMAD_TEXT_TEMPLATE_SEQUENCE_H
#define GEMMAD_TEXT_TEMPLATE_SEQUENCE_H

#include "text/template_builtins.h"

const struct template_filter *sequence_filter_find(const char *name);

#endif
