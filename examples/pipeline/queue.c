/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded queues between threads.
 *
 * Cairn does not care how records travel, as long as a barrier stays between the records that it
 * was put between. Two things are worth copying from here: a barrier needs no room, so that a full
 * queue does not keep it from arriving; and a reader can ask for records in front of a barrier
 * without taking them out, which is what unaligned checkpoints want to know.
 */
#include "examples/pipeline/pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROOM 256         /* for records */
#define RING (ROOM + 32) /* and for barriers and the end */
#define WAIT_NS 2000000L

int inbox_init(struct inbox *in, uint32_t channel_count, const atomic_bool *stop)
{
    *in = (struct inbox){.channel_count = channel_count, .stop = stop};
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->readable, NULL);
    pthread_cond_init(&in->writable, NULL);
    for (uint32_t c = 0; c < channel_count; c++) {
        in->channels[c].ring = calloc(RING, sizeof(struct message));
        if (in->channels[c].ring == NULL)
            return -1;
    }
    return 0;
}

void inbox_done(struct inbox *in)
{
    if (in->channel_count == 0)
        return;
    for (uint32_t c = 0; c < in->channel_count; c++)
        free(in->channels[c].ring);
    pthread_mutex_destroy(&in->lock);
    pthread_cond_destroy(&in->readable);
    pthread_cond_destroy(&in->writable);
}

void inbox_wake(struct inbox *in)
{
    pthread_mutex_lock(&in->lock);
    pthread_cond_broadcast(&in->readable);
    pthread_cond_broadcast(&in->writable);
    pthread_mutex_unlock(&in->lock);
}

bool inbox_put(struct inbox *in, uint32_t channel, const struct message *message)
{
    struct channel *c = &in->channels[channel];
    const bool is_record = message->type == MESSAGE_RECORD;
    pthread_mutex_lock(&in->lock);
    while ((is_record ? c->records == ROOM : c->count == RING) && !atomic_load(in->stop))
        pthread_cond_wait(&in->writable, &in->lock);
    const bool goes_on = !atomic_load(in->stop);
    if (goes_on) {
        struct message *slot = &c->ring[(c->head + c->count++) % RING];
        slot->type = message->type;
        slot->size = message->size;
        slot->barrier = message->barrier;
        memcpy(slot->data, message->data, message->size);
        c->records += is_record;
        if (message->type == MESSAGE_BARRIER && c->records > 0) {
            c->arrived = message->barrier;
            c->has_arrived = true;
        }
        pthread_cond_signal(&in->readable);
    }
    pthread_mutex_unlock(&in->lock);
    return goes_on;
}

/* Channels take turns, so that none starves. */
static int find_locked(struct inbox *in, const cairn_gate *gate)
{
    for (uint32_t i = 0; i < in->channel_count; i++) {
        uint32_t channel = (in->turn + i) % in->channel_count;
        if (in->channels[channel].count > 0 && cairn_gate_is_blocked(gate, channel) == 0)
            return (int)channel;
    }
    return -1;
}

int inbox_take(struct inbox *in, const cairn_gate *gate, struct message *ret)
{
    struct timespec until;
    pthread_mutex_lock(&in->lock);
    int channel = find_locked(in, gate);
    if (channel < 0 && !atomic_load(in->stop)) {
        /* Not for long: Cairn may have something for this task, too. */
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&in->readable, &in->lock, &until);
        channel = find_locked(in, gate);
    }
    if (channel >= 0) {
        struct channel *c = &in->channels[channel];
        const struct message *slot = &c->ring[c->head];
        ret->type = slot->type;
        ret->size = slot->size;
        ret->barrier = slot->barrier;
        memcpy(ret->data, slot->data, slot->size);
        c->head = (c->head + 1) % RING;
        c->count--;
        c->records -= ret->type == MESSAGE_RECORD;
        in->turn = (uint32_t)channel + 1;
        /* Not for each single place: a writer that waits is worth waking when there is some room.
         */
        if (ret->type != MESSAGE_RECORD || c->records == ROOM / 2)
            pthread_cond_broadcast(&in->writable);
    }
    pthread_mutex_unlock(&in->lock);
    return channel;
}

int inbox_arrived(struct inbox *in, cairn_barrier *ret)
{
    int found = -1;
    pthread_mutex_lock(&in->lock);
    for (uint32_t i = 0; i < in->channel_count && found < 0; i++)
        if (in->channels[i].has_arrived) {
            *ret = in->channels[i].arrived;
            in->channels[i].has_arrived = false;
            found = (int)i;
        }
    pthread_mutex_unlock(&in->lock);
    return found;
}

int inbox_collect(struct inbox *in, uint32_t channel, uint64_t checkpoint_id, cairn_gate *gate)
{
    int r = 0;
    pthread_mutex_lock(&in->lock);
    const struct channel *c = &in->channels[channel];
    for (size_t i = 0; r == 0 && i < c->count; i++) {
        const struct message *message = &c->ring[(c->head + i) % RING];
        if (message->type == MESSAGE_BARRIER && message->barrier.checkpoint_id == checkpoint_id)
            break;
        if (message->type == MESSAGE_RECORD)
            r = cairn_gate_collect(gate, message->data, message->size);
    }
    pthread_mutex_unlock(&in->lock);
    return r;
}
