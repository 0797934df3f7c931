/* media/exif.h - how a camera was held: the orientation in EXIF and XMP metadata.
 *
 * 1 to 8 as EXIF numbers them; 0: it says nothing that counts. Metadata that makes no sense says
 * nothing: it is never a reason to refuse an image. */
#ifndef GEMMAD_MEDIA_EXIF_H
#define GEMMAD_MEDIA_EXIF_H

#include <stddef.h>

/* A TIFF header and what follows, with or without "Exif\0\0" before it. */
unsigned exif_orientation(const unsigned char *bytes, size_t n_bytes);

/* The first tiff:Orientation of an XMP packet, as an attribute or an element. */
unsigned xmp_orientation(const unsigned char *bytes, size_t n_bytes);

/* What a file says that has both, either or none (NULL): EXIF's word first; 1 to 8. */
unsigned metadata_orientation(const unsigned char *exif, size_t n_exif, const unsigned char *xmp,
                              size_t n_xmp);

#endif
