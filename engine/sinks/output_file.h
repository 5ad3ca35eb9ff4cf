/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_OUTPUT_FILE_H
#define CRN_ENGINE_OUTPUT_FILE_H

#include "base/buffer.h"
#include "base/error.h"

/* A new file that is written from front to end, buffered. Zero-initialised but for fd = -1: none.
 */
struct crn_output_file {
    int fd;
    char *path;
    uint64_t size;   /* of what has been written to the descriptor and counts */
    bool has_tail;   /* a write that failed may have left bytes behind `size` */
    bool is_lost;    /* a sync failed: nobody knows what the disk has */
    uint8_t *buffer; /* what comes behind `size`; kept from file to file */
    size_t buffered;
};

/* @return 0, CAIRN_EEXIST (there is something of this name), or the system's. */
int crn_output_create(struct crn_output_file *file, const char *path, cairn_error **reterr);
/* On failure the file is as before. */
int crn_output_append(struct crn_output_file *file, const void *data, size_t size,
                      cairn_error **reterr);
static inline uint64_t crn_output_size(const struct crn_output_file *file)
{
    return file->size + file->buffered;
}
/* Everything is on disk, under this name in `directory`, and the file is closed. On failure it
 * stays open, and this may be called again. */
int crn_output_finish(struct crn_output_file *file, const char *directory, cairn_error **reterr);
void crn_output_close(struct crn_output_file *file); /* as it is; the buffer stays for the next */
void crn_output_done(struct crn_output_file *file);

#endif
