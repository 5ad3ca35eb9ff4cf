/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_ENGINE_IN_FLIGHT_H
#define CRN_ENGINE_IN_FLIGHT_H

#include "base/buffer.h"
#include "cairn/gate.h"

/* Records in flight as bytes: the file with role CAIRN_FILE_IN_FLIGHT of a subtask. docs/format.md
 * has them. */

#define CRN_CHANNELS_MAX 65536u

/* Records one after another, in the order of their coming; no frame around them. */
struct crn_in_flight {
    struct cairn_buffer bytes;
    uint64_t count;
};
void crn_in_flight_done(struct crn_in_flight *in_flight);
/* CAIRN_ENOSPC: there would be more than max_bytes, lengths included. After a failure it is as
 * before. */
int crn_in_flight_append(struct crn_in_flight *in_flight, uint32_t channel, const void *data,
                         size_t size, uint64_t max_bytes);
/* With the frame around them, as they are stored. */
int crn_in_flight_seal(const struct crn_in_flight *in_flight, struct cairn_buffer *out,
                       cairn_error **reterr);
/* The reverse: the whole of a stored file is checked, and its records replace nothing but are added
 * to `to`. CAIRN_ECORRUPT, CAIRN_EVERSION. */
int crn_in_flight_unseal(const void *data, size_t size, struct crn_in_flight *to,
                         cairn_error **reterr);
/* The record at *position of checked bytes, which is moved behind it. false: at the end. */
bool crn_in_flight_next(const struct cairn_buffer *bytes, size_t *position, uint32_t *ret_channel,
                        const void **ret_data, size_t *ret_size);

/* Who gets which record when the parallelism is another. */
struct crn_dealing {
    cairn_partitioning partitioning; /* BY_KEY or ANY */
    int (*key_of)(void *context, const void *record, size_t size, const void **ret_key,
                  size_t *ret_key_size);
    void *context;
    uint32_t subtask, parallelism, max_parallelism;
    uint64_t dealt; /* records that were dealt out so far: the same in every subtask */
};
/* Adds to `to` what this subtask gets of one stored subtask's records. All subtasks that are given
 * the same ones in the same order get each record once together, in its order within its channel.
 */
int crn_in_flight_deal(struct crn_dealing *dealing, const struct crn_in_flight *from,
                       struct crn_in_flight *to, cairn_error **reterr);

#endif
