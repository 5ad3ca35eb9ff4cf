/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinators and workers of the model. What they do is said in engine/cluster/leader.h and
 * follower.h, engine/job/publish.c and subsume.c; each function here is one operation of theirs on
 * the store, or what follows from it.
 */
#include "tests/support/cluster_world_internal.h"

#include <string.h>

/* --- coordinators --- */

static void say(struct world *w, struct world_coordinator *c, const struct world_post *post)
{
    if (c->outbox_count == sizeof c->outbox / sizeof c->outbox[0]) {
        w->is_full = true;
        return;
    }
    c->outbox[c->outbox_count] = *post;
    c->outbox[c->outbox_count++].author = c->epoch;
}

static void read_log(struct world *w, struct world_coordinator *c)
{
    c->head = world_head(w);
    c->start = c->head > 0 ? w->log[c->head].start : 1;
    c->epoch = world_log_epoch(w) + 1;
    c->at = C_FENCE;
}

static void fence(struct world *w, struct world_coordinator *c)
{
    const struct world_record record = {.kind = W_FENCE, .epoch = c->epoch, .start = c->start};
    c->at = C_READ;
    if (!world_create_record(w, c->head + 1, &record))
        return;
    c->head++;
    c->created = c->head;
}

/* Nothing stands above the record but what collectors have resolved under it. */
static bool is_newest(const struct world *w, const struct world_coordinator *c)
{
    if (w->omitted == OMIT_NEIGHBOURS)
        return true;
    for (unsigned id = c->created + 1; id <= WORLD_IDS; id++)
        if (w->log[id].kind != W_NONE &&
            (w->log[id].kind != W_ABORT || w->log[id].epoch != c->epoch))
            return false;
    return true;
}

static void drop_flight(struct world_coordinator *c)
{
    c->flight_count--;
    memmove(&c->flights[0], &c->flights[1], c->flight_count * sizeof c->flights[0]);
}

static void complete(struct world *w, struct world_coordinator *c, unsigned id)
{
    const unsigned start = w->log[id].start;
    uint64_t dropped = 0, kept = 0;
    for (unsigned i = c->start; i <= id; i++)
        *(i < start ? &dropped : &kept) |= world_refs(&w->log[i]);
    c->doomed |= dropped & ~kept;
    c->doomed_from = c->doomed_from == 0 ? c->start : c->doomed_from;
    c->doomed_to = start;
    c->start = start;
    c->base = id;
    c->checkpoints++;
    say(w, c, &(struct world_post){.kind = W_COMPLETE, .id = id});
}

static void abort_told(struct world *w, struct world_coordinator *c, unsigned id)
{
    say(w, c, &(struct world_post){.kind = W_ABORTED, .id = id});
}

static void judge_created(struct world *w, struct world_coordinator *c)
{
    const unsigned id = c->created;
    if (!is_newest(w, c)) {
        c->at = C_OVER;
        return;
    }
    c->created = 0;
    if (w->log[id].committed)
        world_break(w, "an id is committed twice");
    w->log[id].committed = true;
    if (world_log_epoch(w) > c->epoch)
        world_break(w, "a coordinator that was replaced commits");
    if (c->at == C_READ) { /* its fence */
        c->collection = (struct world_collection){.at = G_IDLE};
        world_collect(w, &c->collection);
        c->at = C_COLLECT;
        return;
    }
    drop_flight(c);
    c->head = id;
    if (w->log[id].kind == W_CHECKPOINT)
        complete(w, c, id);
    else
        abort_told(w, c, id);
}

static void commit(struct world *w, struct world_coordinator *c, bool aborts)
{
    const struct world_flight *f = &c->flights[0];
    struct world_record record = {
        .kind = aborts ? W_ABORT : W_CHECKPOINT, .epoch = c->epoch, .start = c->start};
    if (!aborts) {
        unsigned start = f->id;
        for (unsigned i = 1; i < c->flight_count && w->omitted != OMIT_FLIGHTS; i++)
            if (c->flights[i].floor != 0 && c->flights[i].floor < start)
                start = c->flights[i].floor;
        record.start = start > c->start ? start : c->start;
        c->committing_start = record.start;
        memcpy(record.parts, f->parts, sizeof record.parts);
    }
    if (world_create_record(w, f->id, &record)) {
        c->created = f->id;
        return;
    }
    if (w->is_full)
        return;
    const struct world_record *found = &w->log[f->id];
    if (found->epoch != c->epoch || found->kind != W_ABORT) {
        c->at = C_OVER; /* fenced: the successor tells the workers */
        return;
    }
    abort_told(w, c, f->id); /* a collector has resolved it */
    c->head = f->id;
    drop_flight(c);
}

/* Whom do I replace? */
static void find(struct world *w, struct world_coordinator *c)
{
    c->base = world_newest_checkpoint(w);
    c->committing_start = c->start;
    c->old_epoch = c->epoch - 1;
    while (c->old_epoch > 0 && w->post_count[c->old_epoch] == 0)
        c->old_epoch--;
    c->old_number = w->post_count[c->old_epoch] + 1;
    const struct world_post *last = &w->posts[c->old_epoch][c->old_number - 1];
    const bool is_over = c->old_epoch == 0 || last->kind == W_ENDED || last->kind == W_REPLACED;
    c->at = is_over ? C_PLAN : C_REPLACE;
}

static void replace(struct world *w, struct world_coordinator *c)
{
    const struct world_post post = {.kind = W_REPLACED, .author = c->epoch};
    const bool is_made = world_post(w, c->old_epoch, c->old_number, &post);
    const struct world_post *found = &w->posts[c->old_epoch][c->old_number];
    if (is_made || found->kind == W_ENDED || found->kind == W_REPLACED) {
        c->at = C_PLAN;
        return;
    }
    c->old_number++;
    if (w->omitted == OMIT_TRYING_NEXT)
        c->at = C_PLAN;
}

static void plan(struct world *w, struct world_coordinator *c)
{
    const struct world_post post = {.kind = W_PLAN, .author = c->epoch, .id = c->base};
    c->at = world_post(w, c->epoch, 1, &post) ? C_GATHER : C_OVER;
    c->next_post = 2;
}

static void end(struct world *w, struct world_coordinator *c)
{
    const struct world_post post = {.kind = W_ENDED, .author = c->epoch};
    (void)world_post(w, c->epoch, c->next_post, &post);
    c->at = C_OVER;
}

static void gather(struct world *w, struct world_coordinator *c)
{
    struct world_post post = {.kind = W_START, .author = c->epoch};
    for (unsigned slot = 0; slot < WORLD_WORKERS; slot++)
        for (unsigned life = 0; life < w->life_count; life++)
            if (w->mail_epoch[life] == c->epoch && w->mail_slot[life] == slot)
                post.members[slot] = life + 1;
    for (unsigned slot = 0; slot < WORLD_WORKERS; slot++) {
        if (post.members[slot] == 0) {
            if (world_below(w, 60) == 0)
                end(w, c); /* they do not come in time */
            return;
        }
        c->members[slot] = post.members[slot] - 1;
        c->next_mail[slot] = 2;
    }
    c->at = world_post(w, c->epoch, 2, &post) ? C_RUN : C_OVER;
    c->next_post = 3;
}

static void trigger(struct world *w, struct world_coordinator *c)
{
    const unsigned id = c->head + c->flight_count + 1;
    if (c->flight_count == WORLD_FLIGHTS || id > WORLD_IDS)
        return;
    unsigned floor = c->base;
    if (floor < c->committing_start && w->omitted != OMIT_COMMITTING)
        floor = c->committing_start;
    if (c->base == 0)
        floor = 0;
    c->flights[c->flight_count++] = (struct world_flight){.id = id, .floor = floor};
    say(w, c, &(struct world_post){.kind = W_TRIGGER, .id = id, .floor = floor});
}

static void read_mail(struct world *w, struct world_coordinator *c, unsigned slot)
{
    const unsigned life = c->members[slot];
    if (w->mail_count[life] < c->next_mail[slot])
        return;
    const struct world_mail *mail = &w->mails[life][c->next_mail[slot]++];
    for (unsigned i = 0; i < c->flight_count; i++) {
        struct world_flight *f = &c->flights[i];
        if (f->id != mail->id || (f->acks >> slot & 1) != 0)
            continue;
        const bool is_low = mail->base != 0 && mail->base < f->floor;
        if (mail->kind != W_ACK || (is_low && w->omitted != OMIT_FLOOR)) {
            f->declined = true;
            continue;
        }
        f->parts[slot] = mail->refs;
        f->acks |= 1u << slot;
    }
}

static void post_next(struct world *w, struct world_coordinator *c)
{
    if (c->outbox_count == 0 || c->replaced)
        return;
    if (!world_post(w, c->epoch, c->next_post, &c->outbox[0])) {
        c->replaced = !w->is_full;
        return;
    }
    c->next_post++;
    c->outbox_count--;
    memmove(&c->outbox[0], &c->outbox[1], c->outbox_count * sizeof c->outbox[0]);
}

/* Manifests first. */
static void subsume(struct world *w, struct world_coordinator *c)
{
    if (c->doomed_from != 0 && c->doomed_from < c->doomed_to) {
        w->log[c->doomed_from++].kind = W_NONE;
        return;
    }
    const uint64_t lowest = c->doomed & (~c->doomed + 1);
    w->objects &= ~lowest;
    c->doomed &= ~lowest;
}

static void try_commit(struct world *w, struct world_coordinator *c)
{
    if (c->replaced && c->flight_count == 0) { /* the log is to say it */
        c->flights[c->flight_count++] = (struct world_flight){.id = c->head + 1, .declined = true};
    }
    if (c->flight_count == 0)
        return;
    const struct world_flight *f = &c->flights[0];
    const bool is_whole = f->acks == (1u << WORLD_WORKERS) - 1;
    if (is_whole && !f->declined)
        commit(w, c, false);
    else if (f->declined || c->replaced || world_below(w, 40) == 0)
        commit(w, c, true);
}

static bool has_lost(const struct world *w, const struct world_coordinator *c)
{
    for (unsigned slot = 0; slot < WORLD_WORKERS; slot++)
        if (w->workers[slot].life != c->members[slot])
            return true;
    return false;
}

static void run(struct world *w, struct world_coordinator *c)
{
    switch (world_below(w, 8)) {
    case 0:
        if (world_below(w, 2) == 0)
            trigger(w, c);
        break;
    case 1:
    case 2:
        post_next(w, c);
        break;
    case 3:
        if (c->created == 0)
            try_commit(w, c);
        break;
    case 4:
        subsume(w, c);
        break;
    case 5:
        if (has_lost(w, c) && c->created == 0 && c->outbox_count == 0 && world_below(w, 4) == 0)
            end(w, c);
        break;
    default:
        read_mail(w, c, (unsigned)world_below(w, WORLD_WORKERS));
        break;
    }
}

void world_move_coordinator(struct world *w, unsigned i)
{
    struct world_coordinator *c = &w->coordinators[i];
    if (c->created != 0 && (c->at == C_READ || world_below(w, 3) == 0)) {
        judge_created(w, c);
        return;
    }
    switch (c->at) {
    case C_READ:
        read_log(w, c);
        break;
    case C_FENCE:
        if (c->epoch > WORLD_EPOCHS)
            w->is_full = true;
        else
            fence(w, c);
        break;
    case C_COLLECT:
        world_collect(w, &c->collection);
        if (c->collection.at == G_IDLE)
            c->at = C_FIND;
        break;
    case C_FIND:
        find(w, c);
        break;
    case C_REPLACE:
        replace(w, c);
        if (c->at == C_PLAN)
            w->is_told[c->old_epoch] = true;
        break;
    case C_PLAN:
        plan(w, c);
        break;
    case C_GATHER:
        gather(w, c);
        break;
    case C_RUN:
        run(w, c);
        break;
    case C_OVER:
        break;
    }
}

/* --- workers --- */

void world_begin_life(struct world *w, unsigned slot)
{
    if (w->life_count == WORLD_LIVES) {
        w->is_full = true;
        return;
    }
    w->workers[slot] = (struct world_worker){.at = L_LOOK, .life = w->life_count++};
}

static void send(struct world *w, const struct world_worker *l, const struct world_mail *mail)
{
    if (w->mail_count[l->life] == WORLD_MAILS) {
        w->is_full = true;
        return;
    }
    w->mails[l->life][++w->mail_count[l->life]] = *mail;
}

static void look(struct world *w, struct world_worker *l)
{
    unsigned epoch = WORLD_EPOCHS;
    while (epoch > 0 && w->post_count[epoch] == 0)
        epoch--;
    if (epoch == 0 || w->post_count[epoch] != 1)
        return;
    l->epoch = epoch;
    l->restored = w->posts[epoch][1].id;
    l->at = L_RESTORE;
}

static void restore(struct world *w, struct world_worker *l, unsigned slot)
{
    const struct world_record *record = &w->log[l->restored];
    l->at = L_JOIN;
    if (l->restored == 0)
        return;
    if (record->kind != W_CHECKPOINT) { /* the job went on without this plan */
        l->at = L_LOOK;
        return;
    }
    l->base = l->restored;
    l->base_refs = record->parts[slot];
}

static void join(struct world *w, struct world_worker *l, unsigned slot)
{
    w->mail_epoch[l->life] = l->epoch;
    w->mail_slot[l->life] = slot;
    send(w, l, &(struct world_mail){.kind = W_JOIN});
    l->at = L_START;
}

static void wait_for_start(struct world *w, struct world_worker *l, unsigned slot)
{
    if (w->post_count[l->epoch] < 2)
        return;
    const struct world_post *post = &w->posts[l->epoch][2];
    l->next_post = 3;
    if (post->kind == W_START && post->members[slot] == l->life + 1)
        l->at = L_RUN;
    else
        world_begin_life(w, slot);
}

static struct world_flight *flight_of(struct world_worker *l, unsigned id)
{
    for (unsigned i = 0; i < WORLD_FLIGHTS; i++)
        if (l->flights[i].is_used && l->flights[i].id == id)
            return &l->flights[i];
    return NULL;
}

static void decline(struct world *w, struct world_worker *l, struct world_flight *f)
{
    send(w, l, &(struct world_mail){.kind = W_DECLINE, .id = f->id});
    f->told = true;
    if (w->omitted == OMIT_ABORTED_FIRST)
        w->objects &= ~f->own;
}

static void begin(struct world *w, struct world_worker *l, const struct world_post *post)
{
    for (unsigned i = 0; i < WORLD_FLIGHTS; i++)
        if (!l->flights[i].is_used) {
            l->flights[i] =
                (struct world_flight){.is_used = true, .id = post->id, .floor = post->floor};
            return;
        }
    send(w, l, &(struct world_mail){.kind = W_DECLINE, .id = post->id});
}

static void leave(struct world *w, unsigned slot)
{
    for (unsigned i = 0; i < WORLD_FLIGHTS && w->omitted == OMIT_ABORTED_FIRST; i++)
        w->objects &= ~w->workers[slot].flights[i].own;
    world_begin_life(w, slot);
}

static void read_post(struct world *w, struct world_worker *l, unsigned slot)
{
    if (w->post_count[l->epoch] < l->next_post) {
        if (world_below(w, 100) == 0 && world_log_epoch(w) > l->epoch)
            leave(w, slot); /* silence: it looks at the log */
        return;
    }
    const struct world_post *post = &w->posts[l->epoch][l->next_post++];
    struct world_flight *f = flight_of(l, post->id);
    switch (post->kind) {
    case W_TRIGGER:
        begin(w, l, post);
        break;
    case W_COMPLETE:
        if (f != NULL && f->told && world_below(w, 12) != 0) {
            l->base = f->id;
            l->base_refs = f->refs;
        } /* else it has no memory for it, and stays with what it has */
        if (f != NULL)
            f->is_used = false;
        break;
    case W_ABORTED:
        if (f != NULL)
            f->removes = true;
        break;
    case W_ENDED:
    case W_REPLACED:
        leave(w, slot);
        break;
    case W_PLAN:
    case W_START:
        break;
    }
}

static void upload(struct world *w, struct world_worker *l, struct world_flight *f)
{
    const bool has_base = l->base != 0 && (l->base >= f->floor || w->omitted == OMIT_FLOOR);
    f->own = UINT64_C(1) << world_put_object(w, f->id, l->epoch);
    f->base = has_base ? l->base : 0;
    f->refs = f->own;
    for (unsigned i = 0; has_base && i < w->object_count; i++) /* compaction rewrites some */
        if ((l->base_refs >> i & 1) != 0 && world_below(w, 4) != 0)
            f->refs |= UINT64_C(1) << i;
    f->uploaded = true;
}

static void go_on(struct world *w, struct world_worker *l, struct world_flight *f)
{
    if (!f->is_used)
        return;
    if (f->removes) {
        w->objects &= ~f->own;
        f->is_used = false;
    } else if (!f->told && world_below(w, 24) == 0) {
        decline(w, l, f);
    } else if (!f->uploaded && !f->told) {
        upload(w, l, f);
    } else if (!f->told) {
        send(w, l,
             &(struct world_mail){.kind = W_ACK, .id = f->id, .base = f->base, .refs = f->refs});
        f->told = true;
    }
}

void world_move_worker(struct world *w, unsigned slot)
{
    struct world_worker *l = &w->workers[slot];
    switch (l->at) {
    case L_LOOK:
        look(w, l);
        break;
    case L_RESTORE:
        restore(w, l, slot);
        break;
    case L_JOIN:
        join(w, l, slot);
        break;
    case L_START:
        wait_for_start(w, l, slot);
        break;
    case L_RUN:
        if (world_below(w, 2) == 0)
            read_post(w, l, slot);
        else
            go_on(w, l, &l->flights[world_below(w, WORLD_FLIGHTS)]);
        break;
    }
}
